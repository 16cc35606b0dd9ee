//! A TPM that is away, slow or full: a named error to the caller, and recovery without a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward_jose::{Algorithm, Signer, SignerError};
use keyward_keystore::tpm::{self, TpmKeyStore};
use keyward_keystore::{KeyKind, KeyStore as _, KeyStoreError};

use crate::{World, error_of};

#[test]
fn a_killed_tpm_is_unavailable_until_it_is_back() {
    let mut world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    world.tpm.kill();
    for error in [
        error_of(world.store.open(&id)),
        error_of(world.store.create(KeyKind::Sign, None)),
        error_of(world.store.device()),
    ] {
        assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
    }
    assert!(matches!(
        key.sign(b"message"),
        Err(SignerError::Unavailable(_))
    ));
    world.tpm.restart();
    signs(&key);
    assert!(world.store.open(&id).is_ok());
}

#[test]
fn a_restart_between_two_uses_is_not_noticed() {
    let mut world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    let counter = world.store.counter().unwrap();
    let id_of_counter = counter.create().unwrap();
    let value = counter.read(&id_of_counter).unwrap();
    for round in 1..=3 {
        world.tpm.restart();
        signs(&key);
        world.tpm.restart();
        assert_eq!(counter.step(&id_of_counter).unwrap(), value + round);
    }
}

#[test]
fn a_tpm_that_is_not_there_at_start_is_used_when_it_comes() {
    let mut world = World::new();
    world.tpm.kill();
    let store = world.again();
    let error = error_of(store.create(KeyKind::Sign, None));
    assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
    world.tpm.restart();
    assert!(store.create(KeyKind::Sign, None).is_ok());
}

#[test]
fn a_stalled_tpm_keeps_no_caller_beyond_the_deadline() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let store = world.impatient();
    let key = store.open(&id).unwrap();
    world.tpm.stall();
    let before = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let error = error_of(store.create(KeyKind::Sign, None));
                assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
            });
        }
    });
    assert!(matches!(
        key.sign(b"message"),
        Err(SignerError::Unavailable(_))
    ));
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "{:?}",
        before.elapsed()
    );
    world.tpm.resume();
    // What nobody waits for any more is not done: it would leave files behind.
    signs(&world.again().open(&id).unwrap());
    assert_eq!(store.keys().unwrap(), [id]);
}

#[test]
fn a_full_tpm_is_unavailable_until_there_is_room() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    // Ours are given back when this is dropped, so that others can take every place.
    let store = world.again();
    drop(world.store.open(&id));
    let occupied = world.tpm.occupy();
    let error = error_of(store.open(&id));
    assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("object"), "{error}");
    world.tpm.vacate(occupied);
    signs(&key);
    assert!(store.open(&id).is_ok());
}

#[test]
fn what_another_client_leaves_is_enough() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let others: Vec<_> = (0..3).map(|_| world.again()).collect();
    for _ in 0..5 {
        // Each holds its parent and session while the others need a place, too.
        for store in &others {
            signs(&store.open(&id).unwrap());
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_said_to_be_absent() {
    let absent = "device:/nonexistent/tpmrm0";
    let probe = tpm::probe(Some(absent));
    assert!(matches!(&probe, tpm::Probe::Absent { reason } if reason.contains("/nonexistent")));
    let dir = tempfile::tempdir().unwrap();
    let store = TpmKeyStore::open(&dir.path().join("keys"), absent).unwrap();
    let error = error_of(store.create(KeyKind::Sign, None));
    assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
}

#[test]
fn something_else_in_its_place_is_a_failed_probe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tpmrm0");
    std::fs::write(&path, b"").unwrap();
    let probe = tpm::probe(Some(&format!("device:{}", path.display())));
    assert!(matches!(probe, tpm::Probe::Failed { .. }), "{probe:?}");
    let probe = tpm::probe(Some("no such transport"));
    assert!(matches!(probe, tpm::Probe::Failed { .. }), "{probe:?}");
}

fn signs(key: &Arc<dyn Signer>) {
    let signature = key.sign(b"message").unwrap();
    let public = key.public_jwk();
    assert!(public.verifies(Algorithm::Es256, b"message", &signature));
}
