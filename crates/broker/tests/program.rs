//! The program `keywardd` as others start, stop and kill it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A place for a broker; nothing of the user's own is near it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("run/broker.sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywardd"));
        command
            .env_clear()
            .env("KEYWARD_SOCKET", self.socket())
            .env("KEYWARD_STATE_DIR", self.path("state"))
            .env("KEYWARD_CONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a broker, and waits until it says that it serves.
    fn start(&self) -> Running {
        self.start_command(self.command())
    }

    fn start_command(&self, mut command: Command) -> Running {
        let path = self.path("ready");
        let _ = fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).unwrap();
        ready
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let child = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
        let mut said = [0; 32];
        let length = ready.recv(&mut said).unwrap();
        assert_eq!(&said[..length], b"READY=1");
        Running(child)
    }

    /// Runs a broker that is expected to end by itself.
    fn fail(&self) -> Output {
        self.command().output().unwrap()
    }
}

struct Running(Child);

impl Running {
    fn end_by(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        self.0.wait().unwrap()
    }
}

/// Whether somebody speaks D-Bus there (D-Bus specification, "Authentication Protocol").
fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let uid = rustix::process::geteuid().as_raw().to_string();
    let uid = uid
        .bytes()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    stream
        .write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.starts_with("OK ")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_runtime_folder_that_is_not_there_is_an_error_and_not_made() {
    let place = Place::new();
    let runtime = place.path("runtime");
    let mut command = place.command();
    command.env_remove("KEYWARD_SOCKET");
    command.env("XDG_RUNTIME_DIR", &runtime);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(17));
    let said = text(&ended.stderr);
    let what = format!(
        "XDG_RUNTIME_DIR names {}, which is no folder",
        runtime.display()
    );
    assert!(said.contains(&what), "{said}");
    assert!(!runtime.exists());
}

#[test]
fn help_and_version_are_on_stdout_and_wrong_usage_is_status_2() {
    let run = |flag: &str| Place::new().command().arg(flag).output().unwrap();
    let help = run("--help");
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("Examples:"));
    let version = run("--version");
    let expected = format!("keywardd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
    let wrong = run("--nonsense");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stdout.is_empty());
}

#[test]
fn it_serves_until_it_is_told_to_stop_and_leaves_no_socket() {
    let place = Place::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let running = place.start();
        assert!(answers(&place.socket()));
        assert_eq!(running.end_by(signal).code(), Some(0), "{signal:?}");
        assert!(!place.socket().exists());
    }
}

#[test]
fn a_killed_broker_is_no_obstacle_to_the_next() {
    let place = Place::new();
    place.start().end_by(Signal::KILL);
    assert!(place.socket().exists());
    assert!(!answers(&place.socket()));
    let running = place.start();
    assert!(answers(&place.socket()));
    running.end_by(Signal::TERM);
}

#[test]
fn a_second_broker_says_who_serves_and_fails() {
    let place = Place::new();
    let running = place.start();
    let second = place.fail();
    assert_eq!(second.status.code(), Some(18));
    let said = text(&second.stderr);
    assert!(said.contains("keywardd: another keywardd serves"), "{said}");
    assert!(answers(&place.socket()));
    running.end_by(Signal::TERM);
}

#[test]
fn no_place_for_the_socket_is_a_configuration_error() {
    let place = Place::new();
    let relative = place
        .command()
        .env("KEYWARD_SOCKET", "run")
        .output()
        .unwrap();
    assert_eq!(relative.status.code(), Some(17));
    let said = text(&relative.stderr);
    assert!(
        said.contains("$KEYWARD_SOCKET is run, which is not an absolute path"),
        "{said}"
    );

    let shared = place
        .command()
        .env("KEYWARD_SOCKET", "/tmp/broker.sock")
        .output()
        .unwrap();
    assert_eq!(shared.status.code(), Some(17));
    let said = text(&shared.stderr);
    assert!(said.contains("/tmp is no place for the socket"), "{said}");
}

#[test]
fn two_brokers_of_one_vault_are_told_apart_by_their_answers() {
    let place = Place::new();
    let first = place.start();
    let mut command = place.command();
    command.args([
        "--socket",
        place.path("other/broker.sock").to_str().unwrap(),
    ]);
    let mut second = place.start_command(command);
    // It serves, so that whoever asks is told; the log says the same.
    let mut line = String::new();
    let stderr = second.0.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    let holder = format!("process {} holds ", first.0.id());
    assert!(
        line.contains(&holder) && line.contains("one keywardd per vault"),
        "{line}"
    );
    second.end_by(Signal::TERM);
    first.end_by(Signal::TERM);
}

#[test]
fn a_socket_passed_as_standard_input_is_served_and_left_where_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let mut command = place.command();
    command.stdin(OwnedFd::from(listener));
    let running = place.start_command(command);
    assert!(answers(&place.socket()));
    assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
    assert!(place.socket().exists());
}

#[test]
fn nothing_is_logged_at_a_level_that_is_off() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["--log", "off"]);
    let mut running = place.start_command(command);
    let mut stderr = running.0.stderr.take().unwrap();
    running.end_by(Signal::TERM);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn nobody_reading_the_log_stops_nothing() {
    let place = Place::new();
    let mut running = place.start();
    drop(running.0.stderr.take());
    assert!(answers(&place.socket()));
    assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
}
