//! Device-held keys: made here, used here, never handed out.
//!
//! [`KeyStore`] is what a provider offers: P-256 keys that sign, and sealing of the few secrets
//! other crates have to keep. The provider of this version is [`SoftwareKeyStore`]: files only
//! their user may read. A TPM provider takes the same place.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod error;
mod folder;
mod seal;
mod software;
mod wrapping;

use std::fmt;
use std::sync::Arc;

use keyward_jose::Signer;
use zeroize::Zeroizing;

pub use error::KeyStoreError;
pub use software::SoftwareKeyStore;

/// A provider of device-held keys. Calls may block for as long as the device takes.
pub trait KeyStore: Send + Sync {
    /// Where its keys live.
    fn protection(&self) -> Protection;

    /// Makes a P-256 key. It is durable when this returns.
    fn create(&self) -> Result<KeyId, KeyStoreError>;

    /// Opens a key for signing (ES256).
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::NotFound`] when there is no such key any more.
    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError>;

    /// Destroys a key; one that is gone already is no error.
    fn delete(&self, id: &KeyId) -> Result<(), KeyStoreError>;

    /// Seals a secret so that only this device opens it, and only for the same `context`.
    fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError>;

    /// Opens what [`seal`](Self::seal) sealed for the same `context`.
    fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError>;
}

/// Where keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// In files only their user may read.
    Software,
}

/// Names a key. No secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// 16 random bytes as the name of a new key.
    pub(crate) fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// Reads the name of a key: 32 lower-case hexadecimal digits, nothing that could be a path.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_never_a_path() {
        let id = KeyId::from_random([0xab; 16]);
        assert_eq!(KeyId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "../../etc/passwd",
            &"AB".repeat(16),
            &"a/".repeat(16),
            &"a".repeat(33),
        ] {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }
}
