use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_000);
const TERMS: Terms = Terms {
    lifetime: Duration::from_secs(900),
    interval: Duration::from_secs(5),
    twist: None,
};

fn after(seconds: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(seconds))
}

fn issued() -> (Devices, Issued) {
    let devices = Devices::new();
    let request = DeviceRequest {
        tenant: Tenant::Oidc,
        client_id: "app".to_owned(),
        scopes: Scopes::parse("openid"),
        claims: None,
    };
    let issued = devices.issue(NOW, TERMS, request);
    (devices, issued)
}

fn grant() -> Grant {
    Grant {
        tenant: Tenant::Oidc,
        user_name: "alice@dev.test".to_owned(),
        client_id: "app".to_owned(),
        scopes: Scopes::parse("openid"),
        auth_time: NOW,
    }
}

#[test]
fn a_device_waits_until_it_is_allowed() {
    let (devices, codes) = issued();
    let poll = |at| {
        devices
            .poll(at, (&codes.device_code, Tenant::Oidc, "app"), None)
            .err()
    };
    assert_eq!(poll(after(0)), Some(PollError::Pending));
    assert_eq!(poll(after(5)), Some(PollError::Pending));
    let typed = format!(
        "{}-{}",
        &codes.user_code[..4],
        codes.user_code[4..].to_lowercase()
    );
    assert!(devices.find(after(6), &typed).is_some());
    assert!(devices.decide(after(6), &typed, Some(grant())));
    assert_eq!(poll(after(10)), None);
    assert_eq!(poll(after(15)), Some(PollError::Unknown));
}

#[test]
fn a_device_that_asks_too_often_must_slow_down() {
    let (devices, codes) = issued();
    let poll = |at| {
        devices
            .poll(at, (&codes.device_code, Tenant::Oidc, "app"), None)
            .err()
    };
    assert_eq!(poll(after(0)), Some(PollError::Pending));
    assert_eq!(poll(after(4)), Some(PollError::SlowDown));
    assert_eq!(poll(after(13)), Some(PollError::SlowDown));
    assert_eq!(poll(after(28)), Some(PollError::Pending));
}

#[test]
fn a_device_can_be_refused_and_its_code_expires() {
    let (devices, codes) = issued();
    let poll = |at, client| {
        devices
            .poll(at, (&codes.device_code, Tenant::Oidc, client), None)
            .err()
    };
    assert_eq!(poll(after(0), "other"), Some(PollError::Unknown));
    assert!(devices.decide(after(1), &codes.user_code, None));
    assert_eq!(poll(after(5), "app"), Some(PollError::Declined));
    assert!(!devices.decide(after(6), &codes.user_code, Some(grant())));

    let (devices, codes) = issued();
    assert!(devices.find(after(900), &codes.user_code).is_none());
    let late = devices
        .poll(after(900), (&codes.device_code, Tenant::Oidc, "app"), None)
        .err();
    assert_eq!(late, Some(PollError::Expired));
}
