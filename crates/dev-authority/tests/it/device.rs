//! The device code flow of both tenants.

use std::sync::Arc;
use std::time::Duration;

use keyward_dev_authority::scripted::{Choice, Person};
use keyward_dev_authority::{Authority, Clock as _, ManualClock, Running};
use keyward_jose::time::UnixTime;
use reqwest::Url;

use crate::app::{Answer, App, CLIENT_ID, SCOPE, alice, unix_now};
use crate::browser::Browser;
use crate::key::claims;

async fn with_clock() -> (Running, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(unix_now())));
    let running = Authority::builder()
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    (running, clock)
}

async fn begin(app: &App, endpoint: &str) -> Answer {
    app.post(endpoint, &[], &[("client_id", CLIENT_ID), ("scope", SCOPE)])
        .await
        .ok()
}

async fn poll(app: &App, codes: &Answer) -> Answer {
    let device_code = codes.text("device_code");
    let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    app.token(&[("grant_type", grant_type), ("device_code", device_code)])
        .await
}

/// A person at another screen, who types the code.
async fn decide(codes: &Answer, person: Person) -> String {
    let url = Url::parse(codes.text("verification_uri")).unwrap();
    let person = person.with_user_code(codes.text("user_code"));
    let mut browser = Browser::new();
    let shown = browser.get(&url).await;
    assert_eq!(shown.name(), "user-code");
    browser
        .drive(shown, &person)
        .await
        .unwrap()
        .html()
        .to_owned()
}

#[tokio::test]
async fn a_device_is_let_in_by_a_person_elsewhere() {
    let (running, clock) = with_clock().await;
    for (app, endpoint) in [
        (App::entra(&running), "devicecode"),
        (App::oidc(&running), "device_authorization"),
    ] {
        let codes = begin(&app, endpoint).await;
        assert_eq!(
            (&codes.json["expires_in"], &codes.json["interval"]),
            (&900.into(), &5.into())
        );
        assert!(codes.text("verification_uri").starts_with(running.http()));
        assert_eq!(poll(&app, &codes).await.error(), "authorization_pending");
        let page = decide(&codes, alice()).await;
        assert!(page.contains("You are signed in on your device"));
        clock.advance(Duration::from_secs(5));
        let tokens = poll(&app, &codes).await.ok();
        assert_eq!(
            claims(tokens.text("id_token"))["preferred_username"],
            "alice@dev.test"
        );
        app.refresh(tokens.text("refresh_token"), &[]).await.ok();
        assert!(!poll(&app, &codes).await.status.is_success());
    }
}

#[tokio::test]
async fn a_tokens_of_a_device_are_bound_to_its_key() {
    let (running, _clock) = with_clock().await;
    let app = App::oidc(&running);
    let codes = begin(&app, "device_authorization").await;
    decide(&codes, alice()).await;
    let tokens = poll(&app, &codes).await.ok();
    let thief = App::oidc(&running);
    let refused = thief.refresh(tokens.text("refresh_token"), &[]).await;
    assert_eq!(refused.error(), "invalid_grant");
    app.refresh(tokens.text("refresh_token"), &[("token_type", "DPoP")])
        .await
        .ok();
}

#[tokio::test]
async fn an_impatient_device_must_slow_down() {
    let (running, clock) = with_clock().await;
    let app = App::oidc(&running);
    let codes = begin(&app, "device_authorization").await;
    let after = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        poll(&app, &codes).await.error().to_owned()
    };
    assert_eq!(after(0).await, "authorization_pending");
    assert_eq!(after(4).await, "slow_down");
    assert_eq!(after(6).await, "slow_down");
    assert_eq!(after(15).await, "authorization_pending");

    let app = App::entra(&running);
    let codes = begin(&app, "devicecode").await;
    for _ in 0..2 {
        let pending = poll(&app, &codes).await;
        assert_eq!(pending.error(), "authorization_pending");
        assert_eq!(pending.json["error_codes"][0], 70_016);
    }
}

#[tokio::test]
async fn a_person_can_refuse_a_device() {
    let (running, _clock) = with_clock().await;
    for (app, endpoint, error) in [
        (App::entra(&running), "devicecode", "authorization_declined"),
        (App::oidc(&running), "device_authorization", "access_denied"),
    ] {
        for choice in [Choice::Decline, Choice::Cancel] {
            let codes = begin(&app, endpoint).await;
            let page = decide(&codes, alice().choosing(choice)).await;
            assert!(page.contains("Your device was refused"));
            assert_eq!(poll(&app, &codes).await.error(), error);
        }
    }
}

#[tokio::test]
async fn codes_end() {
    let (running, clock) = with_clock().await;
    for (mut app, endpoint, invented) in [
        (App::entra(&running), "devicecode", "bad_verification_code"),
        (App::oidc(&running), "device_authorization", "invalid_grant"),
    ] {
        let codes = begin(&app, endpoint).await;
        clock.advance(Duration::from_secs(900));
        app.now = clock.now().as_secs();
        assert_eq!(poll(&app, &codes).await.error(), "expired_token");
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", "x"),
        ];
        assert_eq!(app.token(&form).await.error(), invented);
        let url = Url::parse(codes.text("verification_uri")).unwrap();
        let late = alice().with_user_code(codes.text("user_code"));
        assert!(Browser::new().sign_in(&url, &late).await.is_err());
    }
}

#[tokio::test]
async fn a_link_may_bring_the_code_along_and_older_clients_are_understood() {
    let (running, _clock) = with_clock().await;
    let oidc = App::oidc(&running);
    let codes = begin(&oidc, "device_authorization").await;
    let complete = Url::parse(codes.text("verification_uri_complete")).unwrap();
    let shown = Browser::new().get(&complete).await;
    assert_eq!(
        shown.page().form.unwrap().value("otc"),
        Some(codes.text("user_code"))
    );

    let entra = App::entra(&running);
    let codes = begin(&entra, "devicecode").await;
    assert!(codes.json.get("verification_uri_complete").is_none());
    assert!(codes.text("message").contains(codes.text("user_code")));
    decide(&codes, alice()).await;
    let form = [
        ("grant_type", "device_code"),
        ("code", codes.text("device_code")),
    ];
    entra.token(&form).await.ok();
}
