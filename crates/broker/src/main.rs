//! The program `keywardd`.

use std::process::ExitCode;

use keyward_broker::Options;

fn main() -> ExitCode {
    keyward_broker::main(Options::from_command_line(std::env::args_os()))
}
