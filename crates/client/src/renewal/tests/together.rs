//! Many callers, sign-ins and sign-outs at once.

use std::time::Duration;

use futures_util::future::join_all;

use keyward_oauth::identifiers::CorrelationId;

use crate::error::ErrorKind;
use crate::ports::{RecordKind, SignOutRequest};
use crate::result::TokenSource;
use crate::testing::world::{client, until};
use crate::testing::*;

#[tokio::test]
async fn a_hundred_callers_of_an_ended_token_cost_one_renewal() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    let before = world.authority.posts();
    let results = join_all((0..100).map(|_| world.token("a b"))).await;
    assert_eq!(world.authority.posts(), before + 1);
    let first = results[0]
        .as_ref()
        .unwrap()
        .access_token
        .expose_secret()
        .to_owned();
    for result in results {
        assert_eq!(result.unwrap().access_token.expose_secret(), first);
    }
    assert_eq!(world.engine.renewals_in_progress(), 0);
}

#[tokio::test]
async fn renewals_for_different_scopes_take_turns_with_the_rotating_token() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    let scopes = ["a", "b", "a b", "openid"];
    let results = join_all(scopes.map(|scopes| world.token(scopes))).await;
    for (scopes, result) in scopes.iter().zip(results) {
        result.unwrap_or_else(|error| panic!("{scopes}: {error}"));
    }
    let state = world.authority.state();
    let sent: Vec<_> = state
        .forms
        .iter()
        .filter_map(|form| form.get("refresh_token"))
        .collect();
    let distinct: std::collections::HashSet<_> = sent.iter().collect();
    assert_eq!(
        sent.len(),
        distinct.len(),
        "no refresh token was used twice"
    );
}

#[tokio::test]
async fn whoever_had_to_wait_takes_what_the_other_brought() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    let before = world.authority.posts();
    let (both, one) = tokio::join!(world.token("a b"), world.token("a"));
    assert_eq!(world.authority.posts(), before + 1);
    let (both, one) = (both.unwrap(), one.unwrap());
    assert_eq!(
        one.access_token.expose_secret(),
        both.access_token.expose_secret()
    );
    assert_eq!(one.token_source, TokenSource::Cache);
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_cost_the_rotated_refresh_token() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    let gate = world.authority.stall();
    let caller = world.token("a");
    assert!(
        tokio::time::timeout(Duration::from_millis(20), caller)
            .await
            .is_err()
    );
    gate.add_permits(100);
    let rotated = world.authority.state().valid_refresh_tokens();
    until(|| world.vault.holds(&rotated[0])).await;
    world.restart().await;
    world.token("a").await.expect("the account still works");
}

#[tokio::test]
async fn hits_for_one_account_do_not_wait_for_another_accounts_renewal() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.sign_in("bob").await.unwrap();
    let _gate = world.authority.stall();
    let of = |name: &str| {
        let mut request = world.silent("a");
        request.account = crate::account::AccountSelector::Username(format!("{name}@dev.test"));
        world.engine.silent(request)
    };
    tokio::select! {
        biased;
        _ = of("alice") => panic!("the authority does not answer"),
        hit = of("bob") => assert_eq!(hit.unwrap().token_source, TokenSource::Cache),
    }
}

#[tokio::test]
async fn a_sign_out_during_a_renewal_is_not_undone_by_it() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    world.expire();
    let gate = world.authority.stall();
    let posts = world.authority.posts();
    let sign_out = async {
        until(|| world.authority.posts() > posts).await;
        let request = SignOutRequest {
            client_id: client("app"),
            account,
            correlation_id: CorrelationId::from_random([1; 16]),
        };
        world.engine.sign_out(request).await.unwrap();
        gate.add_permits(1);
    };
    let (renewed, ()) = tokio::join!(world.token("a"), sign_out);
    assert_eq!(renewed.unwrap_err().kind(), ErrorKind::InteractionRequired);
    for kind in [
        RecordKind::Account,
        RecordKind::RefreshToken,
        RecordKind::AccessToken,
    ] {
        assert_eq!(world.vault.count(kind), 0, "{kind:?}");
    }
    assert_eq!(world.keys.count(), 0);
}

#[tokio::test]
async fn a_sign_in_during_a_renewal_is_not_overwritten_by_it() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    let gate = world.authority.stall();
    let posts = world.authority.posts();
    let sign_in = async {
        until(|| world.authority.posts() > posts).await;
        // The renewal's answer waits; the one of the sign-in goes through.
        *world.authority.stall.lock().unwrap() = None;
        world.sign_in("alice").await.unwrap();
        gate.add_permits(1);
    };
    let (renewed, ()) = tokio::join!(world.token("a"), sign_in);
    let result = renewed.expect("with what the sign-in brought");
    assert_eq!(result.token_source, TokenSource::Cache);
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 1);
    world.expire();
    world
        .token("a")
        .await
        .expect("the refresh token of the sign-in is the one that is kept");
    assert_eq!(world.keys.count(), 1);
}
