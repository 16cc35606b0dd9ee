//! RSAES-OAEP by the TPM.

use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Data, HashScheme, PublicKeyRsa, RsaDecryptionScheme};
use zeroize::Zeroizing;

use super::fault::{Fault, code};
use crate::OaepHash;
use crate::error::KeyStoreError;

/// Length of what is encrypted to a 2048-bit key.
const LENGTH: usize = 256;

/// Decrypts with an empty label.
pub(super) fn decrypt(
    context: &mut Context,
    key: KeyHandle,
    hash: OaepHash,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let not_ours = || Fault::Final(KeyStoreError::NotOurs);
    if ciphertext.len() != LENGTH {
        return Err(not_ours());
    }
    let ciphertext = PublicKeyRsa::try_from(ciphertext)?;
    let algorithm = match hash {
        OaepHash::Sha1 => HashingAlgorithm::Sha1,
        OaepHash::Sha256 => HashingAlgorithm::Sha256,
    };
    let scheme = RsaDecryptionScheme::Oaep(HashScheme::new(algorithm));
    let text = context.rsa_decrypt(key, ciphertext, scheme, Data::default());
    match text.map_err(Fault::from) {
        Ok(text) => Ok(Zeroizing::new(text.value().to_vec())),
        Err(fault) if fault.is(code::VALUE) || fault.is(code::SIZE) => Err(not_ours()),
        // A TPM that has really failed does not go on.
        Err(fault) if fault.is(code::FAILURE) => match context.get_random(1) {
            Ok(_) => Err(not_ours()),
            Err(_) => Err(fault),
        },
        Err(fault) if fault.is(code::HASH) => Err(Fault::Final(KeyStoreError::Unsupported(
            "decryption with this hash function by this TPM",
        ))),
        Err(fault) => Err(fault),
    }
}
