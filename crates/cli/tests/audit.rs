//! `keyward audit`, against a broker that behaves, over its real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../broker-ipc/tests/fixtures/mod.rs"]
mod fixtures;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use fixtures::{FakeBroker, Socket};
use keyward_broker_ipc::server::Limits;
use keyward_config::Environment;
use keyward_testkit::process::signal;
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::oneshot;

/// A broker on a thread of its own: the commands block theirs.
struct Running {
    broker: Arc<FakeBroker>,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let (started, start) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let socket = Socket::new(Limits::default());
                let path = socket.options().path;
                started.send((Arc::clone(&socket.broker), path)).unwrap();
                let _ = stopped.await;
            });
        });
        let (broker, socket) = start.recv().unwrap();
        Self {
            broker,
            socket,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Exit code, stdout and stderr of `keyward audit` with these arguments.
    fn audit(&self, arguments: &[&str]) -> (u8, String, String) {
        let environment = Environment::empty().with_variable("KEYWARD_SOCKET", &self.socket);
        let arguments = ["keyward", "audit"].iter().chain(arguments);
        let arguments = arguments.map(OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = keyward_cli::execute(arguments, &environment, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(err))
    }

    /// The numbers of the records shown as JSON.
    fn seqs(&self, arguments: &[&str]) -> Vec<u64> {
        let (code, out, err) = self.audit(&[&["--json"], arguments].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        out.lines().map(seq).collect()
    }

    fn follow(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["audit", "--follow"])
            .args(arguments)
            .env_clear()
            .env("KEYWARD_SOCKET", &self.socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn seq(line: &str) -> u64 {
    let record: Value = serde_json::from_str(line).unwrap();
    record["seq"].as_u64().unwrap()
}

#[test]
fn records_are_a_table_for_people_and_lines_for_programs() {
    let broker = Running::start();
    let (code, out, err) = broker.audit(&[]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "", "nothing is recorded\n")
    );

    broker.broker.audit.add(2, "client-1");
    let (_, out, _) = broker.audit(&[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("TIME ") && lines[0].ends_with("  SCOPES"));
    let cells: Vec<&str> = lines[1]
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    assert_eq!(
        cells,
        [
            "2026-01-02T03:04:05.678Z",
            "mail",
            "acquire_token_silent",
            "client-1",
            "01234567",
            "done",
            "cache",
            "12 µs",
            "User.Read"
        ]
    );
    assert_eq!(broker.seqs(&[]), [1, 2]);
}

#[test]
fn the_newest_are_shown_however_many_answers_that_takes() {
    let broker = Running::start();
    broker.broker.audit.add(700, "client-1");
    broker.broker.audit.add(500, "client-2");
    assert_eq!(broker.seqs(&[]), (1101..=1200).collect::<Vec<_>>());
    assert_eq!(broker.seqs(&["--limit", "2"]), [1199, 1200]);
    let many = broker.seqs(&["-n", "1100"]);
    assert_eq!(many, (101..=1200).collect::<Vec<_>>());
    let one = broker.seqs(&["--since", "1h", "--client", "client-1"]);
    assert_eq!(one, (1..=700).collect::<Vec<_>>());
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let broker = Running::start();
    for arguments in [["--since", "yesterday"], ["--limit", "0"]] {
        assert_eq!(broker.audit(&arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn whoever_follows_sees_each_record_once_until_they_have_seen_enough() {
    let broker = Running::start();
    broker.broker.audit.add(3, "client-1");
    let mut following = broker.follow(&["--json", "--limit", "1"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || seq(&lines.next().unwrap().unwrap());
    let mut seen = vec![next()];
    for more in [1, 600, 1] {
        broker.broker.audit.add(more, "client-1");
        seen.extend((0..more).map(|_| next()));
    }
    assert_eq!(seen, (3..=605).collect::<Vec<_>>());
    signal(following.id(), Signal::INT);
    assert_eq!(following.wait().unwrap().code(), Some(0));
}
