//! Every AADSTS error where it belongs.

use std::sync::Arc;
use std::time::Duration;

use keyward_dev_authority::users::ALICE;
use keyward_dev_authority::{Authority, ManualClock};
use keyward_jose::time::UnixTime;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::app::{
    Answer, App, CLIENT_ID, REDIRECT_URI, SCOPE, VERIFIER, alice, authority, post, unix_now,
};
use crate::browser::{Browser, parameter};

#[track_caller]
fn assert_aadsts(answer: &Answer, number: u32, error: &str) {
    assert_eq!(answer.json["error_codes"][0], number, "{}", answer.json);
    assert_eq!(answer.error(), error);
    let description = answer.text("error_description");
    assert!(
        description.starts_with(&format!("AADSTS{number}: ")),
        "{description}"
    );
    assert!(description.contains("\r\nTrace ID: ") && description.contains("\r\nTimestamp: "));
    for member in ["timestamp", "trace_id", "correlation_id"] {
        assert!(answer.json[member].is_string(), "{member}");
    }
}

#[tokio::test]
async fn errors_no_client_can_be_told_are_pages() {
    let running = authority().await;
    let app = App::entra(&running);
    for (more, code) in [
        (("client_id", "99999999-unknown"), "AADSTS700016"),
        (("client_id", ""), "AADSTS900144"),
        (("redirect_uri", "https://evil.example/cb"), "AADSTS50011"),
        (("redirect_uri", ""), "AADSTS50011"),
    ] {
        let shown = Browser::new().get(&app.authorize_url(SCOPE, &[more])).await;
        assert_eq!(
            (shown.name().as_str(), shown.error().as_str()),
            ("error", code)
        );
    }
    let unknown = app
        .authorize_url(SCOPE, &[])
        .as_str()
        .replace("/common/", "/nobody.example/");
    let shown = Browser::new().get(&unknown.parse().unwrap()).await;
    assert_eq!(shown.error(), "AADSTS90002");
}

#[tokio::test]
async fn every_native_redirect_uri_is_accepted() {
    let running = authority().await;
    let app = App::entra(&running);
    for uri in [
        "http://localhost",
        "http://127.0.0.1:9999/callback",
        "https://login.microsoftonline.com/common/oauth2/nativeclient",
        "ms-appx-web://Microsoft.AAD.BrokerPlugin/7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6",
        "msauth.com.example.app://auth",
    ] {
        let url = app.authorize_url(SCOPE, &[("redirect_uri", uri)]);
        let redirect = Browser::new().sign_in(&url, &alice()).await.unwrap();
        assert_eq!(redirect.scheme(), uri.split(':').next().unwrap());
        let code = parameter(&redirect, "code").unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", uri),
            ("code_verifier", VERIFIER),
        ];
        app.token(&form).await.ok();
    }
}

#[tokio::test]
async fn other_errors_go_to_the_client() {
    let running = authority().await;
    let app = App::entra(&running);
    for (more, error, code) in [
        (
            ("response_type", "token"),
            "unsupported_response_type",
            "AADSTS700054",
        ),
        (("scope", ""), "invalid_request", "AADSTS900144"),
        (("code_challenge", ""), "invalid_request", "AADSTS50147"),
        (
            ("code_challenge_method", "plain"),
            "invalid_request",
            "AADSTS50147",
        ),
        (("prompt", "sometimes"), "invalid_request", "AADSTS90023"),
        (("claims", "[]"), "invalid_request", "AADSTS90023"),
    ] {
        let redirect = Browser::new()
            .get(&app.authorize_url(SCOPE, &[more]))
            .await
            .left();
        assert_eq!(parameter(&redirect, "error").unwrap(), error, "{more:?}");
        assert!(
            parameter(&redirect, "error_description")
                .unwrap()
                .starts_with(code),
            "{more:?}"
        );
        assert_eq!(parameter(&redirect, "state").unwrap(), "the state");
    }
    let mut twice = app.authorize_url(SCOPE, &[]);
    twice.query_pairs_mut().append_pair("scope", "openid");
    let redirect = Browser::new().get(&twice).await.left();
    assert!(
        parameter(&redirect, "error_description")
            .unwrap()
            .starts_with("AADSTS9002313")
    );
}

