//! The wrapping key of software keys in the keyring of the user's session, where that was chosen.
//!
//! keywardd joins no bus: keyward-session keeps the secret for it. The key is read once, when
//! everything is opened, and made only where nothing was sealed yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyward_broker_ipc::secret_service::{SecretStore, SecretStoreError};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_keystore::{KeyStore as _, KeyStoreError, SoftwareKeyStore};
use zeroize::Zeroizing;

/// A wrapping key.
type Key = Zeroizing<[u8; 32]>;

/// Why the wrapping key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrappingKeyError {
    /// Nobody who reaches the keyring is connected.
    #[error(
        "the vault's key is in the keyring of the session (software.wrapping_key), which \
         keyward-session reaches, and keyward-session is not connected: start it, or try again"
    )]
    NobodyReaches,
    /// The keyring cannot be used.
    #[error(transparent)]
    Keyring(#[from] SecretStoreError),
    /// It holds something else.
    #[error("the keyring holds no wrapping key under the name {0:?}: remove that entry")]
    NoKey(String),
    /// The key is gone.
    #[error(
        "the keyring has no entry {name:?}, and keys or a vault are there that were sealed with it: \
         restore the keyring, or stop keywardd, move the folder {folder} away and sign in again",
        folder = .folder.display()
    )]
    Missing {
        /// Its name.
        name: String,
        /// What holds everything that was sealed with it.
        folder: PathBuf,
    },
    /// It did not keep what it was given.
    #[error("the keyring did not keep the wrapping key")]
    NotKept,
    /// The system's vaults are opened by nobody's login.
    #[error(
        "software.wrapping_key = \"secret-service\" is for a broker of one user's session: remove \
         it from the configuration of the system's broker"
    )]
    NotInSystemForm,
    /// The folder of the keys cannot be used.
    #[error(transparent)]
    Folder(#[from] KeyStoreError),
}

impl From<WrappingKeyError> for AcquireTokenError {
    fn from(error: WrappingKeyError) -> Self {
        let kind = match &error {
            WrappingKeyError::NobodyReaches | WrappingKeyError::Keyring(_) => {
                ErrorKind::KeyUnavailable
            }
            WrappingKeyError::NotInSystemForm => ErrorKind::IncorrectConfiguration,
            _ => ErrorKind::Storage,
        };
        Self::new(kind, error.to_string())
    }
}

/// Software keys in `keys`, their wrapping key in the keyring. One that is in a file is moved.
/// `sealed_already` says whether there is a vault.
pub(crate) async fn in_keyring(
    keys: &Path,
    sealed_already: bool,
    keyring: Option<Arc<dyn SecretStore>>,
) -> Result<SoftwareKeyStore, WrappingKeyError> {
    let keyring = keyring.ok_or(WrappingKeyError::NobodyReaches)?;
    let name = format!("wrapping key of {}", keys.display());
    let store = SoftwareKeyStore::open(keys)?;
    let in_file = store.wrapping_key_in_file()?;
    let key = match (read(&*keyring, &name).await?, &in_file) {
        (Some(key), _) => key,
        (None, Some(key)) => keep(&*keyring, &name, key).await?,
        (None, None) if sealed_already || !store.keys()?.is_empty() => {
            let folder = keys.parent().unwrap_or(keys).to_owned();
            return Err(WrappingKeyError::Missing { name, folder });
        }
        (None, None) => keep(&*keyring, &name, &random(&store)?).await?,
    };
    // Only what is in the keyring for certain is destroyed.
    if in_file.is_some_and(|in_file| *in_file == *key) {
        store.destroy_wrapping_key_file()?;
    }
    Ok(SoftwareKeyStore::with_wrapping_key(keys, key)?)
}

async fn read(keyring: &dyn SecretStore, name: &str) -> Result<Option<Key>, WrappingKeyError> {
    let Some(secret) = keyring.read(name).await? else {
        return Ok(None);
    };
    let mut key = Key::default();
    if secret.len() != key.len() {
        return Err(WrappingKeyError::NoKey(name.to_owned()));
    }
    key.copy_from_slice(&secret);
    Ok(Some(key))
}

