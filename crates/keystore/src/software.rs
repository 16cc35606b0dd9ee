//! The software provider: keys in files, each sealed under the wrapping key.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};
use keyward_jose::{Algorithm, Jwk, Signer, SignerError};
use zeroize::Zeroizing;

use crate::error::KeyStoreError;
use crate::folder::Folder;
use crate::seal::SealingKey;
use crate::wrapping::{self, WrappingKey};
use crate::{Counter, Device, KeyId, KeyKind, KeyStore, OaepHash, Pin, Protection, PublicKey};

mod material;

use material::magic;

/// Keys in files of a folder only its user may enter.
///
/// Code that runs as this user can read them: this protects against other users, against a copied
/// vault without this folder, and against nobody else.
pub struct SoftwareKeyStore {
    folder: Folder,
    wrapping_key: WrappingKey,
}

impl SoftwareKeyStore {
    /// Opens the folder of the keys, making it first if there is none.
    ///
    /// # Errors
    ///
    /// When it belongs to somebody else, or others may enter it.
    pub fn open(folder: &Path) -> Result<Self, KeyStoreError> {
        let uid = rustix::process::geteuid().as_raw();
        Ok(Self {
            folder: Folder::open(folder, uid)?,
            wrapping_key: WrappingKey::default(),
        })
    }

    /// The same with a wrapping key that is kept elsewhere, such as in the Secret Service of a
    /// session. One in a file of the folder is not looked at.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_wrapping_key(
        folder: &Path,
        key: Zeroizing<[u8; 32]>,
    ) -> Result<Self, KeyStoreError> {
        Ok(Self {
            wrapping_key: WrappingKey::kept_elsewhere(key),
            ..Self::open(folder)?
        })
    }

    /// The wrapping key in its file, for whoever keeps it elsewhere from now on; `None`: there is
    /// none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or was changed.
    pub fn wrapping_key_in_file(&self) -> Result<Option<Zeroizing<[u8; 32]>>, KeyStoreError> {
        let key = wrapping::read(&self.folder)?;
        Ok(key.map(|key| Zeroizing::new(*key)))
    }

    /// Destroys the file of the wrapping key; one that is gone already is no error. What was sealed
    /// under it opens only with a copy of the key from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn destroy_wrapping_key_file(&self) -> Result<(), KeyStoreError> {
        wrapping::destroy(&self.folder)
    }

    /// Seals a private key into a file of its own.
    fn keep(&self, kind: KeyKind, secret: &[u8]) -> Result<KeyId, KeyStoreError> {
        let mut random = [0; 16];
        self.random(&mut random)?;
        let id = KeyId::from_random(Protection::Software, random);
        let wrapping_key = self.wrapping_key.get_or_create(&self.folder)?;
        let key = SealingKey::derive(wrapping_key, PURPOSE_KEYS)?;
        let sealed = key.seal(secret, &context_of(kind, &id))?;
        self.folder
            .create(&id.file_name(), &[magic(kind).as_slice(), &sealed].concat())?;
        Ok(id)
    }

    /// Reads a private key, whatever its kind.
    fn read(&self, id: &KeyId) -> Result<(KeyKind, Zeroizing<Vec<u8>>), KeyStoreError> {
        let not_found = || KeyStoreError::NotFound(id.clone());
        if id.protection() != Protection::Software {
            return Err(not_found());
        }
        let content = self.folder.read(&id.file_name())?.ok_or_else(not_found)?;
        let (kind, sealed) = KeyKind::ALL
            .iter()
            .find_map(|kind| Some((*kind, content.strip_prefix(&magic(*kind))?)))
            .ok_or_else(|| self.damaged(id, "it is no key, or of a newer format"))?;
        let key = SealingKey::derive(self.wrapping_key.get(&self.folder)?, PURPOSE_KEYS)?;
        let secret = key
            .open(sealed, &context_of(kind, id))
            .map_err(|_| self.damaged(id, "it was changed, or sealed by another device's key"))?;
        Ok((kind, secret))
    }

    /// Reads a private key of this kind.
    fn read_for(&self, id: &KeyId, wanted: KeyKind) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let (kind, secret) = self.read(id)?;
        if kind != wanted {
            let id = id.clone();
            return Err(KeyStoreError::WrongKind { id, wanted });
        }
        Ok(secret)
    }

    fn damaged(&self, id: &KeyId, reason: &'static str) -> KeyStoreError {
        KeyStoreError::Damaged {
            path: self.folder.path_of(&id.file_name()),
            reason,
        }
    }
}

