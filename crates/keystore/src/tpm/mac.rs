//! Key derivation by the TPM, from a secret it keeps.

use aws_lc_rs::digest::{SHA256, digest};
use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::MaxBuffer;
use zeroize::Zeroizing;

use super::fault::Fault;
use crate::derivation;
use crate::error::KeyStoreError;

/// The longest HMAC key a TPM takes: a block of SHA-256.
const BLOCK: usize = 64;

/// The secret in the form a TPM takes. A longer one is replaced by its digest, as HMAC itself does
/// (RFC 2104 §2).
pub(super) fn hmac_key(secret: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if secret.len() <= BLOCK {
        return secret;
    }
    Zeroizing::new(digest(&SHA256, &secret).as_ref().to_vec())
}

/// SP 800-108 in counter mode, one block, by TPM2_HMAC.
pub(super) fn derive(
    context: &mut Context,
    key: KeyHandle,
    label: &[u8],
    message: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let block = MaxBuffer::try_from(derivation::block(label, message)).map_err(|_| {
        let what = "a derivation from more than a TPM takes at once (1024 bytes)";
        Fault::Final(KeyStoreError::Unsupported(what))
    })?;
    let mac = context.hmac(key.into(), block, HashingAlgorithm::Sha256)?;
    let mut derived = Zeroizing::new([0; 32]);
    if mac.value().len() != derived.len() {
        let what = "the TPM made an HMAC that is none of SHA-256";
        return Err(Fault::Final(KeyStoreError::Unavailable(what.to_owned())));
    }
    derived.copy_from_slice(mac.value());
    Ok(derived)
}
