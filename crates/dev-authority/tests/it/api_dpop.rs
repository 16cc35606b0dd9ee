//! DPoP at the protected demo API.

use keyward_dev_authority::Running;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{assert_refused, bound, call, get, me};
use crate::app::{Answer, App, SCOPE, alice, authority};
use crate::key::{Key, ath};

fn dpop_claims(app: &App, url: &str, access_token: &str, nonce: &str) -> Value {
    json!({
        "jti": uuid::Uuid::new_v4().to_string(),
        "htm": "GET",
        "htu": url,
        "iat": app.now,
        "ath": ath(access_token),
        "nonce": nonce,
    })
}

async fn dpop(app: &App, running: &Running, access_token: &str, proof: &str) -> Answer {
    let authorization = format!("DPoP {access_token}");
    let headers = [("Authorization", authorization.as_str()), ("DPoP", proof)];
    call(app, &me(running), Method::GET, &headers).await
}

#[tokio::test]
async fn dpop_needs_a_proof_with_a_nonce() {
    let running = authority().await;
    let (app, token) = bound(&running).await;
    let key = app.key.as_ref().unwrap();
    let mut without = dpop_claims(&app, &me(&running), &token, "");
    without.as_object_mut().unwrap().remove("nonce");

    let challenged = dpop(&app, &running, &token, &key.dpop(&without)).await;

    assert_refused(&challenged, "DPoP", "use_dpop_nonce");
    let nonce = challenged.header("dpop-nonce").to_owned();
    let proof = key.dpop(&dpop_claims(&app, &me(&running), &token, &nonce));
    let answer = dpop(&app, &running, &token, &proof).await.ok();
    assert_eq!(
        (answer.text("scheme"), &answer.json["cnf"]["jkt"]),
        ("DPoP", &json!(key.jkt()))
    );
    assert!(!answer.header("dpop-nonce").is_empty());
    assert_refused(
        &dpop(&app, &running, &token, &proof).await,
        "DPoP",
        "invalid_dpop_proof",
    );
    // The token endpoint's nonces are its own.
    let foreign = app.nonce().await;
    let proof = key.dpop(&dpop_claims(&app, &me(&running), &token, &foreign));
    assert_refused(
        &dpop(&app, &running, &token, &proof).await,
        "DPoP",
        "use_dpop_nonce",
    );
    let missing = get(&app, &running, &format!("DPoP {token}")).await;
    assert_refused(&missing, "DPoP", "invalid_dpop_proof");
}

#[tokio::test]
async fn a_dpop_proof_must_fit_request_token_and_key() {
    let running = authority().await;
    let (app, token) = bound(&running).await;
    let key = app.key.as_ref().unwrap();
    let challenged = get(&app, &running, &format!("DPoP {token}")).await;
    let nonce = challenged.header("dpop-nonce");
    let good = || dpop_claims(&app, &me(&running), &token, nonce);
    for (name, value) in [
        ("htm", json!("POST")),
        ("htu", json!(format!("{}/api/you", running.http()))),
        (
            "htu",
            json!(format!("http://localhost:{}/api/me", running.port())),
        ),
        ("ath", json!(ath("another"))),
        ("ath", json!(null)),
        ("iat", json!(app.now - 400)),
    ] {
        let mut claims = good();
        claims[name] = value.clone();
        let refused = dpop(&app, &running, &token, &key.dpop(&claims)).await;
        assert_refused(&refused, "DPoP", "invalid_dpop_proof");
    }
    let thief = dpop(&app, &running, &token, &Key::new().dpop(&good())).await;
    assert_refused(&thief, "DPoP", "invalid_token");
    let plain = app.sign_in(&alice(), SCOPE).await;
    let plain = plain.text("access_token");
    let claims = dpop_claims(&app, &me(&running), plain, nonce);
    let unbound = dpop(&app, &running, plain, &key.dpop(&claims)).await;
    assert_refused(&unbound, "DPoP", "invalid_token");
    dpop(&app, &running, &token, &key.dpop(&good())).await.ok();
}
