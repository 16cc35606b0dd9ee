//! Refusals, overload, lost keys: what is kept, and who is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::refused;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::CachePolicy;
use crate::testing::*;

#[tokio::test]
async fn a_dead_refresh_token_is_forgotten_and_asks_for_a_person() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.authority.state().revoke_everything();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(error.authority().unwrap().error, "invalid_grant");
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 0);
    assert_eq!(world.keys.count(), 0, "its key guards nothing any more");
    let before = world.authority.posts();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(world.authority.posts(), before, "nobody is asked again");
    world.sign_in("alice").await.unwrap();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn an_entra_grant_that_needs_a_person_is_kept_and_not_asked_for_again_at_once() {
    let world = World::entra().await.signed_in().await;
    world.expire();
    let body = r#"{"error":"invalid_grant","suberror":"basic_action","claims":"{\"a\":1}"}"#;
    world.authority.fault(refused(body));
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(error.claims(), Some(r#"{"a":1}"#));
    let before = world.authority.posts();
    let held = world.token("a").await.unwrap_err();
    assert_eq!(held.claims(), error.claims());
    assert_eq!(world.authority.posts(), before);
    world.clock.forward(121);
    world.token("a").await.expect("the refresh token was kept");
    world.expire();
    world.authority.fault(refused(
        r#"{"error":"invalid_grant","suberror":"bad_token"}"#,
    ));
    world.token("a").await.unwrap_err();
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 0);
}

#[tokio::test]
async fn a_sign_in_releases_what_was_held_back() {
    let world = World::entra().await.signed_in().await;
    let mut forced = world.silent("a");
    forced.cache = CachePolicy::ForceRefresh;
    world
        .authority
        .fault(refused(r#"{"error":"interaction_required"}"#));
    world.engine.silent(forced.clone()).await.unwrap_err();
    world.engine.silent(forced.clone()).await.unwrap_err();
    world.sign_in("alice").await.unwrap();
    world.engine.silent(forced).await.unwrap();
}

#[tokio::test]
async fn an_overloaded_authority_is_left_alone_for_as_long_as_it_says() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    for (retry_after, seconds) in [(Some("30"), 30), (None, 60)] {
        world
            .authority
            .fault(Fault::Answer(429, retry_after, String::new()));
        let error = world.token("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerTemporarilyUnavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        let before = world.authority.posts();
        world.clock.forward(seconds - 1);
        let error = world.token("a").await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert_eq!(world.authority.posts(), before);
        world.clock.forward(1);
    }
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn more_scopes_than_were_granted_ask_for_a_person() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let error = world.token("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(error.authority().unwrap().error, "invalid_scope");
    world.expire();
    world
        .token("a")
        .await
        .expect("what was granted still works");
}

#[tokio::test]
async fn an_answer_about_another_person_is_refused_and_nothing_of_it_kept() {
    for world in [
        World::openid(Binds::RefreshTokens).await,
        World::entra().await,
    ] {
        let world = world.signed_in().await;
        world.expire();
        world.authority.fault(Fault::About("mallory"));
        let error = world.token("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccountSwitch);
        assert!(!world.vault.holds("mallory"));
    }
}

#[tokio::test]
async fn a_lost_key_asks_for_a_person_once_and_the_sign_in_makes_a_new_one() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.keys.lose_all();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert!(error.message().contains("lost"), "{error}");
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert!(!error.message().contains("lost"), "once: {error}");
    world.sign_in("alice").await.unwrap();
    world.expire();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn a_key_that_cannot_be_used_now_costs_nothing() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.keys.unavailable.store(true, Ordering::SeqCst);
    assert_eq!(
        world.token("a").await.unwrap_err().kind(),
        ErrorKind::KeyUnavailable
    );
    world.keys.unavailable.store(false, Ordering::SeqCst);
    world.token("a").await.unwrap();
}
