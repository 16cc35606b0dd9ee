use std::fs;

use keyward_broker_ipc::program::{Executable, Facts, FileIdentity};

use super::*;

fn program(path: &str, changed: i128) -> Program {
    Program::of(Facts {
        name: Some("tool".to_owned()),
        executable: Some(Executable {
            path: path.to_owned(),
            file: Some(FileIdentity { inode: 1, changed }),
        }),
        ..Facts::default()
    })
}

fn tool() -> Program {
    program("/home/a/bin/tool", 1)
}

fn scopes(text: &str) -> Scopes {
    Scopes::parse(text)
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

async fn allow(apps: &Apps, program: &Program, wanted: &str, account: &str) {
    let answer = (&scopes(wanted), Some(account));
    let remembered = apps.remember((program, "c"), AppVerdict::Allowed, answer, at(10));
    remembered.await.unwrap();
}

fn standing(apps: &Apps, program: &Program, wanted: &str, account: Option<&str>) -> Standing {
    let id = AppId {
        program: program.id(),
        client_id: "c",
    };
    apps.standing(id, &scopes(wanted), account)
}

#[tokio::test]
async fn an_answer_holds_for_what_it_was_about_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let apps = Apps::open(dir.path());
    assert_eq!(standing(&apps, &tool(), "a", None), Standing::Open);
    allow(&apps, &tool(), "a b", "u.t").await;
    for apps in [&apps, &Apps::open(dir.path())] {
        assert_eq!(
            standing(apps, &tool(), "b openid", Some("u.t")),
            Standing::Allowed
        );
        assert_eq!(standing(apps, &tool(), "", None), Standing::Allowed);
        assert_eq!(standing(apps, &tool(), "b c", Some("u.t")), Standing::Open);
        assert_eq!(standing(apps, &tool(), "b", Some("v.t")), Standing::Open);
        // Somebody put another file in its place.
        let other = program("/home/a/bin/tool", 2);
        assert_eq!(standing(apps, &other, "b", Some("u.t")), Standing::Open);
        let tool = tool();
        let id = AppId {
            program: tool.id(),
            client_id: "d",
        };
        assert_eq!(apps.standing(id, &scopes("a"), None), Standing::Open);
    }
    allow(&apps, &tool(), "c", "u.t").await;
    assert_eq!(
        standing(&apps, &tool(), "a b c", Some("u.t")),
        Standing::Allowed
    );
    assert_eq!(apps.list().len(), 1);
}

#[tokio::test]
async fn a_refusal_holds_for_all_until_it_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let apps = Apps::open(dir.path());
    allow(&apps, &tool(), "a", "u.t").await;
    let answer = (&scopes("b"), None);
    let tool = tool();
    let denied = apps.remember((&tool, "c"), AppVerdict::Denied, answer, at(20));
    denied.await.unwrap();
    let denied = Standing::Denied(at(20));
    assert_eq!(standing(&apps, &tool, "a", Some("u.t")), denied);
    assert_eq!(apps.revoke(Some("nobody")).await.unwrap(), 0);
    assert_eq!(standing(&Apps::open(dir.path()), &tool, "a", None), denied);
    assert_eq!(apps.revoke(Some("tool")).await.unwrap(), 1);
    let reopened = Apps::open(dir.path());
    assert_eq!(standing(&reopened, &tool, "a", None), Standing::Open);
    assert_eq!(reopened.list(), []);
}

#[tokio::test]
async fn programs_nobody_was_asked_about_are_listed_too() {
    let dir = tempfile::tempdir().unwrap();
    let apps = Apps::open(dir.path());
    apps.used(&tool(), "c", &scopes("a"), at(5));
    apps.used(&tool(), "c", &scopes("b"), at(7));
    let [app] = &apps.list()[..] else {
        panic!("{:?}", apps.list());
    };
    assert_eq!(app.verdict, AppVerdict::Unasked);
    assert_eq!(app.scopes, ["a", "b"]);
    assert_eq!(app.path.as_deref(), Some("/home/a/bin/tool"));
    assert_eq!(app.since, "1970-01-01T00:00:05Z");
    assert_eq!(app.last_used.as_deref(), Some("1970-01-01T00:00:07Z"));
    // That allows nothing where somebody is to be asked.
    assert_eq!(standing(&apps, &tool(), "a", None), Standing::Open);
    allow(&apps, &tool(), "a", "u.t").await;
    assert_eq!(apps.list().len(), 1);
    assert_eq!(apps.list()[0].verdict, AppVerdict::Allowed);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_left_as_it_is_and_allows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    for content in ["{", "{\"format\":2,\"apps\":[]}", "[]"] {
        fs::write(&file, content).unwrap();
        let apps = Apps::open(dir.path());
        assert!(apps.problem().unwrap().contains("apps.json"), "{content}");
        let answer = (&scopes("a"), None);
        let tool = tool();
        let kept = apps.remember((&tool, "c"), AppVerdict::Allowed, answer, at(1));
        assert_eq!(kept.await.unwrap_err().kind(), ErrorKind::Storage);
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let apps = Apps::open(&dir.path().join("nowhere"));
    let answer = (&scopes("a"), None);
    let tool = tool();
    let kept = apps.remember((&tool, "c"), AppVerdict::Allowed, answer, at(1));
    assert_eq!(kept.await.unwrap_err().kind(), ErrorKind::Storage);
}

#[test]
fn as_many_programs_as_come_leave_no_more_than_a_bounded_trace() {
    let mut state = State::default();
    let asked = App {
        verdict: AppVerdict::Allowed,
        ..App::new(&tool(), "c", &scopes("a"), at(0))
    };
    state.remember(asked);
    for number in 0..MOST + 10 {
        let client = number.to_string();
        state.used(&tool(), &client, &scopes("a"), at(number as u64));
    }
    assert_eq!(state.all().count(), MOST);
    // What the person was asked about is kept longest.
    assert!(state.all().any(|app| app.verdict == AppVerdict::Allowed));
}

#[test]
fn a_program_goes_by_each_of_its_names() {
    let app = App::new(&tool(), "client-1", &scopes("a"), at(0));
    for name in [tool().id(), "tool", "/home/a/bin/tool", "client-1"] {
        assert!(app.is_called(name), "{name}");
    }
    assert!(!app.is_called("other"));
    let app = App {
        program: "flatpak:org.example.App".to_owned(),
        ..app
    };
    assert!(app.is_called("org.example.App"));
}
