//! What the kernel keeps the running program from. What a restricted thread can and cannot do is
//! tested beside the code (`src/sandbox/tests.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod started;

use std::fs;
use std::os::unix::fs::symlink;

use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_client::ports::{BrokerStatus, TokenBroker as _};
use rustix::process::Signal;
use started::Place;

fn status(place: &Place) -> BrokerStatus {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let broker = SocketBroker::new(SocketOptions::new(place.socket()));
    runtime.unwrap().block_on(broker.status()).unwrap()
}

#[test]
fn every_thread_is_kept_to_what_it_needs_and_the_status_says_so() {
    let place = Place::new();
    let running = place.start();
    let status = status(&place);
    assert_eq!(
        status.hardening,
        [
            "no new privileges",
            "landlock",
            "seccomp",
            "master keys locked in memory"
        ]
    );
    assert_eq!(status.problems, [""; 0]);
    let threads = running.of_threads("NoNewPrivs:");
    // One that serves, one that looks callers up, one that reads links for it, and the vault's.
    assert!(
        threads.len() >= 4 && threads.iter().all(|set| *set == 1),
        "{threads:?}"
    );
    let filtered = running.of_threads("Seccomp:");
    assert!(filtered.iter().all(|mode| *mode == 2), "{filtered:?}");
    running.end_by(Signal::TERM);
}

#[test]
fn what_is_switched_off_is_off_and_the_status_says_so() {
    let place = Place::new();
    let mut command = place.command();
    command.env("KEYWARD_HARDENING_LANDLOCK", "false");
    command.env("KEYWARD_HARDENING_SECCOMP", "false");
    let running = place.start_command(command);
    let status = status(&place);
    assert_eq!(status.hardening[0], "no new privileges");
    assert!(
        !status
            .hardening
            .iter()
            .any(|what| what == "landlock" || what == "seccomp")
    );
    assert_eq!(
        status.problems,
        [
            "landlock is not in force: `hardening.landlock` is false",
            "seccomp is not in force: `hardening.seccomp` is false"
        ]
    );
    let filtered = running.of_threads("Seccomp:");
    assert!(filtered.iter().all(|mode| *mode == 0), "{filtered:?}");
    let privileges = running.of_threads("NoNewPrivs:");
    assert!(privileges.iter().all(|set| *set == 1), "{privileges:?}");
    running.end_by(Signal::TERM);
}

/// Starts it with a configuration in one folder, puts another folder in its place, and says what
/// it makes of the configuration there.
fn configuration_elsewhere(landlock: &str) -> Option<String> {
    let place = Place::new();
    for folder in ["here", "elsewhere"] {
        fs::create_dir(place.path(folder)).unwrap();
        fs::write(place.path(folder).join("config.toml"), "").unwrap();
    }
    let link = place.path("link");
    symlink(place.path("here"), &link).unwrap();
    let mut command = place.command();
    command.env("KEYWARD_CONFIG", link.join("config.toml"));
    command.env("KEYWARD_HARDENING_LANDLOCK", landlock);
    let running = place.start_command(command);
    assert_eq!(status(&place).outdated, None);
    fs::remove_file(&link).unwrap();
    symlink(place.path("elsewhere"), &link).unwrap();
    let outdated = status(&place).outdated;
    running.end_by(Signal::TERM);
    outdated
}

#[test]
fn a_file_outside_its_folders_is_out_of_its_reach() {
    assert_eq!(configuration_elsewhere("false"), None);
    let outdated = configuration_elsewhere("true").unwrap();
    assert!(outdated.contains("Permission denied"), "{outdated}");
}

#[test]
fn a_state_folder_that_is_not_there_yet_is_made() {
    let place = Place::new();
    let mut command = place.command();
    command.env("KEYWARD_STATE_DIR", place.path("a/b/state"));
    let running = place.start_command(command);
    assert_eq!(status(&place).problems, [""; 0]);
    assert!(place.path("a/b/state").is_dir());
    running.end_by(Signal::TERM);
}
