//! What a sign-in brings, and what it must not.

use std::sync::atomic::Ordering;

use crate::authority::{AuthorityKind, DpopPolicy};
use crate::binding::Binding;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::AuthenticationScheme;
use crate::result::{TokenSource, TokenType};
use crate::testing::world::{client, pop, until};
use crate::testing::*;

#[tokio::test]
async fn signing_in_again_replaces_the_refresh_token_and_its_key() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for _ in 0..3 {
        world.sign_in("alice").await.unwrap();
        assert_eq!(world.vault.count(RecordKind::RefreshToken), 1);
        assert_eq!(world.keys.count(), 1);
    }
    world.expire();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn signing_in_for_other_scopes_keeps_the_first_refresh_token() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.show(world.interactive("c")).await.unwrap();
    world.expire();
    for scopes in ["a", "c", "b", "c"] {
        world
            .token(scopes)
            .await
            .unwrap_or_else(|error| panic!("{scopes}: {error}"));
        world.expire();
    }
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 2);
}

#[tokio::test]
async fn a_bound_answer_is_an_error_for_a_bearer_caller_and_costs_no_second_sign_in() {
    let world = World::openid(Binds::Everything).await;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let result = world
        .engine
        .silent(request)
        .await
        .expect("the sign-in was kept");
    assert_eq!(
        (result.token_type, result.token_source),
        (TokenType::Dpop, TokenSource::Cache)
    );
    assert_eq!(result.binding, Some(Binding::Dpop));
}

#[tokio::test]
async fn dpop_can_be_demanded_and_forbidden() {
    let required = |binds| {
        World::with(AuthorityKind::OpenId, binds, |rule| {
            rule.dpop = DpopPolicy::Required;
        })
    };
    let world = required(Binds::Nothing).await;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert_eq!(world.agent.shows(), 0, "before anybody is asked");
    required(Binds::RefreshTokens)
        .await
        .sign_in("alice")
        .await
        .unwrap();

    let off = |rule: &mut crate::authority::AuthorityRule| rule.dpop = DpopPolicy::Off;
    let world = World::with(AuthorityKind::OpenId, Binds::Everything, off).await;
    world.sign_in("alice").await.unwrap();
    assert_eq!(world.keys.count(), 0);
    let mut request = world.interactive("a");
    request.token.scheme = pop("n");
    let error = world.show(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert_eq!(world.agent.shows(), 1, "before anybody is asked");
}

#[tokio::test]
async fn an_answer_without_an_id_token_signs_nobody_in() {
    let world = World::openid(Binds::RefreshTokens).await;
    for change in [
        |body: &mut serde_json::Value| body["id_token"] = serde_json::Value::Null,
        |body: &mut serde_json::Value| body["id_token"] = "e30.e30.e30".into(),
    ] {
        world.authority.fault(Fault::Changed(change));
        let error = world.sign_in("alice").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
    assert!(world.vault.records.lock().unwrap().is_empty());
    until(|| world.keys.count() == 0).await;
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.vault.broken.store(true, Ordering::SeqCst);
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    world.vault.broken.store(false, Ordering::SeqCst);
    assert!(world.engine.accounts(&client("app")).unwrap().is_empty());
    until(|| world.keys.count() == 0).await;
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_serves_until_it_ends() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.authority.fault(Fault::Changed(|body| {
        body["refresh_token"] = serde_json::Value::Null;
    }));
    world.sign_in("alice").await.unwrap();
    world.token("a").await.unwrap();
    until(|| world.keys.count() == 0).await;
    world.expire();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
}
