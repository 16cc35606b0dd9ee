//! Binding keys, as the engine sees them: P-256 keys that sign and never leave.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use keyward_oauth::jose::Jwk;
use keyward_oauth::secret::PinText;

use crate::binding::KeyProtection;

/// Makes, opens and destroys binding keys. Keys are P-256 and sign ES256 (RFC 7518 §3.4).
#[async_trait]
pub trait BindingKeys: Send + Sync {
    /// Where new keys live.
    fn protection(&self) -> KeyProtection;

    /// Where this key lives.
    fn protection_of(&self, key: &KeyRef) -> KeyProtection;

    /// Makes a key. It is durable when this returns.
    async fn create(&self) -> Result<KeyRef, KeyError>;

    /// Opens a key for signing.
    ///
    /// # Errors
    ///
    /// [`KeyError::Lost`] when there is no such key any more; that is final.
    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn BindingKey>, KeyError>;

    /// Which PIN has to be asked for before keys are made or used; `None` when no key wants one, or
    /// it is known.
    async fn pin_wanted(&self) -> Result<Option<PinWanted>, KeyError> {
        Ok(None)
    }

    /// Gives the keys their PIN. It is kept for a while.
    ///
    /// # Errors
    ///
    /// When it cannot be tried; a wrong one is an answer.
    async fn unlock(&self, pin: PinText) -> Result<Result<(), PinRefused>, KeyError> {
        let _ = pin;
        Ok(Ok(()))
    }

    /// Destroys a key; one that is gone already is no error.
    async fn delete(&self, key: &KeyRef) -> Result<(), KeyError>;
}

/// The PIN that keys want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinWanted {
    /// Whether it is chosen now: no key has one yet.
    pub new: bool,
    /// The device that holds the keys.
    pub device: Option<String>,
}

/// A PIN was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRefused {
    /// How many more wrong ones the device takes, where it says so.
    pub attempts_left: Option<u32>,
}

/// A P-256 key that cannot be read, only used.
#[async_trait]
pub trait BindingKey: Send + Sync {
    /// The public half, without `kid`, `use` and `alg`.
    fn public_jwk(&self) -> &Jwk;

    /// Signs `message` with ES256. The signature is `r || s`, 64 octets (RFC 7518 §3.4).
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Names a binding key. Opaque, no secret, safe to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyRef(String);

impl KeyRef {
    /// A name given by a key store.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a binding key cannot be used.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is gone for good: deleted, TPM cleared or replaced, other device.
    #[error("the binding key is lost: {0}")]
    Lost(String),
    /// It cannot be used now: what holds it does not answer, or is busy. It may later.
    #[error("the binding key cannot be used now: {0}")]
    Unavailable(String),
    /// It cannot be used until somebody has mended something.
    #[error("the binding key cannot be used: {0}")]
    Refused(String),
    /// It wants its PIN, which only the person knows.
    #[error("the binding key wants its PIN: {0}")]
    PinRequired(String),
}
