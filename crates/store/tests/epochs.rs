//! A vault that was put back in time is refused, and no crash makes one look as if it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use device::{Device, contents, key, open, open_with, private_dir, put, put_as, software, tpm};
use keyward_client::binding::KeyProtection::{Software, Tpm};
use keyward_client::manage::Detection;
use keyward_client::ports::{Change, RecordKind, RecordStore, StoreError};
use keyward_store::{CounterError, EpochCounter, FileCounter, KeyProvider, Rollback, Vault};

/// A device's counters, which outlive every vault.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: HashMap<String, u64>,
    fails: Option<CounterError>,
}

impl Counters {
    fn fail(&self, error: Option<CounterError>) {
        self.0.lock().unwrap().fails = error;
    }

    fn on<T>(
        &self,
        job: impl FnOnce(&mut HashMap<String, u64>) -> Option<T>,
    ) -> Result<T, CounterError> {
        let mut state = self.0.lock().unwrap();
        match &state.fails {
            Some(error) => Err(error.clone()),
            None => job(&mut state.values)
                .ok_or_else(|| CounterError::Lost("there is no such counter".to_owned())),
        }
    }
}

impl EpochCounter for Counters {
    fn create(&self) -> Result<(String, u64), CounterError> {
        self.on(|values| {
            let name = format!("counter {}", values.len());
            values.insert(name.clone(), 40);
            Some((name, 40))
        })
    }

    fn read(&self, name: &str) -> Result<u64, CounterError> {
        self.on(|values| values.get(name).copied())
    }

    fn step(&self, name: &str) -> Result<u64, CounterError> {
        self.on(|values| {
            let value = values.get_mut(name)?;
            *value += 1;
            Some(*value)
        })
    }

    fn remove(&self, name: &str) -> Result<(), CounterError> {
        self.on(|values| values.remove(name).map(drop).or(Some(())))
    }
}

fn detected(counters: &Counters) -> Vec<KeyProvider> {
    vec![KeyProvider {
        rollback: Rollback::Detected(Box::new(counters.clone())),
        ..software(Device(1))
    }]
}

/// Both, where only the TPM counts.
fn mixed(counters: &Counters) -> Vec<KeyProvider> {
    let hard = KeyProvider {
        rollback: Rollback::Detected(Box::new(counters.clone())),
        ..tpm(Device(2))
    };
    vec![software(Device(1)), hard]
}

fn best_effort(folder: &Path) -> Vec<KeyProvider> {
    vec![KeyProvider {
        rollback: Rollback::BestEffort(Box::new(FileCounter::beside(folder))),
        ..software(Device(1))
    }]
}

fn database(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("vault.db")).unwrap()
}

fn put_back(folder: &Path, copy: &[u8]) {
    // A log of the newer vault does not fit the older one.
    let _ = fs::remove_file(folder.join("vault.db-wal"));
    fs::write(folder.join("vault.db"), copy).unwrap();
}

/// Opens a vault and reads it, as the broker does when it starts.
async fn started(folder: &Path, providers: Vec<KeyProvider>) -> Vault {
    let vault = open_with(folder, providers).unwrap();
    contents(&vault).await;
    vault
}

async fn write(vault: &Vault, changes: Vec<Change>) {
    vault.apply(changes).await.unwrap();
}

fn assert_rolled_back(opened: Result<Vault, StoreError>) {
    let error = opened.unwrap_err();
    assert!(matches!(error, StoreError::RolledBack(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("the vault was rolled back"), "{text}");
    assert!(
        text.contains("put the newer vault back, or stop keywardd, move the folder "),
        "{text}"
    );
}

#[tokio::test]
async fn a_vault_of_an_earlier_epoch_is_refused_and_not_touched() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "old")]).await;
    drop(vault);
    let old = database(dir.path());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "rotated")]).await;
    drop(vault);
    let new = database(dir.path());

    put_back(dir.path(), &old);
    assert_rolled_back(open_with(dir.path(), detected(&counters)));
    assert!(database(dir.path()) == old, "it was written to");
    put_back(dir.path(), &new);
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    assert_eq!(
        contents(&vault).await,
        (vec!["a/1=rotated".to_owned()], vec![])
    );
}

