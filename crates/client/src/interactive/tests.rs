use std::sync::atomic::Ordering;

use keyward_oauth::transport::UserAgentError;

use crate::account::AccountSelector;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::{ParentWindow, Prompt};
use crate::result::TokenSource;
use crate::testing::authority::{GUEST_TENANT, TENANT};
use crate::testing::world::{entra, home, until};
use crate::testing::*;

mod queue;
mod redeemed;
mod replacement;

#[tokio::test]
async fn a_sign_in_brings_a_token_and_keeps_what_renews_it() {
    for world in [
        World::openid(Binds::RefreshTokens).await,
        World::entra().await,
    ] {
        let result = world.sign_in("alice").await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider);
        assert_eq!(result.account.username, "alice@dev.test");
        assert!(result.access_token.expose_secret().ends_with("alice"));
        assert!(result.id_token.is_some());
        for kind in [
            RecordKind::Account,
            RecordKind::RefreshToken,
            RecordKind::AccessToken,
        ] {
            assert_eq!(world.vault.count(kind), 1, "{kind:?}");
        }
        world.expire();
        world.token("a b").await.unwrap();
        assert_eq!(world.agent.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_authorize_url_says_what_was_asked_for() {
    let world = World::openid(Binds::RefreshTokens).await;
    let mut request = world.interactive("a b");
    request.prompt = Some(Prompt::SelectAccount);
    request.login_hint = Some("alice@dev.test".to_owned());
    request.token.claims = Some(r#"{"id_token":{}}"#.to_owned());
    request
        .token
        .extra_parameters
        .insert("domain_hint".to_owned(), "dev.test".to_owned());
    request
        .token
        .extra_parameters
        .insert("state".to_owned(), "not yours".to_owned());
    request.window = ParentWindow::Handle(0x1f);
    world.show(request).await.unwrap();
    let shown = world.agent.last_shown();
    assert_eq!(shown["scope"], "openid profile offline_access a b");
    assert_eq!(shown["prompt"], "select_account");
    assert_eq!(shown["login_hint"], "alice@dev.test");
    assert_eq!(shown["claims"], r#"{"id_token":{}}"#);
    assert_eq!(shown["domain_hint"], "dev.test");
    assert_ne!(shown["state"], "not yours");
    assert!(shown.contains_key("dpop_jkt"));
    let options = world.agent.options.lock().unwrap();
    assert_eq!(options[0].parent.as_deref(), Some("x11:1f"));
    assert_eq!(options[0].caller.as_deref(), Some("app"));
}

#[tokio::test]
async fn windows_that_are_none_are_no_parent() {
    let world = World::openid(Binds::RefreshTokens).await;
    for window in [
        ParentWindow::Handle(0),
        ParentWindow::Handle(1),
        ParentWindow::None,
    ] {
        let mut request = world.interactive("a");
        request.window = window;
        world.show(request).await.unwrap();
    }
    let options = world.agent.options.lock().unwrap();
    assert!(options.iter().all(|options| options.parent.is_none()));
}

#[tokio::test]
async fn entra_gets_its_own_parameters_and_no_others() {
    let world = World::entra().await;
    world.sign_in("alice").await.unwrap();
    let shown = world.agent.last_shown();
    assert_eq!(shown["client_info"], "1");
    assert!(!shown.contains_key("dpop_jkt"));
    let form = world.authority.last_form();
    assert_eq!(form["scope"], "openid profile offline_access a b");
    assert_eq!(world.keys.count(), 0);
}

#[tokio::test]
async fn a_sign_in_at_a_guest_tenant_is_the_same_account_elsewhere() {
    let world = World::entra().await;
    let mut request = world.interactive("a");
    request.token.authority = entra(GUEST_TENANT);
    let guest = world.show(request).await.unwrap();
    assert_eq!(guest.account.tenant_id, GUEST_TENANT);
    assert_eq!(guest.account.home_account_id, home("alice"));
    let at_home = world.token("a").await.unwrap();
    assert_eq!(at_home.account.tenant_id, TENANT);
    assert_eq!(at_home.token_source, TokenSource::IdentityProvider);
}

#[tokio::test]
async fn the_person_who_signs_in_must_be_the_one_asked_for() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let alice = world.token("a").await.unwrap().account.home_account_id;
    let records = world.vault.records.lock().unwrap().len();
    world.agent.becomes(Person::SignsIn("bob"));
    for account in [
        AccountSelector::Home(alice),
        AccountSelector::Username("Alice@dev.test".to_owned()),
    ] {
        let mut request = world.interactive("a");
        request.account = Some(account);
        let error = world.show(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccountSwitch);
        assert_eq!(
            world.agent.last_shown()["login_hint"].to_lowercase(),
            "alice@dev.test"
        );
    }
    assert_eq!(
        world.vault.records.lock().unwrap().len(),
        records,
        "nothing of bob was kept"
    );
    until(|| world.keys.count() == 1).await;
    let mut hinted = world.interactive("a");
    hinted.login_hint = Some("alice@dev.test".to_owned());
    let result = world.show(hinted).await.expect("a hint is only a hint");
    assert_eq!(result.account.username, "bob@dev.test");
}

#[tokio::test]
async fn whatever_ends_a_sign_in_is_named_and_leaves_no_key_behind() {
    for (person, kind) in [
        (Person::Closes, ErrorKind::UserCanceled),
        (Person::Refuses("access_denied"), ErrorKind::UserCanceled),
        (
            Person::Refuses("login_required"),
            ErrorKind::InteractionRequired,
        ),
        (
            Person::Refuses("server_error"),
            ErrorKind::ServerTemporarilyUnavailable,
        ),
        (
            Person::Refuses("unauthorized_client"),
            ErrorKind::IncorrectConfiguration,
        ),
        (Person::IsTricked, ErrorKind::InvalidResponse),
    ] {
        let world = World::openid(Binds::RefreshTokens).await;
        world.agent.becomes(person);
        let error = world.show(world.interactive("a")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{person:?}");
        assert_eq!(world.authority.posts(), 0);
        until(|| world.keys.count() == 0).await;
    }
}

#[tokio::test]
async fn where_nothing_can_be_shown_the_error_says_so() {
    let world = World::openid(Binds::RefreshTokens).await;
    let none = UserAgentError::Unavailable("no display".to_owned());
    *world.agent.unavailable.lock().unwrap() = Some(none);
    let error = world.show(world.interactive("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("no display"));
    let mut request = world.interactive("a");
    request.token.redirect_uri = Some("no url".to_owned());
    let error = world.show(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_redirect_uri_the_authority_refuses_is_a_matter_of_configuration() {
    let world = World::entra().await;
    let body = r#"{"error":"invalid_request","error_description":"AADSTS50011: The redirect URI"}"#;
    world
        .authority
        .fault(Fault::Answer(400, None, body.to_owned()));
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("http://localhost"), "{error}");
    assert_eq!(error.authority().unwrap().codes, [50011]);
}

#[tokio::test]
async fn a_code_that_is_refused_does_not_ask_to_sign_in_again() {
    let world = World::openid(Binds::RefreshTokens).await;
    let body = r#"{"error":"invalid_grant"}"#;
    world
        .authority
        .fault(Fault::Answer(400, None, body.to_owned()));
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}
