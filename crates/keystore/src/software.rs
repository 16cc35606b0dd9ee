//! The software provider: P-256 keys in files, each sealed under the wrapping key.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use keyward_jose::{Algorithm, Jwk, Signer, SignerError};
use zeroize::Zeroizing;

use crate::error::KeyStoreError;
use crate::folder::Folder;
use crate::seal::SealingKey;
use crate::wrapping::WrappingKey;
use crate::{KeyId, KeyStore, Protection};

/// A key file's first bytes: what it is, and the version of its format. A newer format has
/// another number, and is refused here.
const MAGIC: [u8; 8] = *b"KWP256\0\x01";
/// Length of a P-256 private value; the public point follows it in a key file.
const PRIVATE: usize = 32;

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

    fn read(&self, id: &KeyId) -> Result<EcdsaKeyPair, KeyStoreError> {
        let name = file_name(id);
        let content = self
            .folder
            .read(&name)?
            .ok_or_else(|| KeyStoreError::NotFound(id.clone()))?;
        let damaged = |reason| KeyStoreError::Damaged {
            path: self.folder.path_of(&name),
            reason,
        };
        let sealed = content
            .strip_prefix(&MAGIC)
            .ok_or_else(|| damaged("it is no key, or of a newer format"))?;
        let key = SealingKey::derive(self.wrapping_key.get(&self.folder)?, PURPOSE_KEYS)?;
        let pair = key
            .open(sealed, &context_of(id))
            .map_err(|_| damaged("it was changed, or sealed by another device's key"))?;
        let (private, public) = pair
            .split_at_checked(PRIVATE)
            .ok_or_else(|| damaged("it is too short"))?;
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            private,
            public,
        )
        .map_err(|_| damaged("it is no P-256 key"))
    }
}

/// What sealing keys are derived for: binding keys, and what other crates have sealed.
const PURPOSE_KEYS: &[u8] = b"keyward 1 binding keys";
const PURPOSE_SEALS: &[u8] = b"keyward 1 seals";

impl KeyStore for SoftwareKeyStore {
    fn protection(&self) -> Protection {
        Protection::Software
    }

    fn create(&self) -> Result<KeyId, KeyStoreError> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyStoreError::Crypto("random"))?;
        let id = KeyId::from_random(random);

        let refused = |_| KeyStoreError::Crypto("P-256 key generation");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused)?;
        let private = pair.private_key().as_be_bytes().map_err(refused)?;
        let public = pair.public_key().as_ref();
        let mut secret = Zeroizing::new(Vec::with_capacity(PRIVATE + public.len()));
        secret.extend_from_slice(private.as_ref());
        secret.extend_from_slice(public);

        let wrapping_key = self.wrapping_key.get_or_create(&self.folder)?;
        let key = SealingKey::derive(wrapping_key, PURPOSE_KEYS)?;
        let sealed = key.seal(&secret, &context_of(&id))?;
        self.folder
            .create(&file_name(&id), &[MAGIC.as_slice(), &sealed].concat())?;
        Ok(id)
    }

    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let pair = self.read(id)?;
        let public = Jwk::p256(pair.public_key().as_ref())
            .map_err(|_| KeyStoreError::Crypto("P-256 public key"))?;
        Ok(Arc::new(SoftwareKey { pair, public }))
    }

    fn delete(&self, id: &KeyId) -> Result<(), KeyStoreError> {
        self.folder.destroy(&file_name(id))
    }

    fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let wrapping_key = self.wrapping_key.get_or_create(&self.folder)?;
        SealingKey::derive(wrapping_key, PURPOSE_SEALS)?.seal(secret, context)
    }

    fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let wrapping_key = self.wrapping_key.get(&self.folder)?;
        SealingKey::derive(wrapping_key, PURPOSE_SEALS)?.open(sealed, context)
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

fn file_name(id: &KeyId) -> String {
    format!("{id}.key")
}

/// Binds a sealed key to its name: no key can be put in another's place.
fn context_of(id: &KeyId) -> Vec<u8> {
    [MAGIC.as_slice(), id.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests;
