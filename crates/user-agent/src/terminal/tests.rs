use std::os::fd::OwnedFd;

use keyward_oauth::question::Asker;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::*;

/// A terminal, and the end at which the person sits.
fn terminal() -> (Terminal, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal: OwnedFd = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
    (Terminal(terminal.into()), person.into())
}

/// What the person sees until this text is there.
fn sees(person: &mut File, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let length = person.read(&mut chunk).unwrap();
        seen.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

type Asked = Result<Answer, UserAgentError>;

/// Asks; the person waits for each text and then types the line. Gives back what was seen.
async fn asked(question: Question, script: &[(&str, &str)]) -> (Asked, String) {
    let (terminal, mut person) = terminal();
    let script: Vec<(String, String)> = script
        .iter()
        .map(|(text, line)| ((*text).to_owned(), (*line).to_owned()))
        .collect();
    let person = thread::spawn(move || {
        let mut seen = String::new();
        for (text, line) in script {
            seen += &sees(&mut person, &text);
            person.write_all(line.as_bytes()).unwrap();
        }
        (seen, person)
    });
    let answer = terminal.ask(&question).await;
    terminal.write("the end").unwrap();
    let (mut seen, mut person) = person.join().unwrap();
    seen += &sees(&mut person, "the end");
    (answer, seen)
}

fn consent_question() -> Question {
    Question::Consent(Box::new(ConsentQuestion {
        program: Asker {
            name: Some("tool\u{1b}[2J".to_owned()),
            path: Some("/home/a/bin/tool".to_owned()),
            parent_name: Some("bash".to_owned()),
            parent_path: Some("/usr/bin/bash".to_owned()),
            ..Asker::default()
        },
        client_id: "client-1".to_owned(),
        scopes: vec!["User.Read".to_owned()],
        ..ConsentQuestion::default()
    }))
}

#[tokio::test]
async fn only_a_yes_is_one() {
    for (line, expected) in [
        ("y\n", Some(true)),
        ("YES\n", Some(true)),
        ("never\n", Some(false)),
        ("\n", None),
        ("n\n", None),
        ("yy\n", None),
        ("\u{4}", None),
    ] {
        let (answer, seen) = asked(consent_question(), &[("[y/N/never] ", line)]).await;
        let answer = match answer {
            Ok(Answer::Allow) => Some(true),
            Ok(Answer::Deny) => Some(false),
            Err(UserAgentError::Canceled) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(answer, expected, "{line:?}");
        for shown in [
            "tool\u{fffd}[2J",
            "/home/a/bin/tool",
            "bash (/usr/bin/bash)",
            "client-1",
        ] {
            assert!(seen.contains(shown), "{shown}: {seen}");
        }
        assert!(!seen.contains('\u{1b}'), "{seen}");
    }
}

fn pin_question(new: bool) -> Question {
    Question::Pin(PinQuestion {
        purpose: "to unlock the keys".to_owned(),
        new,
        ..PinQuestion::default()
    })
}

fn pin(answer: Asked) -> String {
    match answer.unwrap() {
        Answer::Pin(pin) => pin.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pin_is_not_seen_while_it_is_typed() {
    let (answer, seen) = asked(pin_question(false), &[("PIN: ", "s3cret\n")]).await;
    assert_eq!(pin(answer), "s3cret");
    assert!(seen.contains("to unlock the keys"), "{seen}");
    assert!(!seen.contains("s3cret"), "{seen}");
}

#[tokio::test]
async fn a_pin_can_be_corrected_and_ctrl_c_cancels_without_ending_the_process() {
    let typed = "12\u{e4}\u{7f}\u{7f}34\n";
    let (answer, _) = asked(pin_question(false), &[("PIN: ", typed)]).await;
    assert_eq!(pin(answer), "134");
    for cancelled in ["12\u{3}", "\u{4}", "\n"] {
        let (answer, _) = asked(pin_question(false), &[("PIN: ", cancelled)]).await;
        assert!(
            matches!(answer, Err(UserAgentError::Canceled)),
            "{cancelled:?}"
        );
    }
}

#[tokio::test]
async fn a_new_pin_is_typed_twice() {
    let script = [
        ("PIN: ", "1234\n"),
        ("again: ", "4321\n"),
        ("not the same", "1234\n"),
        ("again: ", "1234\n"),
    ];
    let (answer, _) = asked(pin_question(true), &script).await;
    assert_eq!(pin(answer), "1234");
}

#[tokio::test]
async fn what_is_typed_is_seen_again_when_the_question_is_taken_away() {
    let (terminal, mut person) = terminal();
    let echoes = |terminal: &Terminal| {
        let modes = tcgetattr(&terminal.0).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    };
    assert!(echoes(&terminal));
    {
        let question = pin_question(false);
        let mut asking = Box::pin(terminal.ask(&question));
        let at_once = std::time::Duration::ZERO;
        let asked = tokio::time::timeout(at_once, &mut asking).await;
        assert!(asked.is_err());
        assert!(!echoes(&terminal));
    }
    assert!(echoes(&terminal));
    // The thread that reads has its line.
    person.write_all(b"\n").unwrap();
}
