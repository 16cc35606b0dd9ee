//! The providers of device-held keys, side by side: the name of a key says whose it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyward_client::binding::KeyProtection;
use keyward_keystore::{KeyId, KeyStore, KeyStoreError, Protection, SoftwareKeyStore, tpm};
use tokio::sync::Semaphore;

/// How many calls may wait for the TPM at once, each on a thread of its own. It does one thing at a
/// time anyway.
const WAITING: usize = 16;

/// The providers of device-held keys.
pub(crate) struct Providers {
    software: Arc<dyn KeyStore>,
    /// `None`: this program was built without.
    tpm: Option<Arc<dyn KeyStore>>,
    /// Whether new keys are made in the TPM.
    in_tpm: AtomicBool,
    waiting: Arc<Semaphore>,
}

impl Providers {
    /// The providers that keep their files in this folder, and the TPM reached so. None of them is
    /// asked for anything yet.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used.
    pub(crate) fn open(
        software: SoftwareKeyStore,
        folder: &Path,
        tcti: &str,
        choice: KeyProtection,
    ) -> Result<Self, KeyStoreError> {
        let software = Arc::new(software);
        let tpm = match tpm::open(folder, Some(tcti)) {
            Err(KeyStoreError::Unsupported(_)) => None,
            opened => Some(opened?),
        };
        Ok(Self::new(software, tpm, choice))
    }

    /// These providers.
    pub(crate) fn new(
        software: Arc<dyn KeyStore>,
        tpm: Option<Arc<dyn KeyStore>>,
        choice: KeyProtection,
    ) -> Self {
        Self {
            software,
            tpm,
            in_tpm: AtomicBool::new(choice == KeyProtection::Tpm),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Where new keys are made.
    pub(crate) fn choice(&self) -> KeyProtection {
        if self.in_tpm.load(Ordering::Relaxed) {
            KeyProtection::Tpm
        } else {
            KeyProtection::Software
        }
    }

    /// Makes new keys there from now on.
    pub(crate) fn choose(&self, choice: KeyProtection) {
        let in_tpm = choice == KeyProtection::Tpm;
        self.in_tpm.store(in_tpm, Ordering::Relaxed);
    }

    /// The protections there is a provider for.
    pub(crate) fn all(&self) -> impl Iterator<Item = KeyProtection> {
        let tpm = self.tpm.as_ref().map(|_| KeyProtection::Tpm);
        std::iter::once(KeyProtection::Software).chain(tpm)
    }

    /// The provider of this protection.
    ///
    /// # Errors
    ///
    /// When this program was built without it.
    pub(crate) fn of(&self, protection: KeyProtection) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
        let store = match protection {
            KeyProtection::Software => Some(&self.software),
            KeyProtection::Tpm => self.tpm.as_ref(),
        };
        store.map(Arc::clone).ok_or(KeyStoreError::Unsupported(
            "this keywardd was built without the feature tpm",
        ))
    }

    /// Asks the provider of this protection. Software answers within microseconds and is asked where
    /// we are. A TPM may take its time: it is asked on a thread that may wait, so that everybody who
    /// needs nothing of it goes on. Giving up waiting does not end the call.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        protection: KeyProtection,
        what: impl FnOnce(&dyn KeyStore) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let store = self.of(protection)?;
        self.at_leisure(protection, move || what(&*store)).await
    }

    /// Does what may wait for a provider where it may.
    pub(crate) async fn at_leisure<T: Send + 'static, E: Send + 'static + From<Ended>>(
        &self,
        protection: KeyProtection,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        if protection == KeyProtection::Software {
            return work();
        }
        let permit = Arc::clone(&self.waiting).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.unwrap_or_else(|_| Err(Ended.into()))
    }
}

/// A thread that asked a provider ended without an answer.
pub(crate) struct Ended;

impl From<Ended> for KeyStoreError {
    fn from(_: Ended) -> Self {
        Self::Unavailable("the thread that asked it ended without an answer".to_owned())
    }
}

/// Which provider a key is of, in the engine's word.
pub(crate) fn protection_of(key: &KeyId) -> KeyProtection {
    match key.protection() {
        Protection::Software => KeyProtection::Software,
        Protection::Tpm => KeyProtection::Tpm,
    }
}
