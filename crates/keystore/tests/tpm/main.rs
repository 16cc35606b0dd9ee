//! The provider `tpm` against a real software TPM, one per test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attributes;
mod bare;
mod counter;
mod device;
mod loss;
mod memory;
mod operations;
mod other_process;
mod parent;
mod pin;
mod resource_manager;
mod trouble;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyward_keystore::tpm::{DEFAULT_DEADLINE, TpmKeyStore};
use keyward_keystore::{KeyId, KeyStoreError};
use keyward_testkit::SoftwareTpm;
use tempfile::TempDir;

/// A TPM, and keys in it.
struct World {
    tpm: SoftwareTpm,
    dir: TempDir,
    store: TpmKeyStore,
}

impl World {
    fn new() -> Self {
        let tpm = SoftwareTpm::start();
        let dir = tempfile::tempdir().unwrap();
        let store = TpmKeyStore::open(&dir.path().join("keys"), &tpm.tcti()).unwrap();
        Self { tpm, dir, store }
    }

    /// The same keys and the same TPM, as after a restart of the program.
    fn again(&self) -> TpmKeyStore {
        self.through(&self.tpm)
    }

    /// The same keys with another TPM, or with a connection of its own to the same one.
    fn through(&self, tpm: &SoftwareTpm) -> TpmKeyStore {
        // Stores of one process with the same deadline share a connection.
        static STORES: AtomicU64 = AtomicU64::new(1);
        let own = Duration::from_millis(STORES.fetch_add(1, Ordering::Relaxed));
        let deadline = DEFAULT_DEADLINE + own;
        TpmKeyStore::open_with_deadline(&self.keys(), &tpm.tcti(), deadline).unwrap()
    }

    /// The same, with callers who do not wait long.
    fn impatient(&self) -> TpmKeyStore {
        let deadline = Duration::from_secs(1);
        TpmKeyStore::open_with_deadline(&self.keys(), &self.tpm.tcti(), deadline).unwrap()
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn file(&self, id: &KeyId) -> PathBuf {
        self.keys().join(format!("{id}.key"))
    }
}

/// The error, which must be there. What comes instead may be no text.
fn error_of<T>(result: Result<T, KeyStoreError>) -> KeyStoreError {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error,
    }
}