#[tokio::test]
async fn the_token_endpoint_says_what_is_wrong_with_a_request() {
    let running = authority().await;
    let app = App::entra(&running);
    assert_aadsts(&app.token(&[]).await, 900_144, "invalid_request");
    let unknown_client = [("client_id", "no-guid"), ("grant_type", "refresh_token")];
    assert_aadsts(
        &app.token(&unknown_client).await,
        700_016,
        "unauthorized_client",
    );
    assert_aadsts(
        &app.token(&[("grant_type", "password")]).await,
        70_003,
        "unsupported_grant_type",
    );
    let no_token = [("grant_type", "refresh_token")];
    assert_aadsts(&app.token(&no_token).await, 900_144, "invalid_request");
    let twice = [
        ("grant_type", "refresh_token"),
        ("grant_type", "refresh_token"),
    ];
    assert_aadsts(&app.token(&twice).await, 9_002_313, "invalid_request");
    let secret = app.refresh("x", &[("client_secret", "x")]).await;
    assert_aadsts(&secret, 700_025, "invalid_client");
    assert_eq!(secret.status, StatusCode::UNAUTHORIZED);
    let claims = app.refresh("x", &[("claims", "{\"a\":1,\"a\":2}")]).await;
    assert_aadsts(&claims, 9_002_313, "invalid_request");
    let url = format!("{}/nobody/oauth2/v2.0/token", running.http());
    let unknown_tenant = post(&app.http, &url, &[], &[("client_id", CLIENT_ID)]).await;
    assert_aadsts(&unknown_tenant, 90_002, "invalid_request");
    let json = app.http.post(format!("{}/token", app.base));
    let json = json
        .header(CONTENT_TYPE, "application/json")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_aadsts(&Answer::read(json).await, 9_002_313, "invalid_request");
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_redirect_uri_and_verifier() {
    let running = authority().await;
    let app = App::entra(&running);
    let code = app.code(&alice(), SCOPE).await;
    let form = |uri, verifier| {
        [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", uri),
            ("code_verifier", verifier),
        ]
    };
    let wrong_uri = app.token(&form("http://localhost:1/", VERIFIER)).await;
    assert_aadsts(&wrong_uri, 70_000, "invalid_grant");
    let wrong_verifier = app
        .token(&form(REDIRECT_URI, "a".repeat(43).as_str()))
        .await;
    assert_aadsts(&wrong_verifier, 501_481, "invalid_grant");
    app.redeem(&code, &[]).await.ok();
    assert_aadsts(&app.redeem(&code, &[]).await, 54_005, "invalid_grant");
    assert_aadsts(&app.redeem("invented", &[]).await, 70_000, "invalid_grant");
}

#[tokio::test]
async fn grants_expire_and_are_revoked() {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(unix_now())));
    let running = Authority::builder()
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    let app = App::entra(&running);
    let code = app.code(&alice(), SCOPE).await;
    clock.advance(Duration::from_secs(601));
    assert_aadsts(&app.redeem(&code, &[]).await, 70_008, "invalid_grant");
    let tokens = app.sign_in(&alice(), SCOPE).await;
    clock.advance(Duration::from_secs(91 * 24 * 3600));
    let expired = app.refresh(tokens.text("refresh_token"), &[]).await;
    assert_aadsts(&expired, 700_082, "invalid_grant");
    let tokens = app.sign_in(&alice(), SCOPE).await;
    running.revoke(ALICE);
    let revoked = app.refresh(tokens.text("refresh_token"), &[]).await;
    assert_aadsts(&revoked, 50_173, "invalid_grant");
    assert_eq!(revoked.text("suberror"), "bad_token");
    let unknown = app.refresh("invented", &[]).await;
    assert_aadsts(&unknown, 70_000, "invalid_grant");
    assert_eq!(unknown.text("suberror"), "bad_token");
}
