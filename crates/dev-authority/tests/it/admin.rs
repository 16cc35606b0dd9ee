//! The admin endpoints.

use keyward_dev_authority::Running;
use keyward_dev_authority::users::ALICE;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{Answer, App, CLIENT_ID, SCOPE, alice, authority};
use crate::browser::http;

async fn admin(running: &Running, path: &str, body: Option<Value>) -> Answer {
    let url = format!("{}/admin/{path}", running.http());
    let request = match body {
        Some(body) => http().post(url).body(body.to_string()),
        None => http().get(url),
    };
    Answer::read(
        request
            .bearer_auth(running.admin_token())
            .send()
            .await
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn only_the_starter_is_admitted() {
    let running = authority().await;
    let wrong = "A".repeat(running.admin_token().len());
    for path in ["issued", "log", "faults"] {
        let url = format!("{}/admin/{path}", running.http());
        for request in [
            http().get(&url),
            http().get(&url).bearer_auth(&wrong),
            http().get(&url).bearer_auth(""),
            http().get(format!("{url}?token={}", running.admin_token())),
            http()
                .get(&url)
                .header("Authorization", running.admin_token()),
        ] {
            let status = request.send().await.unwrap().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        admin(&running, path, None).await.ok();
    }
    for path in ["revoke", "reset", "faults"] {
        let url = format!("{}/admin/{path}", running.http());
        assert_eq!(
            http().post(&url).send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn the_announcement_is_one_line_with_everything_a_starter_needs() {
    let running = authority().await;
    let line = running.announcement().to_string();
    assert!(!line.contains('\n'));
    let announced: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(announced["http"], running.http());
    assert_eq!(announced["admin_token"], running.admin_token());
    for name in ["http", "oidc", "entra", "api", "admin"] {
        let url = announced[name].as_str().unwrap();
        assert!(
            url.starts_with("http://127.0.0.1:") && !url.ends_with('/'),
            "{url}"
        );
    }
}

#[tokio::test]
async fn issued_tokens_and_requests_are_listed() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let next = app.refresh(tokens.text("refresh_token"), &[]).await.ok();
    app.refresh("invented", &[]).await;

    let issued = admin(&running, "issued", None).await.ok().json;
    let texts: Vec<&str> = issued
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["refresh_token"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [tokens.text("refresh_token"), next.text("refresh_token")]
    );
    assert_eq!(
        (&issued[0]["redeemed"], &issued[1]["redeemed"]),
        (&json!(1), &json!(0))
    );

    let log = admin(&running, "log", None).await.ok().json;
    let refreshes: Vec<&Value> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["grant_type"] == "refresh_token")
        .collect();
    assert_eq!(refreshes[0]["user"], ALICE);
    assert_eq!(
        (&refreshes[0]["client_id"], &refreshes[0]["tenant"]),
        (&json!(CLIENT_ID), &json!("oidc"))
    );
    assert_eq!(
        (&refreshes[0]["outcome"], &refreshes[0]["status"]),
        (&json!("ok"), &json!(200))
    );
    assert_eq!(refreshes.last().unwrap()["outcome"], "invalid_grant");
    for secret in [
        tokens.text("refresh_token"),
        tokens.text("access_token"),
        "passwd",
    ] {
        assert!(!log.to_string().contains(secret));
    }
}

#[tokio::test]
async fn faults_are_scripted_over_http() {
    let running = authority().await;
    let app = App::entra(&running);
    let fault = json!({
        "endpoint": "token",
        "fault": {"retry_after": {"status": 503, "seconds": 9}},
        "times": 1,
        "match": {"client_id": CLIENT_ID},
    });
    admin(&running, "faults", Some(fault.clone())).await.ok();
    assert_eq!(
        admin(&running, "faults", None).await.ok().json[0]["endpoint"],
        "token"
    );
    let refused = app.refresh("x", &[]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, "9")
    );
    assert_eq!(admin(&running, "faults", None).await.ok().json, json!([]));
    for bad in [
        json!({}),
        json!({"endpoint": "moon", "fault": "drop"}),
        json!({"endpoint": "jwks", "fault": "expired"}),
        json!({"endpoint": "token", "fault": {"slow": {"ms": -1}}}),
        json!([]),
    ] {
        assert_eq!(
            admin(&running, "faults", Some(bad)).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn users_are_revoked_and_everything_is_forgotten() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let revoked = admin(&running, "revoke", Some(json!({"user": ALICE})))
        .await
        .ok();
    assert_eq!(revoked.json["revoked"], 1);
    assert_eq!(
        app.refresh(tokens.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    assert_eq!(
        admin(&running, "revoke", Some(json!({}))).await.status,
        StatusCode::BAD_REQUEST
    );
    let again = app.sign_in(&alice(), SCOPE).await;
    admin(&running, "reset", Some(json!({}))).await.ok();
    assert_eq!(admin(&running, "issued", None).await.ok().json, json!([]));
    assert_eq!(
        app.refresh(again.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    app.sign_in(&alice(), SCOPE).await;
}
