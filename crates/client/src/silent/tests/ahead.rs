//! Renewal ahead of need (`refresh_in`), outages, many calls.

use std::sync::atomic::Ordering;

use crate::error::ErrorKind;
use crate::request::CachePolicy;
use crate::result::TokenSource;
use crate::testing::world::until;
use crate::testing::*;

#[tokio::test]
async fn a_refresh_due_renews_in_the_background_and_answers_at_once() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().refresh_in = Some(60);
    let mut forced = world.silent("a b");
    forced.cache = CachePolicy::ForceRefresh;
    let old = world.engine.silent(forced).await.unwrap().access_token;
    let before = world.authority.posts();
    world.clock.forward(61);
    let gate = world.authority.stall();
    for _ in 0..50 {
        let result = world.token("a b").await.unwrap();
        assert_eq!(result.token_source, TokenSource::Cache);
        assert_eq!(result.access_token.expose_secret(), old.expose_secret());
    }
    gate.add_permits(1);
    while world
        .token("a b")
        .await
        .unwrap()
        .access_token
        .expose_secret()
        == old.expose_secret()
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        world.authority.posts(),
        before + 1,
        "one renewal, however many asked"
    );
}

#[tokio::test]
async fn a_refresh_ahead_of_need_that_fails_is_nobodys_error_and_not_repeated_at_once() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().refresh_in = Some(60);
    let mut forced = world.silent("a b");
    forced.cache = CachePolicy::ForceRefresh;
    world.engine.silent(forced).await.unwrap();
    world.clock.forward(61);
    world.authority.state().unreachable = true;
    world.token("a b").await.unwrap();
    until(|| world.engine.renewals_in_progress() == 0).await;
    world.authority.state().unreachable = false;
    let before = world.authority.posts();
    for _ in 0..10 {
        world.token("a b").await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(world.authority.posts(), before, "held for a minute");
    world.clock.forward(61);
    world.token("a b").await.unwrap();
    until(|| world.authority.posts() > before).await;
}

#[tokio::test]
async fn in_an_outage_a_token_that_is_still_valid_is_served() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.clock.forward(3400);
    let down = || Fault::Answer(503, None, String::new());
    for fault in [Fault::Unreachable, down()] {
        world.authority.fault(fault);
        let result = world.token("a").await.unwrap();
        assert_eq!(result.token_source, TokenSource::Cache);
    }
    world.clock.forward(200);
    world.authority.fault(Fault::Unreachable);
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoNetwork);
    assert!(error.is_retryable());
    world.authority.fault(down());
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerTemporarilyUnavailable);
    world
        .token("a")
        .await
        .expect("the outage is over, and cost nothing");
}

#[tokio::test]
async fn thousands_of_calls_leave_nothing_behind() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for n in 0..2_000 {
        world.token("a").await.unwrap();
        if n % 100 == 0 {
            world.expire();
        }
    }
    assert_eq!(world.engine.renewals_in_progress(), 0);
    assert_eq!(
        world.vault.records.lock().unwrap().len(),
        5,
        "one record of each kind"
    );
    assert_eq!(world.keys.count(), 1);
    assert!(world.vault.writes.load(Ordering::SeqCst) <= 22);
}
#[tokio::test]
async fn a_token_about_to_end_is_renewed_five_minutes_early() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.clock.forward(3300);
    assert_eq!(
        world.token("a").await.unwrap().token_source,
        TokenSource::Cache
    );
    world.clock.forward(1);
    assert_eq!(
        world.token("a").await.unwrap().token_source,
        TokenSource::IdentityProvider
    );
}
