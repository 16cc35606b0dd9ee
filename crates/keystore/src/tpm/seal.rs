//! Sealing: a random key that only this TPM gives out again, and with it AES-256-GCM.
//!
//! The secret itself never goes to the TPM, so its length is not limited by what one takes.

use zeroize::Zeroizing;

use super::blob::{Blob, Purpose};
use super::context::Connection;
use super::fault::Fault;
use super::key;
use crate::error::KeyStoreError;
use crate::seal::SealingKey;

/// What sealing keys are derived for.
const PURPOSE: &[u8] = b"keyward 1 tpm seals";

/// Has the TPM keep a new random key. Returns what is kept of it outside, and the key.
pub(super) fn new_key(connection: &mut Connection) -> Result<(Blob, Zeroizing<Vec<u8>>), Fault> {
    let mut wrapping_key = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut wrapping_key)
        .map_err(|_| Fault::Final(KeyStoreError::Crypto("random")))?;
    let blob = key::import(connection, Purpose::Seal, &wrapping_key)?;
    Ok((blob, wrapping_key))
}

/// Has the TPM give the key out again.
pub(super) fn key_of(
    connection: &mut Connection,
    blob: &Blob,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    key::with_key(connection, blob, None, |context, object| {
        let kept = context.unseal(object.into())?;
        Ok(Zeroizing::new(kept.value().to_vec()))
    })
}

/// Seals under a key of [`new_key`].
pub(super) fn close(
    blob: &Blob,
    wrapping_key: &[u8],
    secret: &[u8],
    context: &[u8],
) -> Result<Vec<u8>, KeyStoreError> {
    let mut sealed = blob.encode(NO_NAME);
    sealed.extend(sealing_key(wrapping_key)?.seal(secret, context)?);
    Ok(sealed)
}

/// Takes apart what [`close`] made: what the TPM needs, and what its key opens.
pub(super) fn parse(sealed: &[u8]) -> Result<(Blob, &[u8]), KeyStoreError> {
    match Blob::decode(sealed, NO_NAME) {
        Ok((blob, text)) if blob.purpose == Purpose::Seal => Ok((blob, text)),
        _ => Err(KeyStoreError::NotOurs),
    }
}

/// Opens what was sealed under a key of [`new_key`].
pub(super) fn open(
    wrapping_key: &[u8],
    text: &[u8],
    context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    sealing_key(wrapping_key)?.open(text, context)
}

/// A sealed secret is no key file.
const NO_NAME: &str = "";

fn sealing_key(wrapping_key: &[u8]) -> Result<SealingKey, KeyStoreError> {
    let wrapping_key = wrapping_key
        .try_into()
        .map_err(|_| KeyStoreError::NotOurs)?;
    SealingKey::derive(wrapping_key, PURPOSE)
}
