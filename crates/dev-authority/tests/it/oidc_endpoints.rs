//! Revocation and userinfo of the OpenID tenant, and how its clients identify themselves.

use reqwest::StatusCode;

use crate::app::{App, CLIENT_ID, OTHER_CLIENT_ID, SCOPE, alice, authority};
use crate::key::claims;

#[tokio::test]
async fn a_public_client_does_not_authenticate() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let refresh_token = tokens.text("refresh_token");
    for wrong in [("client_secret", "x"), ("client_id", "no-guid")] {
        let refused = app.refresh(refresh_token, &[wrong]).await;
        assert_eq!(
            (refused.status, refused.error()),
            (StatusCode::UNAUTHORIZED, "invalid_client")
        );
    }
    let twice = app
        .refresh(refresh_token, &[("grant_type", "refresh_token")])
        .await;
    assert_eq!(twice.error(), "invalid_request");
    let other = app
        .refresh(refresh_token, &[("client_id", OTHER_CLIENT_ID)])
        .await;
    assert_eq!(other.error(), "invalid_grant");
    app.refresh(refresh_token, &[]).await.ok();
}

#[tokio::test]
async fn revocation_ends_a_family_and_an_access_token() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let revoke = |token: String, client_id: &'static str| {
        let app = &app;
        async move {
            app.post(
                "revoke",
                &[],
                &[("token", &token), ("client_id", client_id)],
            )
            .await
        }
    };
    let me = format!("{}/oidc/userinfo", running.http());
    let userinfo = || async {
        app.http
            .get(&me)
            .bearer_auth(access)
            .send()
            .await
            .unwrap()
            .status()
    };

    assert_eq!(
        revoke(refresh.to_owned(), OTHER_CLIENT_ID).await.error(),
        "invalid_request"
    );
    assert_eq!(userinfo().await, StatusCode::OK);
    revoke(access.to_owned(), CLIENT_ID).await.ok();
    assert_eq!(userinfo().await, StatusCode::UNAUTHORIZED);
    let next = app.refresh(refresh, &[]).await.ok();
    revoke(next.text("refresh_token").to_owned(), CLIENT_ID)
        .await
        .ok();
    revoke("nobody knows this one".to_owned(), CLIENT_ID)
        .await
        .ok();
    assert_eq!(
        app.refresh(next.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
}

#[tokio::test]
async fn userinfo_says_what_the_scopes_allow() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), "openid profile").await;
    let url = format!("{}/oidc/userinfo", running.http());
    let ask = |token: String| {
        let request = app.http.get(&url).bearer_auth(token);
        async move { crate::app::Answer::read(request.send().await.unwrap()).await }
    };
    let info = ask(tokens.text("access_token").to_owned()).await.ok();
    assert_eq!(info.json["sub"], claims(tokens.text("id_token"))["sub"]);
    assert_eq!(info.text("preferred_username"), "alice@dev.test");
    assert!(info.json.get("email").is_none());
    let plain = app.sign_in(&alice(), "api.read").await;
    let refused = ask(plain.text("access_token").to_owned()).await;
    assert_eq!(
        (refused.status, refused.error()),
        (StatusCode::FORBIDDEN, "insufficient_scope")
    );
}
