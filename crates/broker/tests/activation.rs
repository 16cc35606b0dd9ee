//! The program `keywardd` under a service manager: a socket that is there before it, a watchdog,
//! and an end when nobody asks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod started;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use started::{Place, answers};

/// Starts the program as systemd does: the socket is descriptor 3, and `$LISTEN_PID` the process.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; LISTEN_PID=${1:-$$} exec "$0""#;

/// A socket of somebody else's at the place of the broker's.
fn listener(place: &Place) -> UnixListener {
    fs::create_dir(place.path("run")).unwrap();
    UnixListener::bind(place.socket()).unwrap()
}

fn activated(place: &Place, socket: impl Into<OwnedFd>) -> Command {
    let program = place.command();
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .envs(
            program
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .args(["-c", ACTIVATE])
        .arg(program.get_program())
        .env("LISTEN_FDS", "1")
        .stdin(socket.into())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_socket_passed_by_number_is_served_and_left_where_it_is() {
    let place = Place::new();
    let socket = listener(&place);
    for name in ["broker", "keywardd.socket", ""] {
        let mut command = activated(&place, socket.try_clone().unwrap());
        command.env("LISTEN_FDNAMES", name);
        let running = place.start_command(command);
        assert!(answers(&place.socket()), "{name}");
        assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
        assert!(place.socket().exists());
    }
}

#[test]
fn a_socket_meant_for_another_process_is_left_alone() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = UnixListener::bind(elsewhere.path().join("socket")).unwrap();
    let mut command = activated(&place, other);
    command.arg("1");
    let running = place.start_command(command);
    assert!(answers(&place.socket()), "it made its own");
    running.end_by(Signal::TERM);
}

#[test]
fn what_is_passed_and_is_no_socket_to_serve_is_an_error_that_says_so() {
    let place = Place::new();
    let socket = listener(&place);
    let file = fs::File::open("/dev/null").unwrap();
    let other_name = ("LISTEN_FDNAMES", "metrics");
    for (passed, name) in [
        (OwnedFd::from(file), ("X", "")),
        (socket.into(), other_name),
    ] {
        let ended = activated(&place, passed)
            .env(name.0, name.1)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(17));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("$LISTEN_FDS passes 1 socket(s)"), "{said}");
    }
}

#[test]
fn a_watchdog_hears_from_it_for_as_long_as_it_serves() {
    let place = Place::new();
    let mut command = place.command();
    command.env("WATCHDOG_USEC", "40000");
    let running = place.start_command(command);
    for _ in 0..5 {
        assert_eq!(running.hear(), "WATCHDOG=1");
        assert!(answers(&place.socket()));
    }
    let supervisor = running.supervisor.try_clone().unwrap();
    assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
    let mut last = started::hear(&supervisor);
    while last == "WATCHDOG=1" {
        last = started::hear(&supervisor);
    }
    assert_eq!(last, "STOPPING=1");
}

#[test]
fn a_watchdog_of_another_process_does_not_hear_from_it() {
    let place = Place::new();
    let mut command = place.command();
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let running = place.start_command(command);
    assert!(answers(&place.socket()));
    let supervisor = running.supervisor.try_clone().unwrap();
    running.end_by(Signal::TERM);
    assert_eq!(started::hear(&supervisor), "STOPPING=1");
}

#[test]
fn it_ends_when_nobody_asks_and_the_next_serves_who_came_meanwhile() {
    let place = Place::new();
    let socket = listener(&place);
    let start = || {
        let mut command = activated(&place, socket.try_clone().unwrap());
        command.env("KEYWARD_IDLE_EXIT_SECONDS", "1");
        place.start_command(command)
    };
    let mut first = start();
    assert!(answers(&place.socket()));
    assert_eq!(first.process.wait().unwrap().code(), Some(0));
    // Nobody serves now, and nobody is refused either.
    let waiting = {
        let socket = place.socket();
        std::thread::spawn(move || answers(&socket))
    };
    let mut second = start();
    assert!(waiting.join().unwrap());
    assert_eq!(second.process.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_service_manager_it_stays_unless_told_otherwise() {
    let place = Place::new();
    let mut command = place.command();
    command.env("KEYWARD_IDLE_EXIT_SECONDS", "1");
    let mut told = place.start_command(command);
    assert_eq!(told.process.wait().unwrap().code(), Some(0));
    assert!(!place.socket().exists());
    // The next finds the place free.
    let running = place.start();
    assert!(answers(&place.socket()));
    running.end_by(Signal::TERM);
}
