use std::time::Duration;

use super::*;

fn about(user: &str) -> Subject {
    Subject {
        user: Some(user.to_owned()),
        ..Subject::default()
    }
}

#[test]
fn a_fault_strikes_as_often_as_it_was_told() {
    let faults = Faults::default();
    let rule = FaultRule {
        times: Some(2),
        ..FaultRule::once(Endpoint::Token, Fault::Status500)
    };
    faults.add(rule).unwrap();
    let struck = || {
        faults
            .plan(Endpoint::Token, &Subject::default())
            .ending
            .is_some()
    };
    assert_eq!([struck(), struck(), struck()], [true, true, false]);
    assert!(faults.list().is_empty());
}

#[test]
fn a_fault_strikes_only_whom_it_names() {
    let faults = Faults::default();
    let slow = FaultRule::always(Endpoint::Token, Fault::Slow { ms: 30_000 });
    faults.add(slow.for_user("alice@dev.test")).unwrap();
    let delay = |endpoint, subject: &Subject| faults.plan(endpoint, subject).delay;
    assert_eq!(
        delay(Endpoint::Token, &about("Alice@dev.test")),
        Duration::from_secs(30)
    );
    assert_eq!(
        delay(Endpoint::Token, &about("bob@dev.test")),
        Duration::ZERO
    );
    assert_eq!(delay(Endpoint::Token, &Subject::default()), Duration::ZERO);
    assert_eq!(
        delay(Endpoint::Api, &about("alice@dev.test")),
        Duration::ZERO
    );
}

#[test]
fn a_second_ending_waits_for_the_next_request() {
    let faults = Faults::default();
    for fault in [
        Fault::Status500,
        Fault::Garbage,
        Fault::ClockSkew { seconds: -5 },
    ] {
        faults.add(FaultRule::once(Endpoint::Token, fault)).unwrap();
    }
    let first = faults.plan(Endpoint::Token, &Subject::default());
    assert_eq!((first.ending, first.skew), (Some(Ending::Status500), -5));
    let second = faults.plan(Endpoint::Token, &Subject::default());
    assert_eq!((second.ending, second.skew), (Some(Ending::Garbage), 0));
}

#[test]
fn faults_that_mean_nothing_are_refused() {
    let faults = Faults::default();
    let add = |endpoint, fault| faults.add(FaultRule::once(endpoint, fault)).err();
    assert_eq!(
        add(Endpoint::Jwks, Fault::Expired),
        Some(InvalidFault::NotHere)
    );
    assert_eq!(
        add(Endpoint::Device, Fault::WrongNonce),
        Some(InvalidFault::NotHere)
    );
    let teapot = Fault::RetryAfter {
        status: 200,
        seconds: 1,
    };
    assert_eq!(add(Endpoint::Token, teapot), Some(InvalidFault::OutOfRange));
    assert_eq!(
        add(Endpoint::Token, Fault::Slow { ms: u64::MAX }),
        Some(InvalidFault::OutOfRange)
    );
}

#[test]
fn faults_are_read_from_json() {
    let read = |text| serde_json::from_str::<FaultRule>(text);
    let rule = read(
        r#"{"endpoint":"token","fault":{"retry_after":{"seconds":3}},"times":1,
            "match":{"user":"a","tenant":"oidc"}}"#,
    )
    .unwrap();
    assert_eq!(
        rule.fault,
        Fault::RetryAfter {
            status: 429,
            seconds: 3
        }
    );
    assert_eq!(rule.matching.tenant, Some(Tenant::Oidc));
    let rule = read(r#"{"endpoint":"jwks","fault":"garbage","times":null}"#).unwrap();
    assert_eq!((rule.fault, rule.times), (Fault::Garbage, None));
    assert!(read(r#"{"endpoint":"token","fault":"nonsense"}"#).is_err());
    assert!(read(r#"{"endpoint":"token","fault":"drop","tmies":1}"#).is_err());
}