/// Writes it and makes sure that it is there.
async fn keep(keyring: &dyn SecretStore, name: &str, key: &Key) -> Result<Key, WrappingKeyError> {
    keyring.write(name, key.as_ref()).await?;
    let kept = read(keyring, name).await?;
    kept.filter(|kept| **kept == **key)
        .ok_or(WrappingKeyError::NotKept)
}

fn random(store: &SoftwareKeyStore) -> Result<Key, WrappingKeyError> {
    let mut key = Key::default();
    store.random(key.as_mut())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use keyward_broker_ipc::secret_service::Secret;

    use super::*;

    /// A keyring that may lose what it is given.
    #[derive(Default)]
    struct Keyring {
        kept: Mutex<HashMap<String, Vec<u8>>>,
        forgets: bool,
    }

    #[async_trait]
    impl SecretStore for Keyring {
        async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
            Ok(self
                .kept
                .lock()
                .unwrap()
                .get(name)
                .cloned()
                .map(Secret::new))
        }

        async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError> {
            if !self.forgets {
                let mut kept = self.kept.lock().unwrap();
                kept.insert(name.to_owned(), secret.to_vec());
            }
            Ok(())
        }
    }

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        (dir, keys)
    }

    #[tokio::test]
    async fn the_key_is_made_once_and_is_in_no_file() {
        let (_dir, keys) = folder();
        let keyring: Arc<Keyring> = Arc::default();
        let store = in_keyring(&keys, false, Some(keyring.clone()))
            .await
            .unwrap();
        let sealed = store.seal(b"secret", b"").unwrap();
        assert!(!keys.join("wrapping.key").exists());
        let again = in_keyring(&keys, true, Some(keyring.clone()))
            .await
            .unwrap();
        assert_eq!(*again.unseal(&sealed, b"").unwrap(), *b"secret");
        assert_eq!(keyring.kept.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_key_in_a_file_is_moved_and_stays_where_the_keyring_loses_it() {
        let (_dir, keys) = folder();
        let file = SoftwareKeyStore::open(&keys).unwrap();
        let sealed = file.seal(b"secret", b"").unwrap();
        let forgetful = Arc::new(Keyring {
            forgets: true,
            ..Keyring::default()
        });
        let error = in_keyring(&keys, true, Some(forgetful))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, WrappingKeyError::NotKept), "{error}");
        assert!(keys.join("wrapping.key").exists());

        let keyring: Arc<Keyring> = Arc::default();
        let moved = in_keyring(&keys, true, Some(keyring)).await.unwrap();
        assert_eq!(*moved.unseal(&sealed, b"").unwrap(), *b"secret");
        assert!(!keys.join("wrapping.key").exists());
    }

    #[tokio::test]
    async fn a_key_that_is_gone_is_not_replaced_by_another() {
        let (dir, keys) = folder();
        let first: Arc<Keyring> = Arc::default();
        let store = in_keyring(&keys, false, Some(first)).await.unwrap();
        store.create(keyward_keystore::KeyKind::Sign, None).unwrap();
        let empty: Arc<Keyring> = Arc::default();
        for sealed_already in [false, true] {
            let opened = in_keyring(&keys, sealed_already, Some(empty.clone())).await;
            let error = opened.err().unwrap();
            assert!(matches!(error, WrappingKeyError::Missing { .. }), "{error}");
            // What the text advises works.
            let text = error.to_string();
            let folder = format!("move the folder {} away", dir.path().display());
            assert!(text.contains(&folder), "{text}");
        }
        assert!(empty.kept.lock().unwrap().is_empty());
        std::fs::remove_dir_all(&keys).unwrap();
        in_keyring(&keys, false, Some(empty)).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_keyring_the_error_says_who_is_missing() {
        let (_dir, keys) = folder();
        let error = in_keyring(&keys, false, None).await.err().unwrap();
        let error = AcquireTokenError::from(error);
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
        assert!(error.message().contains("keyward-session is not connected"));
    }
}
