//! Which storage key ours are made under.

use keyward_keystore::{KeyId, KeyKind, KeyStore as _, KeyStoreError};

use crate::bare::{Restricted, evict, persist};
use crate::{World, error_of};

/// The number of the parent's template in a key file.
fn template(world: &World, id: &KeyId) -> u8 {
    std::fs::read(world.file(id)).unwrap()[10]
}

const PERSISTENT: u8 = 1;
const PRIMARY: u8 = 2;

fn signs(world: &World, id: &KeyId) -> bool {
    let opened = world.again().open(id);
    opened.is_ok_and(|key| key.sign(b"message").is_ok())
}

#[test]
fn the_persistent_storage_root_key_is_used_if_there_is_one() {
    let world = World::new();
    let before = world.store.create(KeyKind::Sign, None).unwrap();
    assert_eq!(template(&world, &before), PRIMARY);

    persist(&world.tpm, Restricted::Yes);
    let store = world.again();
    let after = store.create(KeyKind::Sign, None).unwrap();
    assert_eq!(template(&world, &after), PERSISTENT);
    assert!(signs(&world, &before) && signs(&world, &after));

    // It is the same key as the primary one, which is made again when it is gone.
    evict(&world.tpm);
    assert!(
        store.open(&after).is_ok(),
        "an open connection finds it again"
    );
    assert!(signs(&world, &before) && signs(&world, &after));
}

#[test]
fn a_persistent_key_that_is_not_for_storage_alone_is_passed_over() {
    let world = World::new();
    persist(&world.tpm, Restricted::No);
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    assert_eq!(template(&world, &id), PRIMARY);
    assert!(signs(&world, &id));
}

#[test]
fn with_an_owner_who_has_set_a_value_the_persistent_key_still_serves() {
    let world = World::new();
    world.tpm.set_owner_auth(b"owner");
    let error = error_of(world.store.create(KeyKind::Sign, None));
    assert!(matches!(error, KeyStoreError::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("owner"), "{error}");

    let world = World::new();
    persist(&world.tpm, Restricted::Yes);
    world.tpm.set_owner_auth(b"owner");
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    assert!(signs(&world, &id));
}
