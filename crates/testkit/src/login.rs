//! A private login: a home and a runtime folder of its own, and nothing of the real user's.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What stays of the environment: where programs are, and how text is written.
const KEPT: [&str; 5] = ["PATH", "LANG", "LC_ALL", "TZ", "LLVM_PROFILE_FILE"];

/// What every login has.
const FOLDERS: [&str; 8] = [
    "home", "run", "state", "config", "data", "tmp", "logs", "services",
];

/// A private login. Its folders are removed when it is dropped.
#[derive(Debug)]
pub struct Login {
    folder: TempDir,
}

impl Login {
    /// Makes the folders, each only for this user.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("kw-")
            .tempdir()
            .expect("a temporary folder can be made");
        let login = Self { folder };
        for part in FOLDERS {
            let made = fs::DirBuilder::new().mode(0o700).create(login.path(part));
            made.expect("a folder can be made");
        }
        login
    }

    /// A path inside the login's folder.
    pub fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    /// The folder that holds everything.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where the output of processes goes.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// A command that sees this login and nothing of the real one.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.env_clear();
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .current_dir(self.path("home"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_DATA_DIRS", self.path("data"))
            // One that is installed on this machine is not this login's.
            .env("KEYWARD_SYSTEM_SOCKET", self.path("run/none/broker.sock"))
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus_address());
        command
    }

    /// Where the session bus of this login listens, whether or not it runs.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}", self.path("run/bus").display())
    }
}

impl Default for Login {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_sees_only_the_private_login() {
        let login = Login::new();
        let seen = login.command("env").output().unwrap();
        let seen = String::from_utf8(seen.stdout).unwrap();
        let home = format!("HOME={}", login.path("home").display());
        assert!(seen.lines().any(|line| line == home), "{seen}");
        assert!(!seen.contains("CARGO_MANIFEST_DIR"), "{seen}");
    }

    #[test]
    fn its_folders_are_for_this_user_only_and_go_with_it() {
        use std::os::unix::fs::PermissionsExt;
        let login = Login::new();
        let root = login.root().to_owned();
        let mode = fs::metadata(login.path("run"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(login);
        assert!(!root.exists());
    }
}
