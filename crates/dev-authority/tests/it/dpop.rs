//! DPoP at the token endpoint: nonces, replay, and what a proof must say.

use std::sync::Arc;
use std::time::Duration;

use keyward_dev_authority::{Authority, ManualClock};
use keyward_jose::jws::Header;
use keyward_jose::time::UnixTime;
use keyward_jose::{Algorithm, base64url};
use reqwest::StatusCode;
use serde_json::json;

use crate::app::{App, SCOPE, alice, authority, unix_now};
use crate::key::Key;

#[tokio::test]
async fn a_proof_needs_a_nonce_and_every_answer_offers_one() {
    let running = authority().await;
    let app = App::oidc(&running);
    let code = app.code(&alice(), SCOPE).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
    ];

    let challenged = app.token_once(&form).await;

    assert_eq!(
        (challenged.status, challenged.error()),
        (StatusCode::BAD_REQUEST, "use_dpop_nonce")
    );
    let first = challenged.header("dpop-nonce").to_owned();
    assert!(!first.is_empty());
    let tokens = app.redeem(&code, &[]).await.ok();
    let second = tokens.header("dpop-nonce").to_owned();
    assert!(!second.is_empty() && second != first);
    let plain = app.token_with_proof(None, &[]).await;
    assert!(!plain.header("dpop-nonce").is_empty());
}

#[tokio::test]
async fn an_old_or_foreign_nonce_is_answered_with_a_new_one() {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(unix_now())));
    let builder = Authority::builder().clock(clock.clone());
    let running = builder
        .nonce_lifetime(Duration::from_secs(60))
        .start()
        .await
        .unwrap();
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.text("refresh_token")),
    ];

    clock.advance(Duration::from_secs(61));
    assert_eq!(app.token_once(&refresh).await.error(), "use_dpop_nonce");
    app.token_once(&refresh).await.ok();

    let other = authority().await;
    let foreign = App::oidc(&other).nonce().await;
    let proof = app
        .key
        .as_ref()
        .unwrap()
        .dpop(&app.proof_claims(Some(&foreign)));
    assert_eq!(
        app.token_with_proof(Some(&proof), &refresh).await.error(),
        "use_dpop_nonce"
    );
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let nonce = app.nonce().await;
    let claims = app.proof_claims(Some(&nonce));
    let proof = app.key.as_ref().unwrap().dpop(&claims);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.text("refresh_token")),
    ];

    let next = app.token_with_proof(Some(&proof), &refresh).await.ok();

    let replayed = app.token_with_proof(Some(&proof), &refresh).await;
    assert_eq!(replayed.error(), "invalid_dpop_proof");
    let same_jti = app.key.as_ref().unwrap().dpop(&claims);
    let replayed = app.token_with_proof(Some(&same_jti), &refresh).await;
    assert_eq!(replayed.error(), "invalid_dpop_proof");
    // Another key's ids are its own.
    let thief = Key::new().dpop(&claims);
    assert_eq!(
        app.token_with_proof(Some(&thief), &refresh).await.error(),
        "invalid_grant"
    );
    app.refresh(next.text("refresh_token"), &[]).await.ok();
}

#[tokio::test]
async fn a_proof_must_be_for_this_request_and_this_time() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.text("refresh_token")),
    ];
    let key = app.key.as_ref().unwrap();
    for (name, value) in [
        ("htm", json!("GET")),
        ("htm", json!("post")),
        ("htu", json!("http://127.0.0.1:1/oidc/token")),
        ("htu", json!(format!("{}/authorize", app.base))),
        ("htu", json!("nonsense")),
        ("iat", json!(app.now - 400)),
        ("iat", json!(app.now + 400)),
        ("iat", json!("now")),
        ("jti", json!("")),
        ("jti", json!(7)),
    ] {
        let mut claims = app.proof_claims(Some(&app.nonce().await));
        claims[name] = value.clone();
        let refused = app
            .token_with_proof(Some(&key.dpop(&claims)), &refresh)
            .await;
        assert_eq!(refused.error(), "invalid_dpop_proof", "{name} = {value}");
    }
    for missing in ["jti", "htm", "htu", "iat"] {
        let mut claims = app.proof_claims(Some(&app.nonce().await));
        claims.as_object_mut().unwrap().remove(missing);
        let refused = app
            .token_with_proof(Some(&key.dpop(&claims)), &refresh)
            .await;
        assert_eq!(refused.error(), "invalid_dpop_proof", "without {missing}");
    }
    let mut claims = app.proof_claims(Some(&app.nonce().await));
    claims["htu"] = json!(format!("{}/token?x=1#y", app.base.replace("http", "HTTP")));
    app.token_with_proof(Some(&key.dpop(&claims)), &refresh)
        .await
        .ok();
}

#[tokio::test]
async fn a_proof_must_be_well_signed() {
    let running = authority().await;
    let app = App::oidc(&running);
    let key = app.key.as_ref().unwrap();
    let claims = app.proof_claims(Some(&app.nonce().await));
    let header = || Header::new(Algorithm::Es256).with_typ("dpop+jwt");
    let good = key.dpop(&claims);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |header: &str| {
        let header = base64url::encode(header.as_bytes());
        format!("{header}.{}.{signature}", input.split_once('.').unwrap().1)
    };
    for bad in [
        key.sign(&header(), &claims),
        key.sign(
            &Header::new(Algorithm::Es256)
                .with_typ("JWT")
                .with_jwk(&key.jwk()),
            &claims,
        ),
        key.sign(&header().with_jwk(&Key::new().jwk()), &claims),
        unsigned(r#"{"typ":"dpop+jwt","alg":"none"}"#),
        unsigned(r#"{"typ":"dpop+jwt","alg":"HS256"}"#),
        format!("{input}."),
        "nonsense".to_owned(),
        String::new(),
    ] {
        let refused = app
            .token_with_proof(Some(&bad), &[("grant_type", "refresh_token")])
            .await;
        assert_eq!(refused.error(), "invalid_dpop_proof", "{bad}");
    }
    let two = [("DPoP", good.as_str()), ("DPoP", good.as_str())];
    let form = [
        ("client_id", app.client_id.as_str()),
        ("grant_type", "refresh_token"),
    ];
    assert_eq!(
        app.post("token", &two, &form).await.error(),
        "invalid_dpop_proof"
    );
}

#[tokio::test]
async fn ed25519_proofs_are_good_too() {
    let running = authority().await;
    let app = App {
        key: Some(Key::ed25519()),
        ..App::oidc(&running)
    };
    let tokens = app.sign_in(&alice(), SCOPE).await;
    app.refresh(tokens.text("refresh_token"), &[("token_type", "dpop")])
        .await
        .ok();
}