#[tokio::test]
async fn a_vault_from_before_a_sign_out_is_refused() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "one")]).await;
    let copy = private_dir();
    copy_files(dir.path(), copy.path());
    write(
        &vault,
        vec![Change::Delete(key(RecordKind::RefreshToken, "a", "1"))],
    )
    .await;
    vault.end_epoch().await.unwrap();
    drop(vault);
    assert_rolled_back(open_with(copy.path(), detected(&counters)));
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    assert_eq!(contents(&vault).await, (vec![], vec![]));
}

fn copy_files(from: &Path, to: &Path) {
    for name in ["vault.db", "vault.db-wal"] {
        // It has its mode from the original.
        let _ = fs::copy(from.join(name), to.join(name));
    }
}

#[tokio::test]
async fn rollback_within_an_epoch_is_not_noticed() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "old")]).await;
    let copy = private_dir();
    copy_files(dir.path(), copy.path());
    write(&vault, vec![put("a", "1", "rotated")]).await;
    drop(vault);
    let vault = open_with(copy.path(), detected(&counters)).unwrap();
    assert_eq!(contents(&vault).await.0, ["a/1=old"]);
}

#[tokio::test]
async fn one_old_part_makes_the_whole_vault_an_old_one() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), mixed(&counters)).unwrap();
    write(
        &vault,
        vec![put("a", "1", "soft"), put_as(Tpm, "b", "1", "hard")],
    )
    .await;
    drop(vault);
    let old = database(dir.path());
    drop(started(dir.path(), mixed(&counters)).await);
    put_back(dir.path(), &old);
    assert_rolled_back(open_with(dir.path(), mixed(&counters)));
}

#[tokio::test]
async fn an_epoch_cannot_be_edited_or_taken_away() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), mixed(&counters)).unwrap();
    write(
        &vault,
        vec![put("a", "1", "soft"), put_as(Tpm, "b", "1", "hard")],
    )
    .await;
    drop(vault);
    for edit in [
        "UPDATE data_key SET epoch = NULL WHERE id = 2",
        "UPDATE data_key SET epoch = (SELECT epoch FROM data_key WHERE id = 1) WHERE id = 2",
        "UPDATE data_key SET epoch = zeroblob(28) WHERE id = 2",
    ] {
        let edited = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
        edited.execute(edit, []).unwrap();
        drop(edited);
        let vault = open_with(dir.path(), mixed(&counters)).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(records, ["a/1=soft"], "{edit}");
        assert!(
            errors[0]
                .to_string()
                .contains("the vault's head is damaged"),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn a_counter_that_is_away_or_gone_costs_what_it_counts_for() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), mixed(&counters)).unwrap();
    write(
        &vault,
        vec![put("a", "1", "soft"), put_as(Tpm, "b", "1", "hard")],
    )
    .await;
    drop(vault);
    for error in [
        CounterError::Unavailable("no answer".to_owned()),
        CounterError::Lost("no such index".to_owned()),
    ] {
        counters.fail(Some(error));
        let vault = open_with(dir.path(), mixed(&counters)).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(records, ["a/1=soft"]);
        let [
            StoreError::KeyUnavailable {
                protection, reason, ..
            },
        ] = &errors[..]
        else {
            panic!("{errors:?}");
        };
        assert_eq!(*protection, Tpm);
        assert!(
            reason.contains("whether the vault was rolled back cannot be told"),
            "{reason}"
        );
        // Without a restart.
        counters.fail(None);
        assert_eq!(contents(&vault).await.0, ["a/1=soft", "b/1=hard"]);
    }
}

