//! `keyward-dev session -- COMMAND`, as people run it in their own tests.

use std::cell::Cell;
use std::process::Command;

use keyward_testkit::{Keyring, Login, Process, SessionBus};
use serde_json::Value;

use crate::browser::Browser;
use crate::{SOON, programs};

/// A login with a bus and an unlocked keyring, in which `keyward-dev` is installed.
pub struct Desktop {
    sessions: Cell<usize>,
    _keyring: Keyring,
    /// The session bus.
    pub bus: SessionBus,
    /// The browser of a person, if a session opens one.
    pub browser: Browser,
    /// The folders.
    pub login: Login,
}

impl Desktop {
    /// Starts bus and keyring.
    pub fn start() -> Self {
        let login = Login::new();
        programs::install(&login);
        let browser = Browser::install(&login);
        let bus = SessionBus::start(&login, &[]);
        let keyring = Keyring::start(&login, &bus);
        Self {
            sessions: Cell::new(0),
            _keyring: keyring,
            bus,
            browser,
            login,
        }
    }

    /// Starts `keyward-dev` with these arguments.
    pub fn keyward_dev(&self, arguments: &[&str]) -> Process {
        let mut command = self.command();
        command.args(arguments);
        Process::start("keyward-dev", &mut command, &self.login.logs())
    }

    /// Runs a shell script inside `keyward-dev session` with these options; the JSON values it
    /// wrote. `$NODE` is the folder of the Node.js programs.
    ///
    /// Panics when it fails.
    pub fn session(&self, options: &[&str], script: &str) -> Vec<Value> {
        let mut command = self.command();
        command.arg("session").args(options);
        command.args(["--", "sh", "-e", "-c", script]);
        command.env("NODE", programs::node_folder());
        // Output files of its own for every session.
        let name = format!("session-{}", self.sessions.replace(self.sessions.get() + 1));
        let mut session = Process::start(&name, &mut command, &self.login.logs());
        let status = session.wait(SOON * 3);
        assert!(status.success(), "{status}\n{}", session.output());
        let output = session.stdout();
        let values = serde_json::Deserializer::from_str(&output).into_iter();
        values
            .map(|value| value.unwrap_or_else(|error| panic!("no JSON ({error}): {output}")))
            .collect()
    }

    /// `keyward-dev`, not started.
    pub fn command(&self) -> Command {
        let mut command = self.login.command(self.login.path("bin/keyward-dev"));
        command.env("BROWSER", self.browser.program());
        command
    }
}
