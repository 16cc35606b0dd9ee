//! Counters that cannot be taken back.

use std::time::Duration;

use keyward_keystore::{CounterId, KeyStore as _, KeyStoreError};
use keyward_testkit::{SoftwareTpm, wait};

use crate::bare::{Restricted, handles, persist};
use crate::{World, error_of};

#[test]
fn a_counter_goes_up_by_one_and_survives_restarts() {
    let mut world = World::new();
    let counter = world.store.counter().unwrap();
    let id = counter.create().unwrap();
    let first = counter.read(&id).unwrap();
    assert_eq!(counter.read(&id).unwrap(), first);
    assert_eq!(counter.step(&id).unwrap(), first + 1);
    world.tpm.restart();
    let store = world.again();
    let id = CounterId::parse(&id.to_string()).unwrap();
    assert_eq!(store.counter().unwrap().read(&id).unwrap(), first + 1);
    assert_eq!(store.counter().unwrap().step(&id).unwrap(), first + 2);
}

#[test]
fn a_removed_counter_is_lost_and_another_never_begins_below_it() {
    let world = World::new();
    let counter = world.store.counter().unwrap();
    let id = counter.create().unwrap();
    for _ in 0..3 {
        counter.step(&id).unwrap();
    }
    let last = counter.read(&id).unwrap();
    counter.remove(&id).unwrap();
    counter.remove(&id).unwrap();
    let error = error_of(counter.read(&id));
    assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
    let next = counter.create().unwrap();
    assert!(counter.read(&next).unwrap() > last);
}

#[test]
fn counters_of_a_cleared_or_another_tpm_are_lost() {
    let world = World::new();
    let id = world.store.counter().unwrap().create().unwrap();
    let other = SoftwareTpm::start();
    let elsewhere = world.through(&other);
    let error = error_of(elsewhere.counter().unwrap().read(&id));
    assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
    world.tpm.clear();
    let error = error_of(world.store.counter().unwrap().step(&id));
    assert!(matches!(error, KeyStoreError::Lost(_)), "{error}");
}

#[test]
fn a_counter_nobody_waited_for_is_not_left_behind() {
    let world = World::new();
    let store = world.impatient();
    world.tpm.stall();
    let error = error_of(store.counter().unwrap().create());
    assert!(matches!(error, KeyStoreError::Unavailable(_)), "{error}");
    world.tpm.resume();
    // The same thread serves this when it is through with that.
    wait::until("an answer", Duration::from_secs(20), || store.device().ok());
    assert!(handles(&world.tpm, 0x0180_0000).is_empty());
}

#[test]
fn a_tpm_whose_owner_keeps_it_to_himself_is_unsupported() {
    let world = World::new();
    persist(&world.tpm, Restricted::Yes);
    let counter = world.store.counter().unwrap();
    let id = counter.create().unwrap();
    world.tpm.set_owner_auth(b"owner");
    let error = error_of(counter.create());
    assert!(matches!(error, KeyStoreError::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("owner"), "{error}");
    // One that is there goes on.
    let value = counter.read(&id).unwrap();
    assert_eq!(counter.step(&id).unwrap(), value + 1);
}
