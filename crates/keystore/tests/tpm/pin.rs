//! Keys that want a PIN, and the TPM that counts wrong ones.

use keyward_jose::SignerError;
use keyward_keystore::{KeyId, KeyKind, KeyStore as _, KeyStoreError, Pin};

use crate::{World, error_of};

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn agree(world: &World, id: &KeyId) -> Result<(), KeyStoreError> {
    let keyward_keystore::PublicKey::P256(peer) = world.store.public(id)? else {
        panic!("a P-256 key is no RSA key");
    };
    world.store.agree(id, &peer).map(drop)
}

#[test]
fn a_key_with_a_pin_works_with_it_and_not_without() {
    let world = World::new();
    let id = world
        .store
        .create(KeyKind::Sign, Some(&pin("1234")))
        .unwrap();
    let free = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    assert_eq!(key.sign(b"message"), Err(SignerError::PinRequired));
    world.store.unlock(pin("1234"));
    assert!(key.sign(b"message").is_ok());
    assert!(world.store.open(&free).unwrap().sign(b"message").is_ok());
    world.store.lock();
    assert_eq!(key.sign(b"message"), Err(SignerError::PinRequired));
    assert!(world.store.open(&free).unwrap().sign(b"message").is_ok());
}

#[test]
fn a_wrong_pin_is_counted_once_and_forgotten() {
    let world = World::new();
    let id = world
        .store
        .create(KeyKind::Agree, Some(&pin("1234")))
        .unwrap();
    world.store.unlock(pin("4321"));
    let error = error_of(agree(&world, &id));
    let KeyStoreError::WrongPin {
        remaining: Some(left),
    } = error
    else {
        panic!("{error}");
    };
    let error = error_of(agree(&world, &id));
    assert!(matches!(error, KeyStoreError::PinRequired), "{error}");
    world.store.unlock(pin("9999"));
    let error = error_of(agree(&world, &id));
    assert!(matches!(error, KeyStoreError::WrongPin { remaining } if remaining == Some(left - 1)));
    world.store.unlock(pin("1234"));
    agree(&world, &id).unwrap();
}

#[test]
fn too_many_wrong_pins_lock_keys_with_a_pin_and_no_others() {
    let world = World::new();
    let id = world
        .store
        .create(KeyKind::Sign, Some(&pin("1234")))
        .unwrap();
    let free = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    let refused = (0..40).find_map(|number| {
        world.store.unlock(pin(&format!("wrong {number}")));
        match key.sign(b"message") {
            Err(SignerError::PinRefused(text)) if text.contains("locked") => Some(text),
            Err(SignerError::PinRefused(_)) => None,
            other => panic!("{other:?}"),
        }
    });
    assert!(
        refused.unwrap().contains("after"),
        "it says how long to wait"
    );
    // The right one is of no use now either, and says so.
    world.store.unlock(pin("1234"));
    let error = key.sign(b"message");
    assert!(
        matches!(error, Err(SignerError::PinRefused(_))),
        "{error:?}"
    );
    assert!(world.store.open(&free).unwrap().sign(b"message").is_ok());
}
