use std::sync::atomic::Ordering;

use super::*;
use crate::binding::KeyProtection;
use crate::ports::RecordKind;
use crate::testing::world::resource;
use crate::testing::{Binds, Person, World};

/// Moves whatever there is to where new keys are made.
async fn rebind(world: &World) -> Result<(), AcquireTokenError> {
    for bound in world.engine.bound_accounts() {
        world
            .engine
            .rebind(&bound, Arc::clone(&world.handle) as _)
            .await?;
    }
    world.engine.reseal().await
}

fn sealed_by(world: &World, protection: KeyProtection) -> bool {
    let records = world.vault.records.lock().unwrap();
    records
        .values()
        .all(|record| record.protection == protection)
}

#[tokio::test]
async fn a_bound_refresh_token_is_replaced_by_a_sign_in_and_the_old_key_destroyed() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let [before] = &world.engine.bound_accounts()[..] else {
        panic!("one is signed in");
    };
    world.keys.in_tpm.store(true, Ordering::SeqCst);
    rebind(&world).await.unwrap();

    let shown = world.agent.last_shown();
    assert_eq!(shown["login_hint"], "alice@dev.test");
    let [after] = &world.engine.bound_accounts()[..] else {
        panic!("one is signed in");
    };
    assert_eq!(after.key_protection, KeyProtection::Tpm);
    assert_ne!(after.key, before.key);
    assert_eq!(world.keys.count(), 1);
    assert!(sealed_by(&world, KeyProtection::Tpm));
    world.restart().await;
    world.expire();
    let renewed = world.token("a").await.unwrap();
    assert_eq!(renewed.key_protection, Some(KeyProtection::Tpm));
}

#[tokio::test]
async fn whoever_gives_up_the_sign_in_keeps_what_there_was() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.engine.bound_accounts();
    world.keys.in_tpm.store(true, Ordering::SeqCst);
    world.agent.becomes(Person::Closes);
    let error = rebind(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled);
    crate::testing::world::until(|| world.keys.count() == 1).await;
    assert_eq!(world.engine.bound_accounts(), before);
    world.expire();
    world.token("a").await.unwrap();

    // Another person is not the one whose tokens these are.
    world.agent.becomes(Person::SignsIn("bob"));
    let error = rebind(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccountSwitch);
    assert_eq!(world.engine.bound_accounts(), before);

    world.agent.becomes(Person::SignsIn("alice"));
    rebind(&world).await.unwrap();
    assert_ne!(world.engine.bound_accounts(), before);
}

#[tokio::test]
async fn what_is_bound_by_dpop_moves_with_its_access_tokens_scheme() {
    let world = World::openid(Binds::Everything).await;
    let mut request = world.interactive("a b");
    request.token.scheme = AuthenticationScheme::Dpop(Some(resource()));
    world.show(request).await.unwrap();
    world.keys.in_tpm.store(true, Ordering::SeqCst);
    rebind(&world).await.unwrap();
    let [after] = &world.engine.bound_accounts()[..] else {
        panic!("one is signed in");
    };
    assert_eq!(after.key_protection, KeyProtection::Tpm);
    assert_eq!(world.keys.count(), 1);
}

#[tokio::test]
async fn what_no_authority_binds_is_sealed_again_without_a_sign_in() {
    for world in [World::entra().await, World::openid(Binds::Nothing).await] {
        let world = world.signed_in().await;
        let shows = world.agent.shows();
        assert!(sealed_by(&world, KeyProtection::Software));
        world.keys.in_tpm.store(true, Ordering::SeqCst);
        rebind(&world).await.unwrap();
        assert_eq!(world.agent.shows(), shows);
        assert!(sealed_by(&world, KeyProtection::Tpm));
        let cached = world.token("a").await.unwrap();
        assert_eq!(cached.key_protection, Some(KeyProtection::Tpm));
        assert_eq!(world.vault.count(RecordKind::RefreshToken), 1);
    }
}

#[tokio::test]
async fn entras_keys_for_signed_requests_are_made_anew_when_they_are_needed() {
    let world = World::entra().await.signed_in().await;
    let pop = || {
        let mut request = world.silent("a");
        request.token.scheme = crate::testing::world::pop("n");
        request
    };
    world.engine.silent(pop()).await.unwrap();
    assert_eq!(world.keys.count(), 1);
    world.keys.in_tpm.store(true, Ordering::SeqCst);
    rebind(&world).await.unwrap();
    assert_eq!(world.keys.count(), 0);
    let signed = world.engine.silent(pop()).await.unwrap();
    assert_eq!(signed.key_protection, Some(KeyProtection::Tpm));
}
