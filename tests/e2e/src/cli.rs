//! `keyward`, the command line, run as a person or a script runs it.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyward_testkit::{Login, Process};
use serde_json::Value;

use crate::stack::{Stack, Tenant};
use crate::{CLIENT, SOON};

/// What a run of the command line ended with.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Standard output as JSON. Panics when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// This run, if it ended well; panics with everything it said if not.
    // Many runs only have to end well.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

/// Runs `keyward` with these arguments. Its defaults are those `keyward-dev session` exports; those
/// of the user's configuration where a package is installed.
pub fn keyward(stack: &Stack, arguments: &[&str]) -> Run {
    run(stack, &mut command(stack, arguments))
}

/// The same, which logs everything; standard error is kept in the login's logs.
pub fn keyward_logging_everything(stack: &Stack, arguments: &[&str]) -> Run {
    run(stack, command(stack, arguments).env("KEYWARD_LOG", "trace"))
}

/// The command, not started.
pub fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = stack.command("keyward");
    command.args(arguments);
    if !stack.is_packaged() {
        let authority = stack.localhost_authority(Tenant::Oidc);
        command.env("KEYWARD_DEV_CLIENT_ID", CLIENT);
        command.env("KEYWARD_DEV_AUTHORITY", authority);
    }
    command
}

/// Runs such a command.
pub fn run(stack: &Stack, command: &mut Command) -> Run {
    run_in(&stack.login, command)
}

/// Runs such a command in a login of any kind.
pub fn run_in(login: &Login, command: &mut Command) -> Run {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    // Every run starts with empty output files, and none takes those of another away.
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let logs = login.logs().join(format!("cli-{run}"));
    std::fs::create_dir(&logs).expect("a folder can be made");
    let mut process = Process::start("keyward", command, &logs);
    let status = process.wait(SOON * 2);
    Run {
        code: status.code().unwrap_or(-1),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}
