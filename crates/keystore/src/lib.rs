//! Device-held keys: made here, used here, never handed out.
//!
//! [`KeyStore`] is what a provider offers: keys that sign, agree on secrets, decrypt and derive, and
//! sealing of the few secrets other crates have to keep. There are two providers:
//! [`SoftwareKeyStore`], files only their user may read, and with the cargo feature `tpm` the TPM
//! 2.0 of this device ([`tpm`]), whose keys exist in clear inside it alone. The name of a key says
//! which provider made it ([`KeyId::protection`]), so both serve side by side from one folder.
//!
//! Which of the two is used is decided by who opens them. Neither stands in for the other: a TPM
//! that fails is an error.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod counter;
mod derivation;
mod device;
mod error;
mod folder;
mod key;
mod pin;
mod pseudonym;
mod seal;
mod software;
pub mod tpm;
mod wrapping;

use std::sync::Arc;

use keyward_jose::{Jwk, Signer};
use zeroize::Zeroizing;

pub use counter::{Counter, CounterId};
pub use device::Device;
pub use error::KeyStoreError;
pub use key::{KeyId, KeyKind, OaepHash, Protection, PublicKey};
pub use pin::Pin;
pub use pseudonym::Pseudonyms;
pub use software::SoftwareKeyStore;

/// A provider of device-held keys. Every call blocks for as long as the device takes; where
/// [`protection`](Self::protection) is [`Protection::Tpm`] that is milliseconds at best and many
/// seconds at worst, so it belongs on a thread that may wait.
pub trait KeyStore: Send + Sync {
    /// Where its keys live.
    fn protection(&self) -> Protection;

    /// What holds them.
    ///
    /// # Errors
    ///
    /// When it cannot be asked at the moment.
    fn device(&self) -> Result<Device, KeyStoreError>;

    /// Makes a key of this kind. It is durable when this returns. With a PIN, every use of the
    /// private half needs it ([`unlock`](Self::unlock)), and the device counts wrong ones.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Unsupported`] for [`KeyKind::Mac`], which is imported, and for a PIN where
    /// nothing would enforce it.
    fn create(&self, kind: KeyKind, pin: Option<&Pin>) -> Result<KeyId, KeyStoreError>;

    /// Takes over a symmetric secret as a key of kind [`KeyKind::Mac`], and forgets the secret.
    fn import_mac(&self, secret: Zeroizing<Vec<u8>>) -> Result<KeyId, KeyStoreError>;

    /// The public half of a key pair.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::NotFound`] when there is no such key any more;
    /// [`KeyStoreError::WrongKind`] for a symmetric key.
    fn public(&self, id: &KeyId) -> Result<PublicKey, KeyStoreError>;

    /// Opens a key of kind [`KeyKind::Sign`] for signing (ES256). Its
    /// [`sign`](keyward_jose::Signer::sign) blocks like every call here.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::NotFound`] when there is no such key any more, [`KeyStoreError::Lost`] when
    /// the device that held it is gone.
    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError>;

    /// The secret a key of kind [`KeyKind::Agree`] shares with the holder of `peer`: the x
    /// coordinate of ECDH over P-256 (SEC 1 §3.3.1, `Z` of RFC 7518 §4.6).
    fn agree(&self, id: &KeyId, peer: &Jwk) -> Result<Zeroizing<[u8; 32]>, KeyStoreError>;

    /// Opens what was encrypted to a key of kind [`KeyKind::Decrypt`]: RSAES-OAEP with an empty
    /// label and MGF1 over the same hash (RFC 8017 §7.1, RFC 7518 §4.3).
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::NotOurs`] when it was changed or encrypted to another key.
    fn decrypt(
        &self,
        id: &KeyId,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError>;

    /// A key for one message from a key of kind [`KeyKind::Mac`]: NIST SP 800-108 in counter mode
    /// with HMAC-SHA256, one block.
    fn derive(
        &self,
        id: &KeyId,
        label: &[u8],
        context: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KeyStoreError>;

    /// Destroys a key; one that is gone already is no error.
    fn delete(&self, id: &KeyId) -> Result<(), KeyStoreError>;

    /// The names of this provider's keys, in no order.
    fn keys(&self) -> Result<Vec<KeyId>, KeyStoreError>;

    /// Seals a secret so that only this device opens it, and only for the same `context`.
    fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError>;

    /// Opens what [`seal`](Self::seal) sealed for the same `context`.
    fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError>;

    /// Fills `bytes` with random ones of the device.
    fn random(&self, bytes: &mut [u8]) -> Result<(), KeyStoreError>;

    /// Keeps a PIN in memory for the keys that were made with one. Whether it is right shows when
    /// the first of them is used; a wrong one is forgotten then, so that it is tried once.
    fn unlock(&self, pin: Pin);

    /// Forgets the PIN.
    fn lock(&self);

    /// The device's monotonic counters, where it has any.
    fn counter(&self) -> Option<&dyn Counter>;
}
