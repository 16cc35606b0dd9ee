//! A software TPM of the test's own: `swtpm`, with its state in a private folder, on loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Process, Signal, signal};
use crate::wait;

pub mod command;

/// How long it may take to listen, and to answer one command.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often another pair of ports is tried when somebody else took one of them.
const TRIES: u32 = 20;

/// A running swtpm. Dropping it kills it and removes its state.
#[derive(Debug)]
pub struct SoftwareTpm {
    folder: TempDir,
    port: u16,
    process: Process,
}

impl SoftwareTpm {
    /// Starts a TPM that has never been used.
    ///
    /// # Panics
    ///
    /// When swtpm is not installed, or does not get ready.
    pub fn start() -> Self {
        let found = Command::new("swtpm")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(
            found.is_ok_and(|status| status.success()),
            "swtpm is missing, which tests with a TPM need: sudo apt install swtpm"
        );
        let folder = tempfile::Builder::new()
            .prefix("kw-tpm-")
            .tempdir()
            .expect("a temporary folder can be made");
        for _ in 0..TRIES {
            let port = free_pair();
            if let Ok(process) = launch(&folder, port) {
                return Self {
                    folder,
                    port,
                    process,
                };
            }
        }
        panic!("no pair of free ports was found for swtpm in {TRIES} tries");
    }

    /// How a program reaches it, as it is written in a configuration.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where its state is kept, for searches.
    pub fn state(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Kills it, as if it were unplugged. Its state stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with the same state at the same place: what a restart of the computer is to
    /// a TPM.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub fn restart(&mut self) {
        self.process.kill();
        let started = wait::within(PATIENCE, || launch(&self.folder, self.port).ok());
        self.process = started.expect("swtpm starts again at the same ports");
    }

    /// Stops it in the middle of whatever it does: it neither answers nor refuses until
    /// [`resume`](Self::resume).
    pub fn stall(&self) {
        signal(self.id(), Signal::STOP);
        wait::until("a stopped swtpm", PATIENCE, || {
            let status = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
            let (_, rest) = status.rsplit_once(") ")?;
            rest.starts_with('T').then_some(())
        });
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(self.id(), Signal::CONT);
    }

    /// Clears it, as its owner may: every key made before is gone for good.
    pub fn clear(&self) {
        self.command(&command::clear());
    }

    /// Locks it, as too many wrong values do: it takes no value for anything that counts them.
    pub fn lock_out(&self) {
        self.command(&command::lock_out());
    }

    /// Sets an authorization value for the owner, as some administrators do.
    pub fn set_owner_auth(&self, auth: &[u8]) {
        self.command(&command::set_owner_auth(auth));
    }

    /// Takes up every place for objects, as another program may, until
    /// [`vacate`](Self::vacate).
    pub fn occupy(&self) -> Occupied {
        let mut handles = Vec::new();
        while let Ok(answer) = self.try_command(&command::create_primary()) {
            handles.push(command::first_handle(&answer));
        }
        assert!(!handles.is_empty(), "the TPM had a free place");
        Occupied(handles)
    }

    /// Gives the places back.
    pub fn vacate(&self, occupied: Occupied) {
        for handle in occupied.0 {
            self.command(&command::flush(handle));
        }
    }

    /// Sends one command and returns the answer.
    ///
    /// # Panics
    ///
    /// When the TPM refuses it.
    pub fn command(&self, bytes: &[u8]) -> Vec<u8> {
        self.try_command(bytes)
            .unwrap_or_else(|code| panic!("the TPM refused a command: {code:#x}"))
    }

    /// Sends one command and returns the answer, or the code it was refused with.
    fn try_command(&self, bytes: &[u8]) -> Result<Vec<u8>, u32> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .expect("the software TPM takes a connection");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read can have a deadline");
        stream.write_all(bytes).expect("it takes a command");
        let mut answer = Vec::new();
        // It closes the connection after every answer.
        stream.read_to_end(&mut answer).expect("it answers");
        match command::code(&answer) {
            0 => Ok(answer),
            refused => Err(refused),
        }
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        // A stalled process would not hear a friendlier word.
        self.process.kill();
    }
}

/// Places for objects that [`SoftwareTpm::occupy`] took.
#[derive(Debug)]
pub struct Occupied(Vec<u32>);

/// A port that is free together with the one after it. Both may be taken by somebody else before
/// they are used; swtpm says so then by ending.
fn free_pair() -> u16 {
    let found = (0..TRIES).find_map(|_| {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        let second = TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok()?;
        drop(second);
        Some(port)
    });
    found.expect("a pair of ports is free")
}

/// Starts swtpm. The error is what it said when it ended instead of listening.
fn launch(folder: &TempDir, port: u16) -> Result<Process, String> {
    let state = folder.path().join("state");
    fs::create_dir_all(&state).expect("a folder can be made");
    let mut command = Command::new("swtpm");
    // Without --terminate: clients connect anew for every command.
    command
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!(
            "type=tcp,port={port},bindaddr=127.0.0.1,disconnect"
        ))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1));
    let mut process = Process::start("swtpm", &mut command, folder.path());
    let ready = wait::until("a listening swtpm", PATIENCE, || {
        if !process.is_running() {
            return Some(Err(process.output()));
        }
        let id = process.id();
        (listens(id, port) && listens(id, port + 1)).then_some(Ok(()))
    });
    ready.map(|()| process)
}

/// Whether this process, and nobody else, listens on a loopback port. Asking the kernel disturbs
/// nobody, as connecting would.
fn listens(process: u32, port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!("0100007F:{port:04X}");
    let inode = sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Local address, state "listening", inode.
        let wanted = fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"0A");
        wanted.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    });
    let Some(inode) = inode else { return false };
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    files.is_ok_and(|files| {
        files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == inode.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::runs;

    #[test]
    fn every_test_has_a_tpm_of_its_own_until_it_is_dropped() {
        let [a, b] = [(); 2].map(|()| SoftwareTpm::start());
        assert_ne!(a.tcti(), b.tcti());
        let ids = [a.id(), b.id()];
        drop((a, b));
        assert_eq!(ids.map(runs), [false, false]);
    }

    #[test]
    fn places_for_objects_run_out_and_come_back() {
        let tpm = SoftwareTpm::start();
        let occupied = tpm.occupy();
        let refused = tpm.try_command(&command::create_primary());
        assert_eq!(refused, Err(0x902));
        tpm.vacate(occupied);
        assert!(tpm.try_command(&command::create_primary()).is_ok());
    }

    #[test]
    fn it_is_the_same_after_a_restart_and_another_after_being_cleared() {
        let mut tpm = SoftwareTpm::start();
        let key = |tpm: &SoftwareTpm| {
            let answer = tpm.command(&command::create_primary());
            tpm.command(&command::flush(command::first_handle(&answer)));
            command::public_area(&answer).to_vec()
        };
        let before = key(&tpm);
        tpm.restart();
        assert_eq!(key(&tpm), before);
        tpm.clear();
        assert_ne!(key(&tpm), before);
    }

    #[test]
    fn a_stalled_one_answers_when_it_goes_on() {
        let tpm = SoftwareTpm::start();
        tpm.stall();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| tpm.command(&command::create_primary()));
            assert!(!answer.is_finished());
            tpm.resume();
            assert!(answer.join().is_ok());
        });
    }
}
