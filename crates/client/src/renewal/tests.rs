use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use crate::binding::Binding;
use crate::cache::entity::Entity;
use crate::cache::format;
use crate::error::ErrorKind;
use crate::ports::{RecordKind, SignOutRequest};
use crate::request::{AuthenticationScheme, CachePolicy};
use crate::result::{TokenSource, TokenType};
use crate::testing::world::{client, home};
use crate::testing::*;
use keyward_oauth::identifiers::CorrelationId;

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

fn refused(body: &str) -> Fault {
    Fault::Answer(400, None, body.to_owned())
}

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
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(world.authority.posts(), before + 2);
    world
        .token("a")
        .await
        .expect("the refresh token is as it was");
}

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
    world.expire();
    world
        .authority
        .fault(refused(r#"{"error":"interaction_required"}"#));
    world.token("a").await.unwrap_err();
    world.sign_in("alice").await.unwrap();
    world.expire();
    world.token("a").await.unwrap();
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
        ErrorKind::Storage
    );
    world.keys.unavailable.store(false, Ordering::SeqCst);
    world.token("a").await.unwrap();
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
        (TokenType::Dpop, Binding::Dpop)
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
        (TokenType::Dpop, Binding::Dpop)
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
