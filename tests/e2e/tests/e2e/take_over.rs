//! The broker's names on a bus where somebody else has them, or may get them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyward_e2e::private_session::Desktop;
use keyward_e2e::stack::{KEYWARD_NAME, MICROSOFT_NAME};
use keyward_e2e::{ALICE, SOON, Stack, Tenant, Typed};
use keyward_testkit::bus::{Caller, DRIVER};
use keyward_testkit::{Process, wait};
use serde_json::json;

const NAMES: [&str; 2] = [MICROSOFT_NAME, KEYWARD_NAME];

/// `RequestName`: whoever wants it may replace us.
const ALLOW_REPLACEMENT: u32 = 1;

/// `RequestName`: fail rather than wait.
const DO_NOT_QUEUE: u32 = 4;

/// Another broker: it takes the name with these flags.
fn take(other: &Caller, name: &str, flags: u32) {
    let answer = other.call(DRIVER, "RequestName", &(name, flags)).unwrap();
    let answer: u32 = answer.body().deserialize().unwrap();
    assert_eq!(answer, 1, "primary owner of {name}");
}

fn keyward_session(stack: &Stack, arguments: &[&str]) -> Process {
    let mut command = stack.command("keyward-session");
    command.arg("--no-start").args(arguments);
    Process::start("keyward-session", &mut command, &stack.login.logs())
}

#[test]
fn an_owner_that_lets_itself_be_replaced_is_replaced_when_told_to_and_only_then() {
    let stack = Stack::without_broker(Tenant::Oidc);
    let other = stack.bus.connect();
    for name in NAMES {
        take(&other, name, ALLOW_REPLACEMENT);
    }
    let ours = Some(std::process::id());
    let mut polite = keyward_session(&stack, &[]);
    for name in NAMES {
        says(&mut polite, name);
        assert_eq!(other.owner_process(name), ours, "{name}");
    }
    drop(polite);

    let session = keyward_session(&stack, &["--take-over"]);
    for name in NAMES {
        wait::until(name, SOON, || {
            (other.owner_process(name) == Some(session.id())).then_some(())
        });
    }
    drop(session);
    // The other one waited in the bus's queue.
    for name in NAMES {
        wait::until(name, SOON, || {
            (other.owner_process(name) == ours).then_some(())
        });
    }
}

#[test]
fn an_owner_that_does_not_let_itself_be_replaced_is_named_and_not_fought() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.start_keywardd();
    let other = stack.bus.connect();
    take(&other, MICROSOFT_NAME, DO_NOT_QUEUE);
    let mut session = keyward_session(&stack, &["--take-over"]);
    says(&mut session, MICROSOFT_NAME);
    let ours = std::process::id();
    assert!(
        session.stderr().contains(&ours.to_string()),
        "which process"
    );
    other.wait_for_owner(KEYWARD_NAME, SOON);
    let status = Typed::over_bus(&stack).ask("Status", &json!({})).unwrap();
    let problem = format!("pid {ours} owns {MICROSOFT_NAME} on the session bus");
    let problems = status["problems"].as_array().unwrap();
    assert!(problems.contains(&json!(problem)), "{status}");
    assert_eq!(other.owner_process(MICROSOFT_NAME), Some(ours));
    assert!(session.is_running(), "the other name still answers");
}

/// Waits until it wrote about a name.
fn says(session: &mut Process, name: &str) {
    wait::until("a word about the other owner", SOON, || {
        assert!(session.is_running(), "{}", session.output());
        let said = session.stderr();
        let line = |line: &str| line.contains("somebody else owns") && line.contains(name);
        said.lines().any(line).then_some(())
    });
}

#[test]
fn a_session_for_developers_takes_over_and_gives_back() {
    let desktop = Desktop::start();
    let other = desktop.bus.connect();
    for name in NAMES {
        take(&other, name, ALLOW_REPLACEMENT);
    }
    let refused = refused(&desktop, &[]);
    assert!(refused.contains("--take-over"), "{refused}");
    let said = desktop.session(&["--take-over"], "keyward login --json");
    assert_eq!(said[0]["account"]["username"], ALICE);
    for name in NAMES {
        wait::until(name, SOON, || {
            (other.owner_process(name) == Some(std::process::id())).then_some(())
        });
    }
}

#[test]
fn a_session_for_developers_never_runs_its_command_beside_another_broker() {
    for name in NAMES {
        let desktop = Desktop::start();
        let other = desktop.bus.connect();
        take(&other, name, DO_NOT_QUEUE);
        for options in [&[][..], &["--take-over"]] {
            let refused = refused(&desktop, options);
            let who = format!("process {}", std::process::id());
            assert!(
                refused.contains(name) && refused.contains(&who),
                "{refused}"
            );
            assert_eq!(other.owner_process(name), Some(std::process::id()));
        }
    }
}

#[test]
fn a_broker_the_bus_may_start_is_left_alone_unless_told_otherwise() {
    for name in NAMES {
        let desktop = Desktop::start();
        let started = desktop.login.path("started");
        install_other_broker(&desktop, name, &started);
        let refused = refused(&desktop, &[]);
        let why = ["may start another broker", name, "--take-over"];
        assert!(why.iter().all(|part| refused.contains(part)), "{refused}");
        let said = desktop.session(&["--take-over"], "keyward login --json");
        assert_eq!(said[0]["account"]["username"], ALICE);
        assert!(!started.exists(), "the bus started the other broker");
    }
}

/// Another broker, which the bus starts for a name; it leaves a file to tell.
fn install_other_broker(desktop: &Desktop, name: &str, started: &std::path::Path) {
    let program = desktop.login.path("other-broker");
    let script = format!("#!/bin/sh\necho > '{}'\n", started.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let service = format!("[D-BUS Service]\nName={name}\nExec={}\n", program.display());
    fs::write(desktop.login.path("services/other.service"), service).unwrap();
    let reloaded = desktop.bus.connect().call(DRIVER, "ReloadConfig", &());
    reloaded.unwrap();
}

/// A session that must not run its command; what it says instead.
fn refused(desktop: &Desktop, options: &[&str]) -> String {
    let proof = desktop.login.path("ran");
    let command = ["--", "touch", proof.to_str().unwrap()];
    let mut session = desktop.keyward_dev(&[&["session"], options, &command].concat());
    assert_eq!(session.wait(SOON).code(), Some(1), "{}", session.output());
    assert!(!proof.exists(), "the command ran");
    let left: Vec<_> = fs::read_dir(desktop.login.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    session.stderr()
}
