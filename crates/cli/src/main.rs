//! `keyward`.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyward_cli::run(std::env::args_os())
}
