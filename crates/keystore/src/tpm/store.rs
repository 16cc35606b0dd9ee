//! The provider: key files in a folder, and the TPM that alone can use them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use keyward_jose::{Algorithm, Jwk, Signer, SignerError};
use zeroize::Zeroizing;

use super::blob::{Blob, Purpose};
use super::context::Connection;
use super::counter::Counters;
use super::fault::Fault;
use super::keys::Keys;
use super::tcti::Tcti;
use super::worker::{Again, Worker};
use super::{agree, decrypt, device, key, mac, public, seal, sign};
use crate::error::KeyStoreError;
use crate::{Counter, Device, KeyId, KeyKind, KeyStore, OaepHash, Pin, Protection, PublicKey};

/// How long a caller waits for the TPM unless it is said otherwise: making an RSA key takes slow
/// ones ten seconds.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(20);

/// Keys in a TPM 2.0. Their files are of no use without it, and it of none without them.
pub struct TpmKeyStore {
    keys: Keys,
    counters: Counters,
}

impl TpmKeyStore {
    /// Opens the folder of the keys, making it first if there is none. The TPM itself is first
    /// asked when a key is.
    ///
    /// # Errors
    ///
    /// When the folder belongs to somebody else or others may enter it, or `tcti` names no
    /// transport.
    pub fn open(folder: &Path, tcti: &str) -> Result<Self, KeyStoreError> {
        Self::open_with_deadline(folder, tcti, DEFAULT_DEADLINE)
    }

    /// The same, with another deadline for every call.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_deadline(
        folder: &Path,
        tcti: &str,
        deadline: Duration,
    ) -> Result<Self, KeyStoreError> {
        let tcti = Tcti::parse(tcti)?;
        let worker = Worker::shared(tcti, deadline);
        Ok(Self {
            keys: Keys::open(folder, Arc::clone(&worker))?,
            counters: Counters(worker),
        })
    }
}

impl KeyStore for TpmKeyStore {
    fn protection(&self) -> Protection {
        Protection::Tpm
    }

    fn device(&self) -> Result<Device, KeyStoreError> {
        Ok(self.keys.worker.call(Again::Harmless, device::describe)?)
    }

    fn create(&self, kind: KeyKind, pin: Option<&Pin>) -> Result<KeyId, KeyStoreError> {
        if kind == KeyKind::Mac {
            let why = "a key for derivation is imported, not made";
            return Err(KeyStoreError::Unsupported(why));
        }
        let pin = pin.map(Pin::again);
        let blob = self.keys.worker.call(Again::Harmless, move |connection| {
            key::create(connection, kind, pin.as_ref())
        })?;
        self.keys.keep(&blob)
    }

    fn import_mac(&self, secret: Zeroizing<Vec<u8>>) -> Result<KeyId, KeyStoreError> {
        let secret = mac::hmac_key(secret);
        let blob = self.keys.worker.call(Again::Harmless, move |connection| {
            key::import(connection, Purpose::Key(KeyKind::Mac), &secret)
        })?;
        self.keys.keep(&blob)
    }

