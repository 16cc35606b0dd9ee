use keyward_oauth::secret::AccessToken;

use crate::binding::{Binding, KeyProtection};
use crate::error::ErrorKind;
use crate::request::CachePolicy;
use crate::result::{TokenSource, TokenType};
use crate::testing::authority::ISSUER;
use crate::testing::*;

mod ahead;
mod at_hand;
mod who;

#[tokio::test]
async fn a_fresh_token_answers_without_the_authority() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.authority.posts();
    let result = world.token("a").await.unwrap();
    assert_eq!(result.token_source, TokenSource::Cache);
    assert_eq!(result.token_type, TokenType::Bearer);
    assert_eq!(result.account.username, "alice@dev.test");
    assert_eq!(result.account.environment, "idp.example");
    assert_eq!(result.authority, ISSUER);
    assert_eq!(result.key_protection, Some(KeyProtection::Software));
    assert!(result.id_token.is_some());
    assert_eq!(world.authority.posts(), before);
}

#[tokio::test]
async fn silent_never_signs_anybody_in() {
    let world = World::openid(Binds::RefreshTokens).await;
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!((world.agent.shows(), world.authority.posts()), (0, 0));
}

#[tokio::test]
async fn an_ended_token_is_renewed_and_the_rotated_refresh_token_kept() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for _ in 0..5 {
        world.expire();
        let result = world.token("a b").await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider);
        let valid = world.authority.state().valid_refresh_tokens();
        assert_eq!(valid.len(), 1);
        assert!(world.vault.holds(&valid[0]), "durable before the answer");
        world.restart().await;
    }
}

#[tokio::test]
async fn a_refresh_token_that_does_not_rotate_is_used_again() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().rotates = false;
    world.authority.state().gives_id_token_on_refresh = false;
    let only = world.authority.state().valid_refresh_tokens();
    for _ in 0..3 {
        world.expire();
        let result = world.token("a").await.unwrap();
        assert_eq!(result.account.username, "alice@dev.test");
        assert!(result.id_token.is_some(), "the one of the sign-in");
        assert_eq!(world.authority.last_form()["refresh_token"], only[0]);
    }
}

#[tokio::test]
async fn a_forced_refresh_is_not_answered_from_the_cache_not_even_in_an_outage() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let forced = || {
        let mut request = world.silent("a");
        request.cache = CachePolicy::ForceRefresh;
        request
    };
    let result = world.engine.silent(forced()).await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    world.authority.fault(Fault::Unreachable);
    assert!(
        world
            .engine
            .silent(forced())
            .await
            .unwrap_err()
            .is_retryable()
    );
}

#[tokio::test]
async fn claims_bypass_the_cache_and_travel_to_the_authority() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let mut request = world.silent("a");
    request.token.claims = Some(claims.to_owned());
    let result = world.engine.silent(request.clone()).await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    assert_eq!(world.authority.last_form()["claims"], claims);

    let cached = world.token("a").await.unwrap();
    assert_eq!(
        cached.access_token.expose_secret(),
        result.access_token.expose_secret(),
        "the token that was refused is not handed out again"
    );
    request.token.claims = Some("no JSON".to_owned());
    let error = world.engine.silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn claims_among_the_extra_parameters_are_claims() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    let claims = r#"{"a":1}"#;
    request
        .token
        .extra_parameters
        .insert("claims".to_owned(), claims.to_owned());
    for _ in 0..2 {
        let result = world.engine.silent(request.clone()).await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider);
        assert_eq!(world.authority.last_form()["claims"], claims);
    }
}

#[tokio::test]
async fn a_named_token_is_renewed_only_while_it_is_the_cached_one() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let old = world.token("a").await.unwrap().access_token;
    let renew = |token: &AccessToken| {
        let mut request = world.silent("a");
        request.cache = CachePolicy::Renew(token.clone());
        world.engine.silent(request)
    };
    let new = renew(&old).await.unwrap();
    assert_eq!(new.token_source, TokenSource::IdentityProvider);
    let again = renew(&old).await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    assert_eq!(
        again.access_token.expose_secret(),
        new.access_token.expose_secret()
    );
}

#[tokio::test]
async fn extra_parameters_are_passed_on_and_tell_tokens_apart() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let with = |name: &str, value: &str| {
        let mut request = world.silent("a");
        request
            .token
            .extra_parameters
            .insert(name.to_owned(), value.to_owned());
        world.engine.silent(request)
    };
    let result = with("resource", "https://api.example").await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    assert_eq!(
        world.authority.last_form()["resource"],
        "https://api.example"
    );
    let again = with("resource", "https://api.example").await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    let other = with("resource", "https://other.example").await.unwrap();
    assert_eq!(other.token_source, TokenSource::IdentityProvider);
    let telemetry = with("x-client-xtra-sku", "|,|").await.unwrap();
    assert_eq!(telemetry.token_source, TokenSource::Cache);
    with("grant_type", "password").await.unwrap();
    assert_eq!(world.authority.last_form()["grant_type"], "refresh_token");
}

#[tokio::test]
async fn a_bound_refresh_token_is_reported_so_and_a_plain_one_is_not() {
    let world = World::openid(Binds::Nothing).await.signed_in().await;
    assert_eq!(
        world.token("a").await.unwrap().binding,
        Some(Binding::SealedAtRest)
    );
    assert_eq!(world.keys.count(), 0, "no key where nothing is bound");
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let unproven = world.token("a").await.unwrap().binding;
    assert_eq!(
        unproven,
        Some(Binding::SealedAtRest),
        "never promise more than holds"
    );
}
