use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use crate::account::AccountSelector;
use crate::binding::KeyProtection;
use crate::error::ErrorKind;
use crate::ports::{Record, RecordKey, RecordKind, StoreError};
use crate::request::CachePolicy;
use crate::result::TokenSource;
use crate::testing::world::client;
use crate::testing::*;
use crate::{Engine, Settings};

#[tokio::test]
async fn nothing_is_answered_before_the_vault_is_open() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let closed = Engine::new(world.ports(), Settings::default());
    let error = closed.accounts(&client("app")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    let error = closed.silent(world.silent("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(closed.status().problems.len(), 1);

    world.vault.broken.store(true, Ordering::SeqCst);
    assert!(closed.open().await.is_err());
    assert!(closed.status().problems[0].contains("as the test wants"));
    world.vault.broken.store(false, Ordering::SeqCst);
    closed.open().await.unwrap();
    assert_eq!(closed.accounts(&client("app")).unwrap().len(), 1);
    assert!(closed.status().problems.is_empty());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_stops_nothing() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.sign_in("bob").await.unwrap();
    let bob = {
        let mut records = world.vault.records.lock().unwrap();
        let mut tokens = records
            .values_mut()
            .filter(|r| r.key.kind == RecordKind::RefreshToken);
        let damaged = tokens
            .find(|r| String::from_utf8_lossy(&r.value).contains("bob"))
            .unwrap();
        damaged.value = Zeroizing::new(b"{\"v\":9}".to_vec());
        damaged.key.account.clone()
    };
    let sealed = StoreError::Unreadable {
        record: "access_token 7".to_owned(),
        reason: "the seal is broken".to_owned(),
    };
    world.vault.unreadable.lock().unwrap().push(sealed);
    world.restart().await;
    let problems = world.engine.status().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("access_token 7") && problems[0].contains("seal"));
    assert!(problems[1].contains(&bob) && problems[1].contains("newer version"));

    world.expire();
    let mut request = world.silent("a");
    request.account = crate::account::AccountSelector::Username("alice@dev.test".to_owned());
    world
        .engine
        .silent(request)
        .await
        .expect("alice's records are whole");
    assert_eq!(
        world.vault.count(RecordKind::RefreshToken),
        2,
        "nothing was overwritten"
    );
}

/// Everything is there and sealed by a key that cannot be used.
async fn sealed_away(world: &mut World, why: StoreError) -> BTreeMap<RecordKey, Record> {
    let records = std::mem::take(&mut *world.vault.records.lock().unwrap());
    world.vault.unreadable.lock().unwrap().push(why);
    world.restart().await;
    records
}

#[tokio::test]
async fn who_is_sealed_by_a_lost_key_is_told_so_and_signs_in_again() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let lost = StoreError::KeyLost {
        protection: KeyProtection::Tpm,
        records: 4,
        reason: "another TPM".to_owned(),
    };
    sealed_away(&mut world, lost).await;
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert!(
        error.message().contains("key that seals them is lost"),
        "{error}"
    );
    assert_eq!(world.engine.status().problems.len(), 1);
    world.sign_in("alice").await.unwrap();
    world.token("a").await.expect("there is no loop");
}

#[tokio::test]
async fn who_is_sealed_by_a_key_that_is_away_is_found_when_it_is_back() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let away = StoreError::KeyUnavailable {
        protection: KeyProtection::Tpm,
        records: 4,
        reason: "the TPM does not answer".to_owned(),
    };
    let records = sealed_away(&mut world, away).await;
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert!(error.message().contains("does not answer"), "{error}");
    // Nobody has to wait for it to sign somebody else in.
    world.sign_in("bob").await.unwrap();

    world.vault.records.lock().unwrap().extend(records);
    world.vault.unreadable.lock().unwrap().clear();
    world.clock.forward(3);
    let mut alice = world.silent("a");
    alice.account = AccountSelector::Username("alice@dev.test".to_owned());
    let token = world.engine.silent(alice).await.unwrap();
    assert_eq!(token.token_source, TokenSource::Cache);
    assert!(world.engine.status().problems.is_empty());
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.token("a").await.unwrap();
    let status = world.engine.status();
    world.restart().await;
    let after = world.token("a").await.unwrap();
    assert_eq!(after.token_source, TokenSource::Cache);
    assert_eq!(
        after.access_token.expose_secret(),
        before.access_token.expose_secret()
    );
    assert_eq!(after.account, before.account);
    assert_eq!(after.expires_on, before.expires_on);
    assert_eq!(world.engine.status(), status);
}

#[tokio::test]
async fn after_each_answer_a_crash_costs_nothing() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for n in 0..20 {
        let mut forced = world.silent(["a", "b", "a b"][n % 3]);
        forced.cache = CachePolicy::ForceRefresh;
        world.engine.silent(forced).await.unwrap();
        world.restart().await;
    }
}

#[tokio::test]
async fn ended_access_tokens_leave_the_vault() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.sign_in("bob").await.unwrap();
    assert_eq!(world.vault.count(RecordKind::AccessToken), 2);
    world.expire();
    let mut request = world.silent("a b");
    request.account = crate::account::AccountSelector::Username("bob@dev.test".to_owned());
    world.engine.silent(request).await.unwrap();
    assert_eq!(
        world.vault.count(RecordKind::AccessToken),
        1,
        "alice's has ended, too"
    );
}
