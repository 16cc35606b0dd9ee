use std::fs;

use keyward_broker_ipc::program::{Executable, Facts, Sandbox};
use keyward_broker_ipc::service::Via;
use keyward_config::{Environment, Permit};
use tempfile::TempDir;

use super::*;

fn policy(dir: &TempDir, rules: &str) -> Policy {
    let file = dir.path().join("config.toml");
    fs::write(&file, rules).unwrap();
    let environment = Environment::empty().with_variable("KEYWARD_CONFIG", &file);
    let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
    Policy::open(&config, dir.path())
}

fn at(path: &str) -> Arc<Program> {
    Arc::new(Program::of(Facts {
        executable: Some(Executable {
            path: path.to_owned(),
            file: None,
        }),
        ..Facts::default()
    }))
}

fn sandboxed() -> Arc<Program> {
    Arc::new(Program::of(Facts {
        sandbox: Some(Sandbox::Flatpak("org.a".to_owned())),
        ..Facts::default()
    }))
}

fn caller(program: Arc<Program>) -> Caller {
    Caller {
        program,
        ..Caller::new(1000, Some(7), Via::Socket)
    }
}

fn through(forwarder: Arc<Program>, program: Arc<Program>) -> Caller {
    Caller {
        forwarder: Some(forwarder),
        ..caller(program)
    }
}

fn wanted(scopes: &Scopes) -> Wanted<'_> {
    Wanted {
        client_id: "c",
        scopes,
        account: AccountAsked::Known {
            username: Some("alice@dev.test"),
            home: Some("u.t"),
        },
    }
}

fn kind(policy: &Policy, caller: &Caller) -> Option<ErrorKind> {
    let scopes = Scopes::parse("a openid");
    let admitted = policy.admit(caller, wanted(&scopes));
    assert_eq!(admitted.is_ok(), policy.allows(caller, wanted(&scopes)));
    admitted.err().map(|(_, error)| error.kind())
}

#[test]
fn each_verdict_has_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[[policy.rule]]\nexecutable = \"/opt/bad\"\nverdict = \"deny\"\n";
    let policy = policy(&dir, rules);
    assert_eq!(kind(&policy, &caller(at("/opt/good"))), None);
    let refused = ErrorKind::IncorrectConfiguration;
    assert_eq!(kind(&policy, &caller(at("/opt/bad"))), Some(refused));
    let asked = ErrorKind::InteractionRequired;
    assert_eq!(kind(&policy, &caller(sandboxed())), Some(asked));
    assert_eq!(kind(&policy, &caller(Program::unknown())), Some(asked));
}

#[tokio::test]
async fn what_the_person_said_counts_where_the_person_is_to_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let policy = policy(&dir, "");
    let (app, now) = (caller(sandboxed()), UnixTime::from_secs(60));
    let scopes = Scopes::parse("a");
    policy.remember(&app, wanted(&scopes), now).await.unwrap();
    assert_eq!(kind(&policy, &app), None);
    let other = AccountAsked::Known {
        username: None,
        home: Some("v.t"),
    };
    let for_another = Wanted {
        account: other,
        ..wanted(&scopes)
    };
    assert!(!policy.allows(&app, for_another));
    let about = (&*app.program, "c");
    let denied = verdict_of(false);
    let denied = policy.apps.remember(about, denied, (&scopes, None), now);
    denied.await.unwrap();
    assert_eq!(kind(&policy, &app), Some(ErrorKind::UserCanceled));
    let (_, error) = policy.admit(&app, wanted(&scopes)).unwrap_err();
    assert!(error.message().contains("1970-01-01T00:01:00Z"), "{error}");
    assert_eq!(policy.revoke(Some("org.a")).await.unwrap(), 1);
    assert_eq!(kind(&policy, &app), Some(ErrorKind::InteractionRequired));
    let unknown = policy.revoke(Some("org.a")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidRequest);
    assert_eq!(policy.revoke(None).await.unwrap(), 0);
}

#[test]
fn who_passes_a_request_on_is_judged_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[[policy.rule]]\nexecutable = \"/opt/bad\"\nverdict = \"deny\"\n\
                 [[policy.rule]]\nexecutable = \"/usr/bin/keyward-session\"\nverdict = \"deny\"\n";
    let policy = policy(&dir, rules);
    let good = at("/opt/good");
    let refused = Some(ErrorKind::IncorrectConfiguration);
    assert_eq!(
        kind(&policy, &through(at("/opt/bad"), Arc::clone(&good))),
        refused
    );
    assert_eq!(
        kind(&policy, &through(Arc::clone(&good), at("/opt/bad"))),
        refused
    );
    // Its own sandbox is not left behind by speaking for somebody else.
    assert_eq!(
        kind(&policy, &through(sandboxed(), Arc::clone(&good))),
        refused
    );
    // keyward-session, which is for everybody on the bus, and mostly lets nobody look at it.
    let session = at("/usr/bin/keyward-session");
    assert_eq!(kind(&policy, &through(session, Arc::clone(&good))), None);
    let unknown = Program::unknown();
    assert_eq!(kind(&policy, &through(unknown, Arc::clone(&good))), None);
    let this = std::env::current_exe().unwrap();
    let developers = at(this.to_str().unwrap());
    assert_eq!(kind(&policy, &through(developers, good)), None);
}

#[test]
fn a_token_for_more_than_was_asked_for_is_judged_by_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[[policy.rule]]\nscope = \"Mail.*\"\nverdict = \"deny\"\n\
                 [[policy.rule]]\nscope = \"Files.*\"\nverdict = \"ask\"\n";
    let policy = policy(&dir, rules);
    let app = caller(at("/opt/a"));
    let asked = Scopes::parse("User.Read");
    let kind = |granted: &str| {
        let granted = Scopes::parse(granted);
        let admitted = policy.admit_answer(&app, wanted(&asked), &granted);
        admitted
            .err()
            .map(|(decision, error)| (decision.more, error.kind()))
    };
    assert_eq!(kind("User.Read Calendars.Read"), None);
    let refused = Some((true, ErrorKind::IncorrectConfiguration));
    assert_eq!(kind("User.Read Mail.Read"), refused);
    let to_be_asked = Some((true, ErrorKind::InteractionRequired));
    assert_eq!(kind("User.Read Files.Read"), to_be_asked);
}

#[test]
fn prompts_that_come_to_nothing_are_followed_by_none() {
    let dir = tempfile::tempdir().unwrap();
    let policy = policy(&dir, "");
    let app = caller(at("/opt/a"));
    let canceled = || Err::<(), _>(AcquireTokenError::new(ErrorKind::UserCanceled, "no"));
    // What was never shown counts for nothing.
    for _ in 0..5 {
        policy.prompting(&app, "c").ended(&canceled());
    }
    let shown = || {
        let prompting = policy.prompting(&app, "c");
        prompting.gate().admit()?;
        prompting.gate().shown();
        Ok::<_, AcquireTokenError>(prompting)
    };
    shown().unwrap().ended(&canceled());
    // Given up while it was shown.
    drop(shown().unwrap());
    // Answered: those before it are forgotten.
    shown().unwrap().ended(&Ok(()));
    for _ in 0..2 {
        shown().unwrap().ended(&canceled());
    }
    // An error of another kind is nobody's fault.
    let broken = AcquireTokenError::new(ErrorKind::NoNetwork, "no");
    shown().unwrap().ended(&Err::<(), _>(broken));
    shown().unwrap().ended(&canceled());
    let error = shown().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests);
    assert!(error.retry_after().is_some());
}