    fn public(&self, id: &KeyId) -> Result<PublicKey, KeyStoreError> {
        let (kind, blob) = self.keys.read(id)?;
        if kind == KeyKind::Mac {
            let (id, wanted) = (id.clone(), KeyKind::Sign);
            return Err(KeyStoreError::WrongKind { id, wanted });
        }
        public::key_of(&blob.public).ok_or_else(|| self.keys.damaged(id, "it is no key pair"))
    }

    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let blob = self.keys.read_for(id, KeyKind::Sign)?;
        let Some(PublicKey::P256(public)) = public::key_of(&blob.public) else {
            return Err(self.keys.damaged(id, "it is no P-256 key"));
        };
        // A key that is lost is said to be so now, and not when it is to sign.
        let kept = Arc::clone(&blob);
        let loaded = self.keys.worker.call(Again::Harmless, move |connection| {
            key::with_key(connection, &kept, None, |_, _| Ok(()))
        });
        match loaded {
            Err(Fault::Integrity) => {
                Err(self.keys.damaged(id, "the TPM does not know it as its own"))
            }
            other => Ok(other?),
        }?;
        Ok(Arc::new(TpmKey {
            keys: self.keys.clone(),
            id: id.clone(),
            blob,
            public,
        }))
    }

    fn agree(&self, id: &KeyId, peer: &Jwk) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        let peer = *peer.p256_point().ok_or(KeyStoreError::Unsupported(
            "key agreement with anything but a P-256 key",
        ))?;
        let blob = self.keys.read_for(id, KeyKind::Agree)?;
        self.keys.with_key(id, &blob, move |context, key| {
            agree::agree(context, key, &peer)
        })
    }

    fn decrypt(
        &self,
        id: &KeyId,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let blob = self.keys.read_for(id, KeyKind::Decrypt)?;
        let ciphertext = ciphertext.to_vec();
        self.keys.with_key(id, &blob, move |context, key| {
            decrypt::decrypt(context, key, hash, &ciphertext)
        })
    }

    fn derive(
        &self,
        id: &KeyId,
        label: &[u8],
        context: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        let blob = self.keys.read_for(id, KeyKind::Mac)?;
        let (label, message) = (label.to_vec(), context.to_vec());
        self.keys.with_key(id, &blob, move |context, key| {
            mac::derive(context, key, &label, &message)
        })
    }

    /// Without its file the key is gone: nothing of it is in the TPM.
    fn delete(&self, id: &KeyId) -> Result<(), KeyStoreError> {
        match id.protection() {
            Protection::Tpm => self.keys.folder.destroy(&id.file_name()),
            Protection::Software => Ok(()),
        }
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyStoreError> {
        self.keys.list()
    }

    fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let (blob, wrapping_key) = self.keys.worker.call(Again::Harmless, seal::new_key)?;
        seal::close(&blob, &wrapping_key, secret, context)
    }

    fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let (blob, text) = seal::parse(sealed)?;
        let wrapping_key = self.keys.worker.call(Again::Harmless, move |connection| {
            seal::key_of(connection, &blob)
        })?;
        seal::open(&wrapping_key, text, context)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), KeyStoreError> {
        let count = bytes.len();
        let random = self.keys.worker.call(Again::Harmless, move |connection| {
            device::random(connection, count)
        })?;
        bytes.copy_from_slice(&random);
        Ok(())
    }

    fn unlock(&self, pin: Pin) {
        self.keys.set_pin(Some(pin));
    }

    fn lock(&self) {
        self.keys.set_pin(None);
    }

    fn counter(&self) -> Option<&dyn Counter> {
        Some(&self.counters)
    }
}

/// An opened key: nothing of it stays loaded.
struct TpmKey {
    keys: Keys,
    id: KeyId,
    blob: Arc<Blob>,
    public: Jwk,
}

impl Signer for TpmKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, message).as_ref());
        let signed = self
            .keys
            .with_key(&self.id, &self.blob, move |context, key| {
                sign::sign(context, key, &hash)
            });
        signed.map_err(|error| match error {
            KeyStoreError::Lost(_) | KeyStoreError::Damaged { .. } => SignerError::KeyLost,
            KeyStoreError::PinRequired => SignerError::PinRequired,
            KeyStoreError::WrongPin { .. } | KeyStoreError::LockedOut(_) => {
                SignerError::PinRefused(error.to_string())
            }
            other => SignerError::Unavailable(other.to_string()),
        })
    }
}

/// Asks a TPM what it is, over a connection of its own.
pub(super) fn ask(tcti: &Tcti) -> Result<Device, Fault> {
    // The worker gives up on a TPM that does not answer; here nobody would.
    let worker = Worker::new(tcti.clone(), DEFAULT_DEADLINE);
    worker.call(Again::Harmless, |connection: &mut Connection| {
        device::describe(connection)
    })
}
