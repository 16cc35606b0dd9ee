//! Signed HTTP requests at the protected demo API.

use std::sync::Arc;
use std::time::Duration;

use keyward_dev_authority::{Authority, ManualClock, Running};
use keyward_jose::base64url;
use keyward_jose::time::UnixTime;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{assert_refused, bound, call, get, me};
use crate::app::{App, SCOPE, alice, authority, unix_now};
use crate::key::Key;

fn shr_claims(app: &App, running: &Running, access_token: &str) -> Value {
    json!({
        "at": access_token,
        "ts": app.now,
        "m": "GET",
        "u": running.http().strip_prefix("http://"),
        "p": "/api/me",
        "nonce": uuid::Uuid::new_v4().simple().to_string(),
    })
}

#[tokio::test]
async fn a_signed_request_is_accepted_once() {
    let running = authority().await;
    let (app, oidc_token) = bound(&running).await;
    let key = app.key.as_ref().unwrap();
    let entra = App::entra(&running);
    let tokens = entra.sign_in(&alice(), SCOPE).await;
    let pop = [("token_type", "pop"), ("req_cnf", &key.req_cnf())];
    let entra_token = entra.refresh(tokens.text("refresh_token"), &pop).await.ok();
    for (token, name) in [
        (oidc_token.as_str(), "jkt"),
        (entra_token.text("access_token"), "kid"),
    ] {
        let shr = key.shr(shr_claims(&app, &running, token));
        let authorization = format!("PoP {shr}");

        let answer = get(&app, &running, &authorization).await.ok();

        assert_eq!(
            (answer.text("scheme"), &answer.json["cnf"][name]),
            ("PoP", &json!(key.jkt()))
        );
        assert!(
            answer
                .header("authentication-info")
                .starts_with("PoP nextnonce=\"")
        );
        assert_refused(
            &get(&app, &running, &authorization).await,
            "PoP nonce=",
            "invalid_token",
        );
        // The same request under another valid signature: r and n - s verify as well as r and s.
        let replayed = get(&app, &running, &format!("PoP {}", malleated(&shr))).await;
        assert_refused(&replayed, "PoP", "invalid_token");
        assert!(replayed.text("error_description").contains("used before"));
        let bearer = get(&app, &running, &format!("Bearer {token}")).await;
        assert_refused(&bearer, "Bearer", "invalid_token");
    }
}

/// Replaces `s` of an ES256 signature by `n - s`.
fn malleated(jws: &str) -> String {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let mut signature = base64url::decode(signature).unwrap();
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let difference = i16::from(N[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + at] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    format!("{input}.{}", base64url::encode(&signature))
}

#[tokio::test]
async fn a_signed_request_must_fit_request_token_and_key() {
    let running = authority().await;
    let (app, token) = bound(&running).await;
    let key = app.key.as_ref().unwrap();
    let send = async |shr: String| get(&app, &running, &format!("PoP {shr}")).await;
    for (name, value) in [
        ("m", json!("POST")),
        ("m", json!("get")),
        ("u", json!("localhost")),
        ("u", json!("graph.microsoft.com")),
        ("p", json!("/api/you")),
        ("p", json!("/API/me")),
        ("q", json!([[], "x=1"])),
        ("ts", json!(app.now - 400)),
        ("ts", json!(app.now + 400)),
        ("ts", json!("now")),
        ("nonce", json!(7)),
        ("at", json!("nonsense")),
        ("at", json!(null)),
    ] {
        let mut claims = shr_claims(&app, &running, &token);
        claims[name] = value.clone();
        let refused = send(key.shr(claims)).await;
        assert_refused(&refused, "PoP", "invalid_token");
    }
    let claims = || shr_claims(&app, &running, &token);
    assert_refused(
        &send(Key::new().shr(claims())).await,
        "PoP",
        "invalid_token",
    );
    assert_refused(
        &send(Key::ed25519().shr(claims())).await,
        "PoP",
        "invalid_token",
    );
    assert_refused(&send(key.dpop(&claims())).await, "PoP", "invalid_token");
    let plain = app.sign_in(&alice(), SCOPE).await;
    let unbound = shr_claims(&app, &running, plain.text("access_token"));
    assert_refused(&send(key.shr(unbound)).await, "PoP", "invalid_token");
    let mut with_query = claims();
    with_query["q"] = json!([[], "a=b"]);
    let url = format!("{}?a=b", me(&running));
    let authorization = format!("PoP {}", key.shr(with_query));
    call(
        &app,
        &url,
        Method::GET,
        &[("Authorization", &authorization)],
    )
    .await
    .ok();
}

#[tokio::test]
async fn nonces_for_signed_requests_are_offered_and_grow_old() {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(unix_now())));
    let running = Authority::builder()
        .clock(clock.clone())
        .nonce_lifetime(Duration::from_secs(60))
        .require_pop_nonce()
        .start()
        .await
        .unwrap();
    let (app, token) = bound(&running).await;
    let key = app.key.as_ref().unwrap();
    let send = |nonce: &str| {
        let mut claims = shr_claims(&app, &running, &token);
        claims["nonce"] = json!(nonce);
        let authorization = format!("PoP {}", key.shr(claims));
        let (app, running) = (&app, &running);
        async move { get(app, running, &authorization).await }
    };

    let challenged = send("made up").await;
    assert_refused(&challenged, "PoP", "invalid_token");
    let nonce = quoted(challenged.header("www-authenticate"), "nonce");
    let answer = send(&nonce).await.ok();
    let next = quoted(answer.header("authentication-info"), "nextnonce");
    send(&next).await.ok();
    clock.advance(Duration::from_secs(61));
    let old = send(&next).await;
    assert!(old.text("error_description").contains("too old"));
}

/// The value of a quoted parameter.
fn quoted(header: &str, name: &str) -> String {
    let (_, rest) = header.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}
