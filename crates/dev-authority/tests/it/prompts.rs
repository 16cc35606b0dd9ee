//! `prompt`, single sign-on and the account picker.

use keyward_dev_authority::scripted::Person;
use keyward_dev_authority::users::{ALICE, BOB};

use crate::app::{App, OTHER_CLIENT_ID, SCOPE, alice, authority};
use crate::browser::{Browser, parameter};
use crate::key::claims;

#[tokio::test]
async fn a_second_sign_in_needs_no_page() {
    let running = authority().await;
    for app in [App::entra(&running), App::oidc(&running)] {
        let mut browser = Browser::new();
        let url = app.authorize_url(SCOPE, &[]);
        browser.sign_in(&url, &alice()).await.unwrap();
        let redirect = browser.get(&url).await.left();
        assert!(parameter(&redirect, "code").is_some());
        let silent = browser
            .get(&app.authorize_url(SCOPE, &[("prompt", "none")]))
            .await
            .left();
        assert!(parameter(&silent, "code").is_some());
    }
}

#[tokio::test]
async fn the_tenants_do_not_share_sign_ins() {
    let running = authority().await;
    let mut browser = Browser::new();
    browser
        .sign_in(&App::entra(&running).authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    let shown = browser
        .get(&App::oidc(&running).authorize_url(SCOPE, &[]))
        .await;
    assert_eq!(shown.name(), "user-name");
}

#[tokio::test]
async fn without_a_page_the_client_is_told_why_one_is_needed() {
    let running = authority().await;
    for (app, several) in [
        (App::entra(&running), "interaction_required"),
        (App::oidc(&running), "account_selection_required"),
    ] {
        let silent = app.authorize_url(SCOPE, &[("prompt", "none")]);
        let mut browser = Browser::new();
        let redirect = browser.get(&silent).await.left();
        assert_eq!(parameter(&redirect, "error").unwrap(), "login_required");
        browser
            .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
            .await
            .unwrap();
        let other = [("prompt", "none"), ("client_id", OTHER_CLIENT_ID)];
        let redirect = browser.get(&app.authorize_url(SCOPE, &other)).await.left();
        assert_eq!(parameter(&redirect, "error").unwrap(), "consent_required");
        let bob = Person::new(BOB, "pw");
        browser
            .sign_in(&app.authorize_url(SCOPE, &[("prompt", "login")]), &bob)
            .await
            .unwrap();
        let redirect = browser.get(&silent).await.left();
        assert_eq!(parameter(&redirect, "error").unwrap(), several);
        let hinted = [("prompt", "none"), ("login_hint", BOB)];
        let redirect = browser.get(&app.authorize_url(SCOPE, &hinted)).await.left();
        assert!(parameter(&redirect, "code").is_some());
    }
}

#[tokio::test]
async fn login_asks_for_the_password_again() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    browser
        .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    let again = app.authorize_url(SCOPE, &[("prompt", "login"), ("login_hint", ALICE)]);
    let shown = browser.get(&again).await;
    assert_eq!(shown.name(), "user-name");
    let shown = browser.press(&shown, &[], ("action", "next")).await;
    assert_eq!(shown.name(), "password");
    let left = browser
        .press(&shown, &[("passwd", "pw")], ("action", "signin"))
        .await
        .left();
    assert!(parameter(&left, "code").is_some());
}

#[tokio::test]
async fn an_account_can_be_picked_or_another_used() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    browser
        .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    let pick = app.authorize_url(SCOPE, &[("prompt", "select_account")]);

    let shown = browser.get(&pick).await;
    assert_eq!(shown.name(), "account-picker");
    let left = browser.press(&shown, &[], ("account", ALICE)).await.left();
    assert!(parameter(&left, "code").is_some());

    let shown = browser.get(&pick).await;
    let shown = browser.press(&shown, &[], ("action", "other")).await;
    assert_eq!(shown.name(), "user-name");
    let bob = Person::new(BOB, "pw");
    let redirect = browser.drive(shown, &bob).await.unwrap().left();
    let tokens = app
        .redeem(&parameter(&redirect, "code").unwrap(), &[])
        .await
        .ok();
    assert_eq!(claims(tokens.text("id_token"))["preferred_username"], BOB);

    let shown = browser.get(&app.authorize_url(SCOPE, &[])).await;
    assert_eq!(shown.name(), "account-picker");
    let redirect = browser.drive(shown, &bob).await.unwrap().left();
    assert!(parameter(&redirect, "code").is_some());
}

#[tokio::test]
async fn consent_asks_again() {
    let running = authority().await;
    let app = App::oidc(&running);
    let mut browser = Browser::new();
    browser
        .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    let shown = browser
        .get(&app.authorize_url(SCOPE, &[("prompt", "consent")]))
        .await;
    assert_eq!(shown.name(), "consent");
    let shown = browser
        .get(&app.authorize_url(&format!("{SCOPE} more"), &[]))
        .await;
    assert_eq!(shown.name(), "consent");
}

#[tokio::test]
async fn create_makes_an_account() {
    let running = authority().await;
    let app = App::oidc(&running);
    let url = app.authorize_url(SCOPE, &[("prompt", "create")]);
    let dora = Person::new("dora@dev.test", "hers");
    let redirect = Browser::new().sign_in(&url, &dora).await.unwrap();
    let tokens = app
        .redeem(&parameter(&redirect, "code").unwrap(), &[])
        .await
        .ok();
    assert_eq!(
        claims(tokens.text("id_token"))["preferred_username"],
        "dora@dev.test"
    );
    app.sign_in(&dora, SCOPE).await;
    let taken = Browser::new().sign_in(&url, &Person::new(ALICE, "x")).await;
    assert!(taken.is_err());
}

#[tokio::test]
async fn max_age_wants_a_recent_password() {
    let running = authority().await;
    let app = App::oidc(&running);
    let mut browser = Browser::new();
    browser
        .sign_in(&app.authorize_url(SCOPE, &[]), &alice())
        .await
        .unwrap();
    let redirect = browser
        .get(&app.authorize_url(SCOPE, &[("max_age", "3600")]))
        .await
        .left();
    assert!(parameter(&redirect, "code").is_some());
    let redirect = browser
        .get(&app.authorize_url(SCOPE, &[("max_age", "soon")]))
        .await
        .left();
    assert_eq!(parameter(&redirect, "error").unwrap(), "invalid_request");
}

#[tokio::test]
async fn signing_out_ends_single_sign_on() {
    let running = authority().await;
    let app = App::entra(&running);
    let mut browser = Browser::new();
    let url = app.authorize_url(SCOPE, &[]);
    browser.sign_in(&url, &alice()).await.unwrap();
    let shown = browser
        .get(&format!("{}/logout", app.base).parse().unwrap())
        .await;
    assert_eq!(shown.name(), "done");
    assert_eq!(browser.get(&url).await.name(), "user-name");
}
