//! The protected demo API: Bearer, DPoP and PoP, and everything that must be refused.

use std::sync::Arc;
use std::time::Duration;

use keyward_dev_authority::{Authority, ManualClock, Running};
use keyward_jose::base64url;
use keyward_jose::time::UnixTime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, App, SCOPE, alice, authority, unix_now};
use crate::key::claims;

/// Calls the API.
pub async fn call(app: &App, url: &str, method: Method, headers: &[(&str, &str)]) -> Answer {
    let mut request = app.http.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await
}

pub fn me(running: &Running) -> String {
    format!("{}/api/me", running.http())
}

pub async fn get(app: &App, running: &Running, authorization: &str) -> Answer {
    call(
        app,
        &me(running),
        Method::GET,
        &[("Authorization", authorization)],
    )
    .await
}

#[track_caller]
pub fn assert_refused(answer: &Answer, scheme: &str, error: &str) {
    assert_eq!(
        (answer.status, answer.error()),
        (StatusCode::UNAUTHORIZED, error),
        "{}",
        answer.json
    );
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with(scheme), "{challenge}");
    assert!(
        challenge.contains(&format!("error=\"{error}\"")),
        "{challenge}"
    );
}

/// An OpenID client and an access token bound to its key.
pub async fn bound(running: &Running) -> (App, String) {
    let app = App::oidc(running);
    let code = app.code(&alice(), SCOPE).await;
    let tokens = app.redeem(&code, &[("token_type", "DPoP")]).await.ok();
    (app, tokens.text("access_token").to_owned())
}

#[tokio::test]
async fn bearer_tokens_of_both_tenants_are_accepted_with_any_method() {
    let running = authority().await;
    for app in [App::oidc(&running), App::entra(&running)] {
        let tokens = app.sign_in(&alice(), SCOPE).await;
        let authorization = format!("bearer {}", tokens.text("access_token"));
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let headers = [("Authorization", authorization.as_str())];
            let answer = call(&app, &me(&running), method, &headers).await.ok();
            assert_eq!(answer.text("preferred_username"), "alice@dev.test");
            assert_eq!(
                (answer.text("scheme"), &answer.json["cnf"]),
                ("Bearer", &Value::Null)
            );
            assert!(!answer.text("jti").is_empty() && !answer.text("sub").is_empty());
        }
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let running = authority().await;
    let app = App::entra(&running);
    for (scope, good) in [
        ("User.Read openid", true),
        ("https://graph.microsoft.com/User.Read", true),
        ("api://an-application/access", true),
        ("https://api.example/.default", false),
        ("https://graph.microsoft.com.example/.default", false),
    ] {
        let tokens = app.sign_in(&alice(), scope).await;
        let authorization = format!("Bearer {}", tokens.text("access_token"));
        let answer = get(&app, &running, &authorization).await;
        if good {
            answer.ok();
        } else {
            assert_refused(&answer, "Bearer", "invalid_token");
        }
    }
}

#[tokio::test]
async fn a_token_of_one_spelling_of_loopback_is_good_under_another() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let authorization = format!("Bearer {}", tokens.text("access_token"));
    for host in ["localhost", "[::1]"] {
        let url = format!("http://{host}:{}/api/me", running.port());
        call(
            &app,
            &url,
            Method::GET,
            &[("Authorization", &authorization)],
        )
        .await
        .ok();
    }
}

#[tokio::test]
async fn nothing_presented_is_challenged_by_every_scheme() {
    let running = authority().await;
    let app = App::oidc(&running);
    for headers in [&[][..], &[("Authorization", "Basic eDp5")]] {
        let refused = call(&app, &me(&running), Method::GET, headers).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let challenges = refused.headers.get_all("www-authenticate");
        let challenges: Vec<&str> = challenges.iter().map(|c| c.to_str().unwrap()).collect();
        assert!(
            challenges[0].starts_with("Bearer realm=") && challenges[1].starts_with("DPoP algs=")
        );
        assert!(challenges[2].starts_with("PoP nonce=\"") && challenges.len() == 3);
        assert!(
            challenges
                .iter()
                .all(|challenge| !challenge.contains("error="))
        );
        assert!(!refused.header("dpop-nonce").is_empty());
    }
    let two = [("Authorization", "Bearer x"), ("Authorization", "Bearer y")];
    let refused = call(&app, &me(&running), Method::GET, &two).await;
    assert_eq!(
        (refused.status, refused.error()),
        (StatusCode::BAD_REQUEST, "invalid_request")
    );
}

#[tokio::test]
async fn what_is_no_access_token_of_ours_is_refused() {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(unix_now())));
    let running = Authority::builder()
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    let other = authority().await;
    for (app, foreign) in [
        (App::oidc(&running), App::oidc(&other)),
        (App::entra(&running), App::entra(&other)),
    ] {
        let tokens = app.sign_in(&alice(), SCOPE).await;
        let good = tokens.text("access_token");
        let foreign = foreign.sign_in(&alice(), SCOPE).await;
        let (input, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = input.split_once('.').unwrap();
        let mut altered = claims(good);
        altered["preferred_username"] = json!("bob@dev.test");
        let altered = base64url::encode(altered.to_string().as_bytes());
        let none = base64url::encode(br#"{"alg":"none"}"#);
        for bad in [
            tokens.text("id_token").to_owned(),
            tokens.text("refresh_token").to_owned(),
            foreign.text("access_token").to_owned(),
            format!("{header}.{altered}.{signature}"),
            format!("{none}.{}.", input.split_once('.').unwrap().1),
            "nonsense".to_owned(),
        ] {
            assert_refused(
                &get(&app, &running, &format!("Bearer {bad}")).await,
                "Bearer",
                "invalid_token",
            );
        }
        get(&app, &running, &format!("Bearer {good}")).await.ok();
        clock.advance(Duration::from_secs(4800));
        let expired = get(&app, &running, &format!("Bearer {good}")).await;
        assert_refused(&expired, "Bearer", "invalid_token");
        assert!(expired.text("error_description").contains("expired"));
    }
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let running = authority().await;
    let (app, token) = bound(&running).await;
    assert_refused(
        &get(&app, &running, &format!("Bearer {token}")).await,
        "Bearer",
        "invalid_token",
    );
}
