//! The program `keywardd` as others start, stop and kill it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod started;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;
use started::{Place, answers};

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
    for signal in [Signal::TERM, Signal::INT] {
        let running = place.start();
        assert!(answers(&place.socket()));
        assert_eq!(running.end_by(signal).code(), Some(0), "{signal:?}");
        assert!(!place.socket().exists());
    }
}

#[test]
fn a_hangup_that_is_of_no_terminal_ends_nothing() {
    let place = Place::new();
    let running = place.start();
    running.send(Signal::HUP);
    assert!(answers(&place.socket()));
    assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
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
    let stderr = second.process.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    let holder = format!("process {} holds ", first.process.id());
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
    let mut stderr = running.process.stderr.take().unwrap();
    running.end_by(Signal::TERM);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn nobody_reading_the_log_stops_nothing() {
    let place = Place::new();
    let mut running = place.start();
    drop(running.process.stderr.take());
    assert!(answers(&place.socket()));
    assert_eq!(running.end_by(Signal::TERM).code(), Some(0));
}