#[tokio::test]
async fn a_device_that_lets_nobody_count_is_used_and_says_so() {
    let (dir, counters) = (private_dir(), Counters::default());
    let not = CounterError::Unsupported("the owner did not allow it".to_owned());
    counters.fail(Some(not));
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "one")]).await;
    vault.end_epoch().await.unwrap();
    drop(vault);
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    assert_eq!(contents(&vault).await, (vec!["a/1=one".to_owned()], vec![]));
    assert_eq!(detection(&vault).await, (Detection::None, None));
    drop(vault);
    // As soon as it may, it counts.
    counters.fail(None);
    let vault = started(dir.path(), detected(&counters)).await;
    assert_eq!(detection(&vault).await, (Detection::Device, Some(40)));
}

async fn detection(vault: &Vault) -> (Detection, Option<u64>) {
    let report = vault.check().await.unwrap();
    let [of_software] = &report.rollback[..] else {
        panic!("{report:?}");
    };
    assert_eq!(of_software.key_protection, Software);
    (of_software.detection, of_software.epoch)
}

#[tokio::test]
async fn a_file_notices_a_vault_that_was_put_back_alone() {
    let dir = private_dir();
    let vault = open_with(dir.path(), best_effort(dir.path())).unwrap();
    write(&vault, vec![put("a", "1", "old")]).await;
    assert_eq!(detection(&vault).await, (Detection::BestEffort, Some(1)));
    drop(vault);
    let old = database(dir.path());
    drop(started(dir.path(), best_effort(dir.path())).await);
    put_back(dir.path(), &old);
    assert_rolled_back(open_with(dir.path(), best_effort(dir.path())));
}

#[tokio::test]
async fn a_file_that_is_gone_or_older_than_the_vault_locks_nobody_out() {
    let dir = private_dir();
    let vault = open_with(dir.path(), best_effort(dir.path())).unwrap();
    write(&vault, vec![put("a", "1", "one")]).await;
    drop(vault);
    let count = dir.path().join("vault.epoch");
    let early = fs::read(&count).unwrap();
    for _ in 0..3 {
        drop(started(dir.path(), best_effort(dir.path())).await);
    }
    fs::write(&count, &early).unwrap();
    let vault = open_with(dir.path(), best_effort(dir.path())).unwrap();
    assert_eq!(contents(&vault).await.0, ["a/1=one"]);
    drop(vault);
    fs::remove_file(&count).unwrap();
    let vault = open_with(dir.path(), best_effort(dir.path())).unwrap();
    assert_eq!(contents(&vault).await, (vec!["a/1=one".to_owned()], vec![]));
}

#[tokio::test]
async fn a_vault_of_format_1_counts_from_its_migration_on() {
    let (dir, counters) = (private_dir(), Counters::default());
    device::format_1(dir.path());
    drop(started(dir.path(), detected(&counters)).await);
    let migrated = database(dir.path());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    assert_eq!(contents(&vault).await.0.len(), 3);
    assert_eq!(detection(&vault).await, (Detection::Device, Some(41)));
    drop(vault);
    put_back(dir.path(), &migrated);
    assert_rolled_back(open_with(dir.path(), detected(&counters)));
}

#[tokio::test]
async fn a_new_vault_in_the_place_of_a_removed_one_is_not_an_old_one() {
    let (dir, counters) = (private_dir(), Counters::default());
    for _ in 0..2 {
        for _ in 0..3 {
            let vault = open_with(dir.path(), detected(&counters)).unwrap();
            write(&vault, vec![put("a", "1", "one")]).await;
        }
        fs::remove_file(dir.path().join("vault.db")).unwrap();
    }
}

#[tokio::test]
async fn a_vault_that_was_counted_is_not_served_by_somebody_who_does_not() {
    let (dir, counters) = (private_dir(), Counters::default());
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
    write(&vault, vec![put("a", "1", "one")]).await;
    drop(vault);
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("nothing counts here"), "{error}");
}
