//! `keyward`, the command line, run as a person or a script runs it.

use keyward_testkit::Process;
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

/// Runs `keyward` with these arguments and the defaults `keyward-dev session` exports.
pub fn keyward(stack: &Stack, arguments: &[&str]) -> Run {
    let mut command = stack.command("keyward");
    command
        .args(arguments)
        .env("KEYWARD_DEV_CLIENT_ID", CLIENT)
        .env(
            "KEYWARD_DEV_AUTHORITY",
            stack.localhost_authority(Tenant::Oidc),
        );
    // A folder of its own: every run starts with empty output files.
    let logs = stack.login.path("cli");
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).expect("a folder can be made");
    let mut process = Process::start("keyward", &mut command, &logs);
    let status = process.wait(SOON * 2);
    Run {
        code: status.code().unwrap_or(-1),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}
