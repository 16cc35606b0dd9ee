//! What passes through keyward-session is out of reach of the user's other programs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use keyward_testkit::{Login, Process, SessionBus, wait};

const SOON: Duration = Duration::from_secs(20);
const PROGRAM: &str = env!("CARGO_BIN_EXE_keyward-session");
/// A user who owns nothing.
const NOBODY: &str = "65534";

/// A login of an ordinary user: this one, or, as root may look into everything, nobody.
struct Ordinary {
    login: Login,
    is_root: bool,
}

impl Ordinary {
    /// With a copy of the program, which nobody could not find in root's folders, and with a bus.
    fn start() -> (Self, Process) {
        let login = Login::new();
        let is_root = rustix::process::geteuid().is_root();
        fs::copy(PROGRAM, login.path("bin-keyward-session")).unwrap();
        let mut bus = SessionBus::start(&login, &[]);
        bus.stop();
        let this = Self { login, is_root };
        if is_root {
            let root = this.login.root();
            let chown = Command::new("chown")
                .args(["-R", NOBODY])
                .arg(root)
                .status();
            assert!(chown.unwrap().success());
        }
        let mut command = this.command(Path::new("dbus-daemon"));
        command
            .arg("--nofork")
            .arg("--config-file")
            .arg(bus.config());
        let _ = fs::remove_file(this.login.path("run/bus"));
        let mut daemon = Process::start("dbus-daemon", &mut command, &this.login.logs());
        wait::until("a bus", SOON, || {
            assert!(daemon.is_running(), "{}", daemon.output());
            this.login.path("run/bus").exists().then_some(())
        });
        (this, daemon)
    }

    /// A command of this user.
    fn command(&self, program: &Path) -> Command {
        if !self.is_root {
            return self.login.command(program);
        }
        let mut command = self.login.command("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.arg(program).current_dir("/");
        command
    }

    /// Starts keyward-session and waits until it serves.
    fn session(&self) -> Process {
        let notified = self.login.path("run/ready");
        let ready = UnixDatagram::bind(&notified).unwrap();
        ready.set_read_timeout(Some(SOON)).unwrap();
        fs::set_permissions(&notified, fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = self.command(&self.login.path("bin-keyward-session"));
        command.arg("--no-start").env("NOTIFY_SOCKET", &notified);
        let session = Process::start("keyward-session", &mut command, &self.login.logs());
        let mut said = [0; 64];
        let length = ready.recv(&mut said);
        let length = length.unwrap_or_else(|error| panic!("{error}\n{}", session.output()));
        assert!(said[..length].starts_with(b"READY=1"));
        session
    }

    /// Whether another program of this user can read a file of a process.
    fn can_read(&self, process: &Process, what: &str) -> bool {
        let mut head = self.command(Path::new("head"));
        let file = format!("/proc/{}/{what}", process.id());
        head.args(["-c", "1"]).arg(file);
        head.output().unwrap().status.success()
    }
}

#[test]
fn another_program_of_the_same_user_cannot_look_into_it() {
    let (user, _bus) = Ordinary::start();
    let session = user.session();
    let mut tail = user.command(Path::new("tail"));
    let ordinary = Process::start("tail", tail.args(["-f", "/dev/null"]), &user.login.logs());
    wait::until("an ordinary program", SOON, || {
        user.can_read(&ordinary, "environ").then_some(())
    });
    for what in ["environ", "maps", "auxv"] {
        assert!(
            user.can_read(&ordinary, what),
            "{what} of an ordinary program"
        );
        assert!(!user.can_read(&session, what), "{what} of keyward-session");
    }
}
