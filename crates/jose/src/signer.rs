//! The `Signer` trait: a private key somewhere that signs when asked.

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;
use crate::jws::Unsigned;

/// A private key that can sign right now, in the calling thread. Keys that need to wait (a TPM,
/// another process) use [`Unsigned::signing_input`] and [`Unsigned::finish`] instead.
pub trait Signer: Send + Sync {
    /// The algorithm of every signature this key makes.
    fn algorithm(&self) -> Algorithm;

    /// The public half.
    fn public_jwk(&self) -> &Jwk;

    /// Signs a message in the form RFC 7518 wants: `r || s`, 64 bytes, for ES256.
    ///
    /// # Errors
    ///
    /// When the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Why a key did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key is gone, and with it everything bound to it.
    #[error("the signing key is gone")]
    KeyLost,
    /// The key exists but cannot be used at the moment.
    #[error("the signing key cannot be used: {0}")]
    Unavailable(String),
    /// The key wants a PIN, and none is known.
    #[error("the signing key wants its PIN")]
    PinRequired,
    /// The key's PIN was wrong, or is not taken any more after too many wrong ones.
    #[error("the signing key refuses: {0}")]
    PinRefused(String),
}

impl Unsigned {
    /// Signs with a key that does not wait. The header must name the key's algorithm.
    ///
    /// # Errors
    ///
    /// When the key cannot be used.
    pub fn sign(self, signer: &dyn Signer) -> Result<String, SignerError> {
        let signature = signer.sign(self.signing_input())?;
        Ok(self.finish(&signature))
    }
}
