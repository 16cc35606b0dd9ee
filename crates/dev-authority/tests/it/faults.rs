//! Scripted faults, one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward_dev_authority::scripted::Person;
use keyward_dev_authority::users::{ALICE, BOB};
use keyward_dev_authority::{
    Authority, Endpoint, Fault, FaultRule, ManualClock, Match, Running, Tenant,
};
use keyward_jose::time::UnixTime;
use reqwest::StatusCode;

use crate::app::{Answer, App, CLIENT_ID, SCOPE, alice, authority};
use crate::browser::{Browser, http, parameter};
use crate::key::claims;

pub async fn signed_in(running: &Running) -> (App, String) {
    let app = App::oidc(running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    (app, tokens.text("refresh_token").to_owned())
}

pub fn once(running: &Running, endpoint: Endpoint, fault: Fault) {
    running.fault(FaultRule::once(endpoint, fault)).unwrap();
}

#[tokio::test]
async fn one_account_can_be_stalled_while_others_are_served() {
    let running = authority().await;
    let (app, refresh_token) = signed_in(&running).await;
    let bob = App::oidc(&running);
    let bobs = bob.sign_in(&Person::new(BOB, "pw"), SCOPE).await;
    let slow = FaultRule::always(Endpoint::Token, Fault::Slow { ms: 300_000 });
    running.fault(slow.for_user(ALICE)).unwrap();

    let stalled = app.refresh(&refresh_token, &[]);
    let served = bob.refresh(bobs.text("refresh_token"), &[]);
    let mut stalled = Box::pin(stalled);
    tokio::select! {
        biased;
        _ = &mut stalled => panic!("not stalled"),
        served = served => { served.ok(); }
    }
}

#[tokio::test]
async fn slow_answers_come_late() {
    let running = authority().await;
    let (app, refresh_token) = signed_in(&running).await;
    app.nonce().await;
    once(&running, Endpoint::Token, Fault::Slow { ms: 300 });
    let begun = Instant::now();
    app.refresh(&refresh_token, &[]).await.ok();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn throttling_and_breakdown_are_over_when_told() {
    let running = authority().await;
    for (app, tenant) in [
        (App::oidc(&running), Tenant::Oidc),
        (App::entra(&running), Tenant::Entra),
    ] {
        let tokens = app.sign_in(&alice(), SCOPE).await;
        let mut refresh_token = tokens.text("refresh_token").to_owned();
        let rule = FaultRule {
            times: Some(2),
            matching: Match {
                tenant: Some(tenant),
                ..Match::default()
            },
            ..FaultRule::once(
                Endpoint::Token,
                Fault::RetryAfter {
                    status: 429,
                    seconds: 7,
                },
            )
        };
        running.fault(rule).unwrap();
        for _ in 0..2 {
            let throttled = app.refresh(&refresh_token, &[]).await;
            assert_eq!(throttled.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(throttled.header("retry-after"), "7");
            assert_eq!(throttled.error(), "temporarily_unavailable");
        }
        once(&running, Endpoint::Token, Fault::Status500);
        let broken = app.refresh(&refresh_token, &[]).await;
        assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
        once(&running, Endpoint::Token, Fault::Garbage);
        let garbage = app.refresh(&refresh_token, &[]).await;
        assert_eq!(
            (garbage.status, garbage.json.is_null()),
            (StatusCode::OK, true)
        );
        refresh_token = app
            .refresh(&refresh_token, &[])
            .await
            .ok()
            .text("refresh_token")
            .to_owned();
        app.refresh(&refresh_token, &[]).await.ok();
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_account() {
    let running = authority().await;
    let (app, mut stored) = signed_in(&running).await;
    for fault in [Fault::Drop, Fault::LoseAnswer, Fault::LoseAnswer] {
        let issued = running.issued().len();
        app.nonce().await;
        once(&running, Endpoint::Token, fault);
        let url = format!("{}/token", app.base);
        let proof = app
            .key
            .as_ref()
            .unwrap()
            .dpop(&app.proof_claims(app.nonce.lock().unwrap().as_deref()));
        let body = format!("client_id={CLIENT_ID}&grant_type=refresh_token&refresh_token={stored}");
        let request = app.http.post(url).header("DPoP", proof);
        let request = request.header("content-type", "application/x-www-form-urlencoded");

        assert!(request.body(body).send().await.is_err());

        assert_eq!(running.issued().len() > issued, fault == Fault::LoseAnswer);
        stored = app
            .refresh(&stored, &[])
            .await
            .ok()
            .text("refresh_token")
            .to_owned();
    }
    let lost: Vec<_> = running
        .log()
        .into_iter()
        .filter(|entry| entry.status == 0)
        .collect();
    assert_eq!(lost.len(), 3);
}

#[tokio::test]
async fn a_fault_strikes_once_however_many_rounds_the_nonce_takes() {
    let running = authority().await;
    let (app, refresh_token) = signed_in(&running).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
    ];
    *app.nonce.lock().unwrap() = None;
    once(&running, Endpoint::Token, Fault::Expired);
    assert_eq!(app.token_once(&refresh).await.error(), "use_dpop_nonce");
    assert_eq!(app.token_once(&refresh).await.error(), "invalid_grant");
    app.token_once(&refresh).await.ok();
}

#[tokio::test]
async fn a_wrong_nonce_costs_one_more_round() {
    let running = authority().await;
    let (app, refresh_token) = signed_in(&running).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
    ];
    app.nonce().await;
    once(&running, Endpoint::Token, Fault::WrongNonce);
    assert_eq!(app.token_once(&refresh).await.error(), "use_dpop_nonce");
    app.token_once(&refresh).await.ok();
    let always = FaultRule::always(Endpoint::Token, Fault::WrongNonce);
    running.fault(always).unwrap();
    assert_eq!(app.token(&refresh).await.error(), "use_dpop_nonce");
    running.clear_faults();

    once(&running, Endpoint::Authorize, Fault::WrongNonce);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    assert_ne!(claims(tokens.text("id_token"))["nonce"], "the nonce");
}

#[tokio::test]
async fn a_wrong_issuer_shows_where_it_was_scripted() {
    let running = authority().await;
    let app = App::oidc(&running);
    let issuer = running.issuer(Tenant::Oidc);
    once(&running, Endpoint::Discovery, Fault::WrongIssuer);
    let url = format!("{issuer}/.well-known/openid-configuration");
    let ask = || async { Answer::read(http().get(&url).send().await.unwrap()).await };
    assert_ne!(ask().await.text("issuer"), issuer);
    assert_eq!(ask().await.text("issuer"), issuer);

    let code = app.code(&alice(), SCOPE).await;
    app.nonce().await;
    once(&running, Endpoint::Token, Fault::WrongIssuer);
    let tokens = app.redeem(&code, &[]).await.ok();
    assert_ne!(claims(tokens.text("id_token"))["iss"], issuer);

    let mut browser = Browser::new();
    browser
        .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    once(&running, Endpoint::Authorize, Fault::WrongIssuer);
    let redirect = browser.get(&app.authorize_url(SCOPE, &[])).await.left();
    assert_ne!(parameter(&redirect, "iss").unwrap(), issuer);
}

#[tokio::test]
async fn a_skewed_clock_shows_in_tokens_proofs_and_date() {
    let running = authority().await;
    let (app, refresh_token) = signed_in(&running).await;
    let back = FaultRule::always(Endpoint::Token, Fault::ClockSkew { seconds: -3600 });
    running.fault(back).unwrap();
    assert_eq!(
        app.refresh(&refresh_token, &[]).await.error(),
        "invalid_dpop_proof"
    );
    running.clear_faults();
    app.nonce().await;
    once(
        &running,
        Endpoint::Token,
        Fault::ClockSkew { seconds: -200 },
    );
    let tokens = app.refresh(&refresh_token, &[]).await.ok();
    let iat = claims(tokens.text("id_token"))["iat"].as_u64().unwrap();
    assert!(
        (app.now - 201..app.now - 150).contains(&iat),
        "{iat} {}",
        app.now
    );
}

#[tokio::test]
async fn answers_are_dated_by_the_skewed_clock() {
    let clock = Arc::new(ManualClock::new(UnixTime::from_secs(784_115_377)));
    let running = Authority::builder().clock(clock).start().await.unwrap();
    once(
        &running,
        Endpoint::Token,
        Fault::ClockSkew { seconds: -3600 },
    );
    let answer = App::entra(&running).refresh("x", &[]).await;
    assert_eq!(answer.header("date"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(answer.text("timestamp"), "1994-11-06 08:49:37Z");
}

#[tokio::test]
async fn keys_and_api_can_fail_too() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    once(&running, Endpoint::Jwks, Fault::Status500);
    let keys = format!("{}/oidc/jwks", running.http());
    assert_eq!(http().get(&keys).send().await.unwrap().status(), 500);
    assert_eq!(http().get(&keys).send().await.unwrap().status(), 200);
    let me = format!("{}/api/me", running.http());
    for fault in [Fault::Expired, Fault::Revoked, Fault::WrongIssuer] {
        running
            .fault(FaultRule::once(Endpoint::Api, fault).for_user(ALICE))
            .unwrap();
        let call = || app.http.get(&me).bearer_auth(tokens.text("access_token"));
        assert_eq!(
            call().send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(call().send().await.unwrap().status(), StatusCode::OK);
    }
}
