use std::sync::atomic::Ordering;

use crate::binding::Binding;
use crate::cache::entity::Entity;
use crate::cache::format;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::{AuthenticationScheme, CachePolicy};
use crate::result::{TokenSource, TokenType};
use crate::testing::world::home;
use crate::testing::*;

mod setbacks;
mod together;

fn refused(body: &str) -> Fault {
    Fault::Answer(400, None, body.to_owned())
}

#[tokio::test]
async fn a_vault_that_cannot_be_written_hands_out_no_token_and_costs_none() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.vault.broken.store(true, Ordering::SeqCst);
    let before = world.authority.posts();
    for _ in 0..3 {
        let error = world.token("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.message().contains("disk is full"), "{error}");
    }
    assert_eq!(
        world.authority.posts(),
        before + 1,
        "nothing is used up that cannot be replaced"
    );
    world.vault.broken.store(false, Ordering::SeqCst);
    world
        .token("a")
        .await
        .expect("the rotated refresh token was not lost");
    world.restart().await;
    world.expire();
    world.token("a").await.expect("and is in the vault now");
}

#[tokio::test]
async fn a_nonce_the_authority_wants_is_sent_once_more_and_remembered() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.authority.state().nonce = Some("n-1".to_owned());
    world.sign_in("alice").await.unwrap();
    assert_eq!(world.authority.posts(), 2, "without a nonce, then with it");
    world.expire();
    world.token("a").await.unwrap();
    assert_eq!(world.authority.posts(), 3, "the nonce is known");
    world.authority.state().nonce = Some("n-2".to_owned());
    world.expire();
    world.token("a").await.unwrap();
    assert_eq!(world.authority.posts(), 5);
}

#[tokio::test]
async fn a_refusal_that_brings_a_nonce_is_a_refusal_and_not_repeated() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.authority.state().nonce = Some("n-1".to_owned());
    world.sign_in("alice").await.unwrap();
    world.authority.state().revoke_everything();
    world.expire();
    let before = world.authority.posts();
    world.token("a").await.unwrap_err();
    assert_eq!(world.authority.posts(), before + 1);
}

#[tokio::test]
async fn an_authority_that_never_has_enough_nonces_is_asked_twice_only() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.authority.state().nonce = Some("n".to_owned());
    let body = r#"{"error":"use_dpop_nonce"}"#;
    let before = world.authority.posts();
    for _ in 0..2 {
        world.authority.fault(refused(body));
    }
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerTemporarilyUnavailable);
    assert!(error.is_retryable());
    assert_eq!(world.authority.posts(), before + 2);
    world
        .token("a")
        .await
        .expect("the refresh token is as it was");
}

#[tokio::test]
async fn an_unknown_signing_key_is_looked_up_after_the_refresh_token_is_safe() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.authority.fault(Fault::NewSigningKey);
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    let rotated = world.authority.state().valid_refresh_tokens();
    assert!(world.vault.holds(&rotated[0]));
    world.authority.publish_keys();
    world.clock.forward(61);
    world
        .token("a")
        .await
        .expect("the new key is published now");
    world.restart().await;
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn unknown_signing_keys_make_us_ask_once_a_minute_at_most() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.authority.gets.load(Ordering::SeqCst);
    world.authority.fault(Fault::NewSigningKey);
    for _ in 0..10 {
        world.expire();
        world.clock.back(3995);
        let mut forced = world.silent("a");
        forced.cache = CachePolicy::ForceRefresh;
        world.engine.silent(forced).await.unwrap_err();
    }
    assert_eq!(world.authority.gets.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn metadata_is_fetched_once_a_day_and_used_on_when_that_fails() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let gets = || world.authority.gets.load(Ordering::SeqCst);
    assert_eq!(gets(), 2, "the document and the keys");
    for _ in 0..20 {
        world.expire();
        world.token("a").await.unwrap();
    }
    assert_eq!(gets(), 2);
    world.clock.forward(24 * 3600);
    world.token("a").await.unwrap();
    assert_eq!(gets(), 4);
    world.clock.forward(24 * 3600);
    world.authority.state().dumb = true;
    world
        .token("a")
        .await
        .expect("an outage of the metadata is not one of the authority");
    assert!(gets() > 4);
}

#[tokio::test]
async fn a_bearer_caller_never_gets_a_bound_token_and_the_grant_lives_on() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.authority.state().binds = Binds::Everything;
    for _ in 0..2 {
        let error = world.token("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
        assert!(error.message().contains("dpop = \"off\""), "{error}");
    }
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let result = world.engine.silent(request).await.unwrap();
    assert_eq!(
        (result.token_type, result.binding),
        (TokenType::Dpop, Some(Binding::Dpop))
    );
}

#[tokio::test]
async fn a_bound_token_is_asked_for_and_a_bearer_one_is_not_taken_for_it() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let result = world.engine.silent(request.clone()).await.unwrap();
    assert_eq!(world.authority.last_form()["token_type"], "DPoP");
    assert_eq!(
        (result.token_type, result.binding),
        (TokenType::Dpop, Some(Binding::Dpop))
    );

    world.expire();
    world
        .authority
        .fault(Fault::Changed(|body| body["token_type"] = "Bearer".into()));
    let error = world.engine.silent(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    world
        .engine
        .silent(request)
        .await
        .expect("the refresh token was kept");
}

#[tokio::test]
async fn a_provider_without_dpop_cannot_give_bound_tokens() {
    let world = World::openid(Binds::Nothing).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let error = world.engine.silent(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let world = World::entra().await.signed_in().await;
    request.token.authority = world.name().to_owned();
    let error = world.engine.silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
}

#[tokio::test]
async fn of_the_scopes_we_add_only_those_that_were_granted_are_asked_for_again() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.authority.state().grants = Some("openid a b");
    world.sign_in("alice").await.unwrap();
    world.expire();
    world.token("a").await.unwrap();
    assert_eq!(world.authority.last_form()["scope"], "openid a");
    let world = World::entra().await.signed_in().await;
    world.expire();
    world
        .token("c")
        .await
        .expect("Entra gives tokens for any resource");
    assert_eq!(
        world.authority.last_form()["scope"],
        "openid profile offline_access c"
    );
}

#[tokio::test]
async fn granted_scopes_are_reported_and_the_same_request_is_a_hit() {
    let world = World::entra().await.signed_in().await;
    world.authority.state().grants = Some("https://graph.example/User.Read");
    let wide = "https://graph.example/.default";
    let result = world.token(wide).await.unwrap();
    assert_eq!(result.scopes.to_string(), "https://graph.example/User.Read");
    let again = world.token(wide).await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    assert_eq!(again.account.home_account_id, home("alice"));
}

#[tokio::test]
async fn the_binding_of_every_record_is_what_was_shown_to_hold() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    world.engine.silent(request).await.unwrap();
    let records = world.vault.records.lock().unwrap();
    let tokens = records
        .values()
        .filter(|r| r.key.kind == RecordKind::RefreshToken);
    let bindings: Vec<_> = tokens
        .map(|record| match format::decode(record).unwrap() {
            Entity::RefreshToken(token) => token.binding,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        bindings,
        [Binding::Dpop],
        "a DPoP answer to a public client says so"
    );
}
