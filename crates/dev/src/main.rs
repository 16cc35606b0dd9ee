//! `keyward-dev`: the embedded authority, the demo and private sessions for development.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyward_dev::main(std::env::args_os())
}
