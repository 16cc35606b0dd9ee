//! P-256 ECDH by the TPM.

use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{EccParameter, EccPoint};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::public::padded;
use crate::error::KeyStoreError;

/// The x coordinate of the shared point (TPM2_ECDH_ZGen).
pub(super) fn agree(
    context: &mut Context,
    key: KeyHandle,
    peer: &[u8; 65],
) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let coordinate = |bytes: &[u8]| EccParameter::try_from(bytes);
    let point = EccPoint::new(coordinate(&peer[1..33])?, coordinate(&peer[33..])?);
    let shared = context.ecdh_z_gen(key, point)?;
    let z = padded(shared.x().value()).ok_or_else(|| {
        let what = "the TPM agreed on a point that is none of P-256";
        Fault::Final(KeyStoreError::Unavailable(what.to_owned()))
    })?;
    Ok(Zeroizing::new(z))
}
