//! Keys whose TPM is gone, and files that are not what they were.

use std::fs;

use keyward_jose::SignerError;
use keyward_keystore::{KeyKind, KeyStore as _, KeyStoreError};
use keyward_testkit::SoftwareTpm;

use crate::{World, error_of};

#[test]
fn keys_copied_beside_another_tpm_are_lost() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let sealed = world.store.seal(b"data key", b"vault").unwrap();

    let other_tpm = SoftwareTpm::start();
    let elsewhere = world.through(&other_tpm);
    for error in [
        error_of(elsewhere.open(&id)),
        error_of(elsewhere.unseal(&sealed, b"vault")),
    ] {
        assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
        assert!(error.to_string().starts_with("key lost"), "{error}");
    }
    // It serves for keys of its own, and the old ones go on where they belong.
    assert!(elsewhere.create(KeyKind::Sign, None).is_ok());
    assert!(world.again().open(&id).is_ok());
}

#[test]
fn keys_of_a_cleared_tpm_are_lost() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let opened = world.store.open(&id).unwrap();
    let sealed = world.store.seal(b"data key", b"vault").unwrap();
    world.tpm.clear();

    assert_eq!(opened.sign(b"message"), Err(SignerError::KeyLost));
    for store in [&world.store, &world.again()] {
        let error = error_of(store.open(&id));
        assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
        let error = error_of(store.unseal(&sealed, b"vault"));
        assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
    }
    let new = world.store.create(KeyKind::Sign, None).unwrap();
    assert!(world.store.open(&new).is_ok());
}

#[test]
fn a_changed_key_file_is_damaged_and_not_lost() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let whole = fs::read(world.file(&id)).unwrap();
    for index in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        fs::write(world.file(&id), &changed).unwrap();
        let error = error_of(world.store.open(&id));
        assert!(
            matches!(error, KeyStoreError::Damaged { .. }),
            "byte {index}: {error}"
        );
        assert_eq!(fs::read(world.file(&id)).unwrap(), changed);
    }
    fs::write(world.file(&id), &whole).unwrap();
    assert!(world.store.open(&id).is_ok());
}

#[test]
fn a_key_file_is_of_no_use_under_another_name() {
    let world = World::new();
    let [a, b] = [(); 2].map(|()| world.store.create(KeyKind::Sign, None).unwrap());
    fs::copy(world.file(&a), world.file(&b)).unwrap();
    let error = error_of(world.store.open(&b));
    assert!(matches!(error, KeyStoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_changed_or_shortened_seal_does_not_open() {
    let world = World::new();
    let sealed = world.store.seal(b"data key", b"vault").unwrap();
    for index in (0..sealed.len()).step_by(5) {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        for bad in [changed.as_slice(), &sealed[..index]] {
            let error = error_of(world.store.unseal(bad, b"vault"));
            assert!(
                matches!(error, KeyStoreError::NotOurs),
                "byte {index}: {error}"
            );
        }
    }
}
