//! The keystore as the engine and the vault see it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyward_client::binding::KeyProtection;
use keyward_client::oauth::jose::{Jwk, Signer, SignerError};
use keyward_client::ports::{BindingKey, BindingKeys, KeyError, KeyRef};
use keyward_keystore::{KeyId, KeyKind, KeyStore, KeyStoreError, Protection};
use keyward_store::{KeyWrap, WrapError};
use zeroize::Zeroizing;

/// How many opened keys are kept: more than a person has accounts in use at once.
const KEPT_OPEN: usize = 32;

/// Binding keys from a [`KeyStore`], the ones used last kept open.
///
/// Software keys sign within microseconds, so calls are made where they are; a store that waits
/// for a device would be called on a thread of its own.
pub(crate) struct DeviceKeys {
    store: Arc<dyn KeyStore>,
    /// The one used last is at the back.
    open: Mutex<VecDeque<(KeyRef, Arc<DeviceKey>)>>,
}

impl DeviceKeys {
    pub(crate) fn new(store: Arc<dyn KeyStore>) -> Self {
        Self {
            store,
            open: Mutex::default(),
        }
    }

    /// Takes a key out of those kept open.
    fn take(&self, key: &KeyRef) -> Option<Arc<DeviceKey>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let index = open.iter().position(|(kept, _)| kept == key)?;
        open.remove(index).map(|(_, opened)| opened)
    }

    /// Keeps a key open, as the one used last.
    fn keep(&self, key: &KeyRef, opened: &Arc<DeviceKey>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(kept, _)| kept != key);
        if open.len() == KEPT_OPEN {
            open.pop_front();
        }
        open.push_back((key.clone(), Arc::clone(opened)));
    }
}

#[async_trait]
impl BindingKeys for DeviceKeys {
    fn protection(&self) -> KeyProtection {
        protection_of(&*self.store)
    }

    async fn create(&self) -> Result<KeyRef, KeyError> {
        let id = self.store.create(KeyKind::Sign, None).map_err(key_error)?;
        Ok(KeyRef::new(id.as_str()))
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn BindingKey>, KeyError> {
        let opened = if let Some(opened) = self.take(key) {
            opened
        } else {
            let signer = self.store.open(&id_of(key)?).map_err(key_error)?;
            Arc::new(DeviceKey(signer))
        };
        self.keep(key, &opened);
        Ok(opened)
    }

    async fn delete(&self, key: &KeyRef) -> Result<(), KeyError> {
        self.take(key);
        self.store.delete(&id_of(key)?).map_err(key_error)
    }
}

struct DeviceKey(Arc<dyn Signer>);

#[async_trait]
impl BindingKey for DeviceKey {
    fn public_jwk(&self) -> &Jwk {
        self.0.public_jwk()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message).map_err(|error| match error {
            SignerError::KeyLost => KeyError::Lost(error.to_string()),
            SignerError::Unavailable(why) | SignerError::PinRefused(why) => {
                KeyError::Unavailable(why)
            }
            SignerError::PinRequired => KeyError::Unavailable(error.to_string()),
        })
    }
}

/// Where a store's keys live, in the engine's word.
pub(crate) fn protection_of(store: &dyn KeyStore) -> KeyProtection {
    match store.protection() {
        Protection::Software => KeyProtection::Software,
        Protection::Tpm => KeyProtection::Tpm,
    }
}

fn id_of(key: &KeyRef) -> Result<KeyId, KeyError> {
    KeyId::parse(key.as_str())
        .ok_or_else(|| KeyError::Lost("its name is not one of this keystore".to_owned()))
}

/// A key file that is gone or was changed stays so; what keeps it from being read can be mended.
fn key_error(error: KeyStoreError) -> KeyError {
    match error {
        KeyStoreError::NotFound(_) | KeyStoreError::Damaged { .. } | KeyStoreError::Lost(_) => {
            KeyError::Lost(error.to_string())
        }
        other => KeyError::Unavailable(other.to_string()),
    }
}

/// Wraps the vault's data key by the same device's key.
pub(crate) struct DeviceWrap(pub(crate) Arc<dyn KeyStore>);

impl KeyWrap for DeviceWrap {
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError> {
        self.0.seal(key, context).map_err(wrap_error)
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        self.0.unseal(wrapped, context).map_err(wrap_error)
    }
}

/// Nothing but a device that is another one loses a data key: a file can be put back.
fn wrap_error(error: KeyStoreError) -> WrapError {
    match error {
        KeyStoreError::Lost(_) => WrapError::Lost(error.to_string()),
        other => WrapError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use keyward_client::oauth::jose::Algorithm;
    use keyward_keystore::SoftwareKeyStore;

    use super::*;

    fn keys() -> (tempfile::TempDir, DeviceKeys) {
        let dir = tempfile::tempdir().unwrap();
        let store = SoftwareKeyStore::open(&dir.path().join("keys")).unwrap();
        (dir, DeviceKeys::new(Arc::new(store)))
    }

    #[tokio::test]
    async fn a_key_signs_until_it_is_deleted() {
        let (_dir, keys) = keys();
        let key = keys.create().await.unwrap();
        let opened = keys.open(&key).await.unwrap();
        let signature = opened.sign(b"message").await.unwrap();
        assert!(
            opened
                .public_jwk()
                .verifies(Algorithm::Es256, b"message", &signature)
        );

        keys.delete(&key).await.unwrap();
        let error = keys.open(&key).await.err().unwrap();
        assert!(matches!(error, KeyError::Lost(_)), "{error}");
        keys.delete(&key).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_is_no_key_of_ours_is_a_lost_key() {
        let (_dir, keys) = keys();
        let error = keys.open(&KeyRef::new("../../x")).await.err().unwrap();
        assert!(matches!(error, KeyError::Lost(_)), "{error}");
    }

    #[tokio::test]
    async fn few_keys_are_kept_open_and_the_ones_used_last_among_them() {
        let (dir, keys) = keys();
        let first = keys.create().await.unwrap();
        for _ in 0..KEPT_OPEN + 3 {
            keys.open(&first).await.unwrap();
            let key = keys.create().await.unwrap();
            keys.open(&key).await.unwrap();
        }
        assert_eq!(keys.open.lock().unwrap().len(), KEPT_OPEN);
        // Kept open: it is not read again.
        std::fs::remove_file(dir.path().join(format!("keys/{first}.key"))).unwrap();
        keys.open(&first).await.unwrap();
    }
}
