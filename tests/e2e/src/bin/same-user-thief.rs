//! The same-user thief, and the machine it is let loose on: see `cargo xtask thief`.

use std::process::ExitCode;

use keyward_e2e::{heist, thief};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["steal", target] => {
            let target = serde_json::from_str(target).ok();
            let Some(target) = target.as_ref().and_then(thief::Target::from_json) else {
                eprintln!("same-user-thief: that is no target");
                return ExitCode::from(2);
            };
            let attempts = thief::steal(&target);
            let attempts: Vec<_> = attempts.iter().map(thief::Attempt::to_json).collect();
            println!("{}", serde_json::Value::from(attempts));
            ExitCode::SUCCESS
        }
        _ => heist::main(&arguments),
    }
}
