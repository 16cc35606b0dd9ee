//! A vault that was put back in time is refused, and no crash makes one look as if it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
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

async fn write(vault: &Vault, changes: Vec<Change>) {
    vault.apply(changes).await.unwrap();
}

fn assert_rolled_back(opened: Result<Vault, StoreError>) {
    let error = opened.unwrap_err();
    assert!(matches!(error, StoreError::RolledBack(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("the vault was rolled back"), "{text}");
    assert!(
        text.contains("put the newer vault back, or remove it"),
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
    drop(open_with(dir.path(), mixed(&counters)).unwrap());
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
    let vault = open_with(dir.path(), detected(&counters)).unwrap();
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
    drop(open_with(dir.path(), best_effort(dir.path())).unwrap());
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
        drop(open_with(dir.path(), best_effort(dir.path())).unwrap());
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
    drop(open_with(dir.path(), detected(&counters)).unwrap());
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

const FOLDER: &str = "KEYWARD_TEST_FOLDER";
const MOMENT: &str = "KEYWARD_TEST_MOMENT";

/// A counter that ends the process at one moment before or after one of its steps.
struct Deadly {
    counter: FileCounter,
    moment: usize,
    passed: AtomicUsize,
}

impl Deadly {
    fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.moment {
            std::process::abort();
        }
    }

    fn around<T>(&self, step: impl FnOnce(&FileCounter) -> T) -> T {
        self.pass();
        let done = step(&self.counter);
        self.pass();
        done
    }
}

impl EpochCounter for Deadly {
    fn create(&self) -> Result<(String, u64), CounterError> {
        self.around(FileCounter::create)
    }

    fn read(&self, name: &str) -> Result<u64, CounterError> {
        self.around(|counter| counter.read(name))
    }

    fn step(&self, name: &str) -> Result<u64, CounterError> {
        self.around(|counter| counter.step(name))
    }

    fn remove(&self, name: &str) -> Result<(), CounterError> {
        self.around(|counter| counter.remove(name))
    }
}

fn of_file(folder: &Path) -> Vec<KeyProvider> {
    vec![KeyProvider {
        rollback: Rollback::Detected(Box::new(FileCounter::beside(folder))),
        ..software(Device(1))
    }]
}

/// What the test below runs: a start, a write and a sign-out, which end where they are told to.
#[tokio::test]
#[ignore = "run and ended by the test below"]
async fn mortal() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let moment = std::env::var(MOMENT).unwrap().parse().unwrap();
    let deadly = Deadly {
        counter: FileCounter::beside(&folder),
        moment,
        passed: AtomicUsize::new(0),
    };
    let provider = KeyProvider {
        rollback: Rollback::Detected(Box::new(deadly)),
        ..software(Device(1))
    };
    let vault = open_with(&folder, vec![provider]).unwrap();
    write(&vault, vec![put("a", "2", "two")]).await;
    vault.end_epoch().await.unwrap();
}

/// Whether it lived.
fn run_mortal(folder: &Path, moment: usize) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mortal", "--ignored"])
        .env(FOLDER, folder)
        .env(MOMENT, moment.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

/// Ends the process at every moment there is. Afterwards the vault opens with all it promised, and
/// a copy from before does not.
async fn dies_at_every_moment(vault_is_there: bool) -> usize {
    for moment in 0.. {
        let dir = private_dir();
        let mut old = None;
        if vault_is_there {
            let vault = open_with(dir.path(), of_file(dir.path())).unwrap();
            write(&vault, vec![put("a", "1", "one")]).await;
            drop(vault);
            old = Some(database(dir.path()));
        }
        let lived = run_mortal(dir.path(), moment);
        // Twice: what was interrupted is finished by the first.
        for _ in 0..2 {
            let vault = open_with(dir.path(), of_file(dir.path()))
                .unwrap_or_else(|error| panic!("locked out at moment {moment}: {error}"));
            let (records, errors) = contents(&vault).await;
            assert_eq!(errors, [], "moment {moment}");
            assert_eq!(records.contains(&"a/1=one".to_owned()), vault_is_there);
            assert!(!lived || records.contains(&"a/2=two".to_owned()));
        }
        if let Some(old) = old {
            put_back(dir.path(), &old);
            assert_rolled_back(open_with(dir.path(), of_file(dir.path())));
        }
        if lived {
            return moment;
        }
    }
    unreachable!("it lives when all moments are over")
}

#[tokio::test]
async fn a_crash_between_any_two_steps_locks_nobody_out_and_lets_no_old_vault_pass() {
    // Start: check, read, step. Sign-out: read, step. Each has a before and an after.
    assert_eq!(dies_at_every_moment(true).await, 10);
    // A new vault: create at the first record. Sign-out: read, step.
    assert_eq!(dies_at_every_moment(false).await, 6);
}
