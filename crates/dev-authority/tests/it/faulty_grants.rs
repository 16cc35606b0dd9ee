//! Scripted faults about what a client presents: expired, revoked, not enough.

use keyward_dev_authority::{Endpoint, Fault, FaultRule};

use crate::app::{App, CLIENT_ID, SCOPE, alice, authority};
use crate::faults::{once, signed_in};

#[tokio::test]
async fn grants_count_as_expired_or_revoked_for_once() {
    let running = authority().await;
    let entra = App::entra(&running);
    let tokens = entra.sign_in(&alice(), SCOPE).await;
    let refresh_token = tokens.text("refresh_token");
    once(&running, Endpoint::Token, Fault::Expired);
    let expired = entra.refresh(refresh_token, &[]).await;
    assert_eq!(expired.json["error_codes"][0], 700_082);
    once(&running, Endpoint::Token, Fault::Revoked);
    let revoked = entra.refresh(refresh_token, &[]).await;
    assert_eq!(revoked.json["error_codes"][0], 50_173);
    entra.refresh(refresh_token, &[]).await.ok();

    let (oidc, refresh_token) = signed_in(&running).await;
    oidc.nonce().await;
    for fault in [Fault::Expired, Fault::Revoked] {
        once(&running, Endpoint::Token, fault);
        assert_eq!(
            oidc.refresh(&refresh_token, &[]).await.error(),
            "invalid_grant"
        );
    }
    oidc.refresh(&refresh_token, &[]).await.ok();
}

#[tokio::test]
async fn a_code_can_be_dead_on_arrival() {
    let running = authority().await;
    let app = App::entra(&running);
    for (fault, number) in [(Fault::Expired, 70_008), (Fault::Revoked, 54_005)] {
        let rule = FaultRule::once(Endpoint::Authorize, fault);
        running.fault(rule).unwrap();
        let code = app.code(&alice(), SCOPE).await;
        assert_eq!(app.redeem(&code, &[]).await.json["error_codes"][0], number);
    }
    for (fault, error) in [
        (Fault::Expired, "expired_token"),
        (Fault::Revoked, "authorization_declined"),
    ] {
        once(&running, Endpoint::Device, fault);
        let form = [("client_id", CLIENT_ID), ("scope", SCOPE)];
        let codes = app.post("devicecode", &[], &form).await.ok();
        let form = [
            ("grant_type", "device_code"),
            ("device_code", codes.text("device_code")),
        ];
        assert_eq!(app.token(&form).await.error(), error);
    }
}

#[tokio::test]
async fn a_policy_can_demand_the_person() {
    let running = authority().await;
    for (app, error) in [
        (App::entra(&running), "invalid_grant"),
        (App::oidc(&running), "interaction_required"),
    ] {
        let tokens = app.sign_in(&alice(), SCOPE).await;
        once(&running, Endpoint::Token, Fault::InteractionRequired);
        let refused = app.refresh(tokens.text("refresh_token"), &[]).await;
        assert_eq!(refused.error(), error);
        assert_eq!(refused.json["claims"].is_string(), error == "invalid_grant");
        app.refresh(tokens.text("refresh_token"), &[]).await.ok();
    }
}
