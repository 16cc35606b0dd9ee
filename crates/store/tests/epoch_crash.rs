//! A process that ends between any two steps of an epoch: nobody is locked out, and no old vault
//! passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use device::{Device, contents, open_with, private_dir, put, software};
use keyward_client::ports::{Change, RecordStore, StoreError};
use keyward_store::{CounterError, EpochCounter, FileCounter, KeyProvider, Rollback, Vault};

async fn write(vault: &Vault, changes: Vec<Change>) {
    vault.apply(changes).await.unwrap();
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
    contents(&vault).await;
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
            old = Some(fs::read(dir.path().join("vault.db")).unwrap());
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
            let _ = fs::remove_file(dir.path().join("vault.db-wal"));
            fs::write(dir.path().join("vault.db"), &old).unwrap();
            let error = open_with(dir.path(), of_file(dir.path())).unwrap_err();
            assert!(matches!(error, StoreError::RolledBack(_)), "{error:?}");
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
