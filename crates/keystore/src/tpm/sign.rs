//! ES256 by the TPM.

use tss_esapi::Context;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Digest, HashScheme, HashcheckTicket, Signature, SignatureScheme};
use tss_esapi::tss2_esys::{TPM2B_DIGEST, TPMT_TK_HASHCHECK};

use super::fault::Fault;
use super::public::padded;
use crate::error::KeyStoreError;

/// Signs a SHA-256 digest: `r || s`, 64 bytes (RFC 7518 §3.4).
pub(super) fn sign(
    context: &mut Context,
    key: KeyHandle,
    digest: &[u8; 32],
) -> Result<Vec<u8>, Fault> {
    let scheme = SignatureScheme::EcDsa {
        hash_scheme: HashScheme::new(HashingAlgorithm::Sha256),
    };
    // The key is not restricted, so it signs digests the TPM has not made itself.
    let ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: TPM2B_DIGEST::default(),
    })?;
    let signature = context.sign(key, Digest::try_from(digest.as_slice())?, scheme, ticket)?;
    let Signature::EcDsa(signature) = signature else {
        return Err(unexpected());
    };
    let r = padded(signature.signature_r().value()).ok_or_else(unexpected)?;
    let s = padded(signature.signature_s().value()).ok_or_else(unexpected)?;
    Ok([r, s].concat())
}

fn unexpected() -> Fault {
    let what = "the TPM made a signature that is none of P-256";
    Fault::Final(KeyStoreError::Unavailable(what.to_owned()))
}
