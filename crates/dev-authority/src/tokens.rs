//! The tokens the authority mints, and how it reads its own access tokens back.

pub(crate) mod access;
pub(crate) mod checked;
pub(crate) mod id;

use keyward_jose::SignerError;
use keyward_jose::jws::{Header, Unsigned};
use serde_json::Value;

use crate::state::State;
use crate::tenant::Tenant;

/// Signs claims with a tenant's key.
fn sign(state: &State, tenant: Tenant, typ: &str, claims: &Value) -> Result<String, SignerError> {
    let signer = state.keys.signer(tenant)?;
    let header = Header::new(signer.algorithm()).with_typ(typ);
    let header = match signer.public_jwk().kid() {
        Some(kid) => header.with_kid(kid),
        None => header,
    };
    Unsigned::new(&header, claims.to_string().as_bytes()).sign(signer)
}
