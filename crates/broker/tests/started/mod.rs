//! The program `keywardd`, started in a place of its own.

#![allow(dead_code)] // each test uses a part

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A place for a broker; nothing of the user's own is near it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("run/broker.sock")
    }

    pub fn command(&self) -> Command {
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
    pub fn start(&self) -> Running {
        self.start_command(self.command())
    }

    pub fn start_command(&self, mut command: Command) -> Running {
        let path = self.path("ready");
        let _ = fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).unwrap();
        ready
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let child = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
        assert_eq!(hear(&ready), "READY=1");
        Running {
            process: child,
            supervisor: ready,
        }
    }

    /// Runs a broker that is expected to end by itself.
    pub fn fail(&self) -> Output {
        self.command().output().unwrap()
    }
}

/// A broker that serves.
pub struct Running {
    pub process: Child,
    /// What it tells whoever started it.
    pub supervisor: UnixDatagram,
}

/// What a process says next to whoever started it.
pub fn hear(supervisor: &UnixDatagram) -> String {
    let mut said = [0; 32];
    let length = supervisor.recv(&mut said).unwrap();
    String::from_utf8(said[..length].to_vec()).unwrap()
}

impl Running {
    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub fn end_by(mut self, signal: Signal) -> ExitStatus {
        self.send(signal);
        self.process.wait().unwrap()
    }

    pub fn hear(&self) -> String {
        hear(&self.supervisor)
    }

    /// The numbers after a name in the kernel's status of each of its threads.
    pub fn of_threads(&self, name: &str) -> Vec<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let statuses = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
        statuses
            .map(|status| {
                let status = status.unwrap();
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                let number = line.unwrap().split_whitespace().next().unwrap();
                number.parse().unwrap()
            })
            .collect()
    }
}

/// Whether somebody speaks D-Bus there (D-Bus specification, "Authentication Protocol").
pub fn answers(socket: &Path) -> bool {
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
