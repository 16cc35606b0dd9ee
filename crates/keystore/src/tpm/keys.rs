//! Key files, and their use in the TPM with the PIN if they want one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tss_esapi::Context;
use tss_esapi::constants::PropertyTag;
use tss_esapi::handles::KeyHandle;

use super::blob::{Blob, Purpose};
use super::fault::Fault;
use super::worker::{Again, Worker};
use super::{device, key};
use crate::error::KeyStoreError;
use crate::folder::Folder;
use crate::{KeyId, KeyKind, Pin, Protection};

/// What the provider shares with every key it has opened.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) folder: Arc<Folder>,
    pub(super) worker: Arc<Worker>,
    pin: Arc<Mutex<Option<Arc<Pin>>>>,
}

impl Keys {
    /// Opens the folder, making it first if there is none.
    pub(super) fn open(folder: &Path, worker: Arc<Worker>) -> Result<Self, KeyStoreError> {
        let uid = rustix::process::geteuid().as_raw();
        Ok(Self {
            folder: Arc::new(Folder::open(folder, uid)?),
            worker,
            pin: Arc::default(),
        })
    }

    /// The names of the keys.
    pub(super) fn list(&self) -> Result<Vec<KeyId>, KeyStoreError> {
        let names = self.folder.names()?;
        let ids = names.iter().filter_map(|name| KeyId::of_file(name));
        Ok(ids
            .filter(|id| id.protection() == Protection::Tpm)
            .collect())
    }

    /// Keeps a PIN in memory, or forgets it.
    pub(super) fn set_pin(&self, pin: Option<Pin>) {
        let mut known = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        *known = pin.map(Arc::new);
    }

    /// Writes a key's file.
    pub(super) fn keep(&self, blob: &Blob) -> Result<KeyId, KeyStoreError> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyStoreError::Crypto("random"))?;
        let id = KeyId::from_random(Protection::Tpm, random);
        self.folder
            .create(&id.file_name(), &blob.encode(id.as_str()))?;
        Ok(id)
    }

    /// Reads a key's file.
    pub(super) fn read(&self, id: &KeyId) -> Result<(KeyKind, Arc<Blob>), KeyStoreError> {
        let not_found = || KeyStoreError::NotFound(id.clone());
        if id.protection() != Protection::Tpm {
            return Err(not_found());
        }
        let content = self.folder.read(&id.file_name())?.ok_or_else(not_found)?;
        let (blob, rest) =
            Blob::decode(&content, id.as_str()).map_err(|why| self.damaged(id, why.0))?;
        match blob.purpose {
            Purpose::Key(kind) if rest.is_empty() => Ok((kind, Arc::new(blob))),
            _ => Err(self.damaged(id, "it is no key")),
        }
    }

    /// Reads the file of a key of this kind.
    pub(super) fn read_for(&self, id: &KeyId, wanted: KeyKind) -> Result<Arc<Blob>, KeyStoreError> {
        let (kind, blob) = self.read(id)?;
        if kind != wanted {
            let id = id.clone();
            return Err(KeyStoreError::WrongKind { id, wanted });
        }
        Ok(blob)
    }

    pub(super) fn damaged(&self, id: &KeyId, reason: &'static str) -> KeyStoreError {
        KeyStoreError::Damaged {
            path: self.folder.path_of(&id.file_name()),
            reason,
        }
    }

    /// Loads a key into the TPM and uses it, with the PIN if it wants one.
    pub(super) fn with_key<T: Send + 'static>(
        &self,
        id: &KeyId,
        blob: &Arc<Blob>,
        commands: impl Fn(&mut Context, KeyHandle) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let pin = if blob.pin {
            Some(self.known_pin().ok_or(KeyStoreError::PinRequired)?)
        } else {
            None
        };
        let (blob, given) = (Arc::clone(blob), pin.clone());
        let result = self.worker.call(Again::Harmless, move |connection| {
            key::with_key(connection, &blob, given.as_deref(), &commands)
        });
        match (result, pin) {
            (Err(Fault::WrongPin), Some(pin)) => Err(self.wrong_pin(&pin)),
            (Err(Fault::Locked), _) => Err(self.locked_out()),
            (Err(Fault::Integrity), _) => {
                Err(self.damaged(id, "the TPM does not know it as its own"))
            }
            (result, _) => Ok(result?),
        }
    }

    fn known_pin(&self) -> Option<Arc<Pin>> {
        let pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        pin.clone()
    }

    /// Forgets a PIN that was wrong, so that it is not counted as wrong once more.
    fn wrong_pin(&self, wrong: &Arc<Pin>) -> KeyStoreError {
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if pin.as_ref().is_some_and(|known| Arc::ptr_eq(known, wrong)) {
            *pin = None;
        }
        drop(pin);
        let left = self.worker.call(Again::Harmless, |connection| {
            let most = device::property(connection, PropertyTag::MaxAuthFail)?;
            let wrong = device::property(connection, PropertyTag::LockoutCounter)?;
            Ok(most
                .zip(wrong)
                .map(|(most, wrong)| most.saturating_sub(wrong)))
        });
        match left {
            Ok(Some(0)) => self.locked_out(),
            Ok(remaining) => KeyStoreError::WrongPin { remaining },
            Err(_) => KeyStoreError::WrongPin { remaining: None },
        }
    }

    fn locked_out(&self) -> KeyStoreError {
        let interval = self.worker.call(Again::Harmless, |connection| {
            device::property(connection, PropertyTag::LockoutInterval)
        });
        KeyStoreError::LockedOut(match interval {
            Ok(Some(seconds)) => format!("it takes one more after {seconds} s"),
            _ => "wait some minutes, then try again".to_owned(),
        })
    }
}
