//! Authenticated encryption of small secrets: AES-256-GCM with a random nonce.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use zeroize::Zeroizing;

use crate::error::KeyStoreError;

/// A key for one purpose, derived from the wrapping key (RFC 5869).
pub(crate) struct SealingKey(LessSafeKey);

impl SealingKey {
    /// The key for `purpose`.
    pub(crate) fn derive(wrapping_key: &[u8; 32], purpose: &[u8]) -> Result<Self, KeyStoreError> {
        let refused = |_| KeyStoreError::Crypto("HKDF-SHA256");
        // The wrapping key is uniformly random, so it is a pseudorandom key already.
        let prk = Prk::new_less_safe(HKDF_SHA256, wrapping_key);
        let info = [purpose];
        let okm = prk.expand(&info, &AES_256_GCM).map_err(refused)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(okm))))
    }

    /// `nonce || ciphertext || tag`. The nonce is random: 96 bits allow 2^32 seals under one key
    /// (NIST SP 800-38D §8.3), far beyond the keys one device makes.
    pub(crate) fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| KeyStoreError::Crypto("random"))?;
        let mut text = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(secret);
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(nonce_value, Aad::from(context), &mut *text)
            .map_err(|_| KeyStoreError::Crypto("AES-256-GCM"))?;
        Ok([nonce.as_slice(), text.as_slice()].concat())
    }

    /// Opens what [`seal`](Self::seal) made for the same context.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        context: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        let (nonce, text) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(KeyStoreError::NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyStoreError::NotOurs)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(context), &mut text)
            .map_err(|_| KeyStoreError::NotOurs)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_purpose_and_context_open_a_seal() {
        let key = SealingKey::derive(&[7; 32], b"a").unwrap();
        let sealed = key.seal(b"secret", b"context").unwrap();
        assert_eq!(key.open(&sealed, b"context").unwrap().as_slice(), b"secret");
        assert!(key.open(&sealed, b"other").is_err());
        for (wrapping_key, purpose) in [([7; 32], b"b"), ([8; 32], b"a")] {
            let other = SealingKey::derive(&wrapping_key, purpose).unwrap();
            assert!(other.open(&sealed, b"context").is_err());
        }
    }

    #[test]
    fn a_changed_or_shortened_seal_does_not_open() {
        let key = SealingKey::derive(&[7; 32], b"a").unwrap();
        let sealed = key.seal(b"secret", b"").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(&changed, b"").is_err(), "byte {index}");
            assert!(key.open(&sealed[..index], b"").is_err(), "length {index}");
        }
    }

    #[test]
    fn two_seals_of_one_secret_differ() {
        let key = SealingKey::derive(&[7; 32], b"a").unwrap();
        assert_ne!(key.seal(b"s", b"").unwrap(), key.seal(b"s", b"").unwrap());
    }
}
