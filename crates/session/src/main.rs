//! `keyward-session`: the faces of the broker on the session bus.

use std::process::ExitCode;

use keyward_config::Environment;

fn main() -> ExitCode {
    keyward_session::main(std::env::args_os(), Environment::of_process())
}
