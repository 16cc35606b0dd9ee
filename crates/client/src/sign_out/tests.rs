use std::sync::atomic::Ordering;

use keyward_oauth::identifiers::{CorrelationId, HomeAccountId};

use crate::account::AccountSelector;
use crate::binding::KeyProtection;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::ports::{RecordKind, SignOutRequest, StoreError};
use crate::testing::world::client;
use crate::testing::*;

async fn sign_out(world: &World, account: HomeAccountId) -> Result<(), AcquireTokenError> {
    let request = SignOutRequest {
        client_id: client("app"),
        account,
        correlation_id: CorrelationId::from_random([1; 16]),
    };
    world.engine.sign_out(request).await
}

#[tokio::test]
async fn sign_out_removes_the_account_for_every_client_and_revokes_its_refresh_tokens() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut other = world.interactive("a");
    other.token.client_id = client("other");
    world.show(other).await.unwrap();
    let bob = world.sign_in("bob").await.unwrap().account.home_account_id;
    let mut alice = world.silent("a");
    alice.account = AccountSelector::Username("alice@dev.test".to_owned());
    let account = world
        .engine
        .silent(alice.clone())
        .await
        .unwrap()
        .account
        .home_account_id;
    let tokens = world.authority.state().valid_refresh_tokens();

    sign_out(&world, account).await.unwrap();

    let mut revoked = world.authority.state().revoked.clone();
    revoked.sort_unstable();
    let mut hers: Vec<_> = tokens
        .into_iter()
        .filter(|token| token.ends_with("alice"))
        .collect();
    hers.sort_unstable();
    assert_eq!((revoked.len(), revoked), (2, hers));
    assert!(!world.vault.holds("alice"));
    assert_eq!(world.vault.epochs.load(Ordering::SeqCst), 1);
    assert_eq!(world.keys.count(), 1);
    for name in ["app", "other"] {
        alice.token.client_id = client(name);
        let error = world.engine.silent(alice.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    }
    world.restart().await;
    let left = world.engine.accounts(&client("app")).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].home_account_id, bob);
}

#[tokio::test]
async fn an_account_that_is_not_here_is_signed_out_already() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    sign_out(&world, HomeAccountId::new("u", "t"))
        .await
        .unwrap();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_does_not_keep_anybody_signed_in() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    world.authority.state().unreachable = true;
    sign_out(&world, account).await.unwrap();
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 0);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_does_not_answer_is_not_waited_for_long() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    world.authority.state().keeps_revocations_waiting = true;
    let begun = tokio::time::Instant::now();
    sign_out(&world, account).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn entra_is_not_asked_to_revoke() {
    let world = World::entra().await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    sign_out(&world, account).await.unwrap();
    assert!(world.authority.state().revoked.is_empty());
    assert_eq!(world.vault.count(RecordKind::Account), 0);
}

#[tokio::test]
async fn a_vault_that_cannot_be_written_is_an_error_and_the_account_stays() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    world.vault.broken.store(true, Ordering::SeqCst);
    let error = sign_out(&world, account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    world.token("a").await.unwrap();
    assert!(world.authority.state().revoked.is_empty());
}

fn away() -> StoreError {
    StoreError::KeyUnavailable {
        protection: KeyProtection::Tpm,
        records: 4,
        reason: "the TPM does not answer".to_owned(),
    }
}

#[tokio::test]
async fn nobody_is_told_to_be_signed_out_while_records_cannot_be_read() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    let records = std::mem::take(&mut *world.vault.records.lock().unwrap());
    world.vault.unreadable.lock().unwrap().push(away());
    world.restart().await;
    let error = sign_out(&world, account.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    let text = error.message();
    assert!(text.contains("may be this account's"), "{text}");
    assert!(text.contains("when the device is back"), "{text}");

    // The device is back: they are found and go.
    world.vault.records.lock().unwrap().extend(records);
    world.vault.unreadable.lock().unwrap().clear();
    world.clock.forward(3);
    sign_out(&world, account).await.unwrap();
    assert!(!world.vault.holds("alice"));
}

#[tokio::test]
async fn what_can_be_read_of_an_account_goes_although_the_rest_is_away() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let account = world.token("a").await.unwrap().account.home_account_id;
    world.vault.unreadable.lock().unwrap().push(away());
    world.restart().await;
    let error = sign_out(&world, account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert!(!world.vault.holds("alice"));
}

#[tokio::test]
async fn forgetting_leaves_no_record_whether_it_can_be_read_or_not() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.vault.unreadable.lock().unwrap().push(away());
    world.restart().await;
    world.engine.forget().await.unwrap();
    assert!(world.vault.records.lock().unwrap().is_empty());
    assert!(world.vault.unreadable.lock().unwrap().is_empty());
    assert!(world.engine.status().problems.is_empty());
    world.sign_in("alice").await.unwrap();
    world.token("a").await.unwrap();
}