/// What sealing keys are derived for: binding keys, and what other crates have sealed.
const PURPOSE_KEYS: &[u8] = b"keyward 1 binding keys";
const PURPOSE_SEALS: &[u8] = b"keyward 1 seals";

impl KeyStore for SoftwareKeyStore {
    fn protection(&self) -> Protection {
        Protection::Software
    }

    fn device(&self) -> Result<Device, KeyStoreError> {
        Ok(Device::software())
    }

    fn create(&self, kind: KeyKind, pin: Option<&Pin>) -> Result<KeyId, KeyStoreError> {
        if pin.is_some() {
            // Whoever may read the file may guess the PIN as often as he likes.
            let why = "nothing would count wrong PINs of a key in a file";
            return Err(KeyStoreError::Unsupported(why));
        }
        self.keep(kind, &material::generate(kind)?)
    }

    fn import_mac(&self, secret: Zeroizing<Vec<u8>>) -> Result<KeyId, KeyStoreError> {
        self.keep(KeyKind::Mac, &secret)
    }

    fn public(&self, id: &KeyId) -> Result<PublicKey, KeyStoreError> {
        let (kind, secret) = self.read(id)?;
        if kind == KeyKind::Mac {
            let (id, wanted) = (id.clone(), KeyKind::Sign);
            return Err(KeyStoreError::WrongKind { id, wanted });
        }
        material::public(kind, &secret).ok_or_else(|| self.damaged(id, "it is no key pair"))
    }

    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let secret = self.read_for(id, KeyKind::Sign)?;
        let pair =
            material::signing(&secret).ok_or_else(|| self.damaged(id, "it is no P-256 key"))?;
        let public = Jwk::p256(pair.public_key().as_ref())
            .map_err(|_| KeyStoreError::Crypto("P-256 public key"))?;
        Ok(Arc::new(SoftwareKey { pair, public }))
    }

    fn agree(&self, id: &KeyId, peer: &Jwk) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        let peer = peer.p256_point().ok_or(KeyStoreError::Unsupported(
            "key agreement with anything but a P-256 key",
        ))?;
        let secret = self.read_for(id, KeyKind::Agree)?;
        material::agree(&secret, peer).ok_or_else(|| self.damaged(id, "it is no P-256 key"))
    }

    fn decrypt(
        &self,
        id: &KeyId,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let secret = self.read_for(id, KeyKind::Decrypt)?;
        material::decrypt(&secret, hash, ciphertext).ok_or(KeyStoreError::NotOurs)
    }

    fn derive(
        &self,
        id: &KeyId,
        label: &[u8],
        context: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        let secret = self.read_for(id, KeyKind::Mac)?;
        Ok(material::derive(&secret, label, context))
    }

    fn delete(&self, id: &KeyId) -> Result<(), KeyStoreError> {
        match id.protection() {
            Protection::Software => self.folder.destroy(&id.file_name()),
            Protection::Tpm => Ok(()),
        }
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyStoreError> {
        let names = self.folder.names()?;
        let ids = names.iter().filter_map(|name| KeyId::of_file(name));
        Ok(ids
            .filter(|id| id.protection() == Protection::Software)
            .collect())
    }

    fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let wrapping_key = self.wrapping_key.get_or_create(&self.folder)?;
        SealingKey::derive(wrapping_key, PURPOSE_SEALS)?.seal(secret, context)
    }

    fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let wrapping_key = self.wrapping_key.get(&self.folder)?;
        SealingKey::derive(wrapping_key, PURPOSE_SEALS)?.open(sealed, context)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), KeyStoreError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| KeyStoreError::Crypto("random"))
    }

    /// No key here has a PIN: it is forgotten at once.
    fn unlock(&self, _: Pin) {}

    fn lock(&self) {}

    fn counter(&self) -> Option<&dyn Counter> {
        None
    }
}

/// An opened key. The library that holds it wipes its memory when it is dropped.
struct SoftwareKey {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl Signer for SoftwareKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignerError::Unavailable("the cryptographic library refused".to_owned()))
    }
}

/// Binds a sealed key to its kind and name: no key can be put in another's place.
fn context_of(kind: KeyKind, id: &KeyId) -> Vec<u8> {
    [magic(kind).as_slice(), id.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests;
