//! Signed HTTP requests: Entra's proof-of-possession tokens (`device-binding.md` 3,
//! draft-ietf-oauth-signed-http-request-03).
//!
//! The access token is asked for with [`req_cnf`]; [`request`] wraps it together with the request
//! it is for, to be signed by the key it is bound to. [`check`] is the resource's side.

use keyward_jose::jws::{Header, Unsigned};
use keyward_jose::{Jwk, Thumbprint, base64url};
use serde::Serialize;

use crate::secret::AccessToken;
use crate::time::UnixTime;

pub mod check;

/// `typ` of every signed HTTP request.
pub const TYP: &str = "pop";

/// `req_cnf` of a token request: names the key the access token is to be bound to.
pub fn req_cnf(key: &Thumbprint) -> String {
    base64url::encode(format!(r#"{{"kid":"{key}"}}"#).as_bytes())
}

/// The request a signed HTTP request is for.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The access token, bound to the signing key.
    pub access_token: &'a AccessToken,
    /// The method, upper case.
    pub method: &'a str,
    /// The host, with the port if there is one.
    pub host: &'a str,
    /// The absolute path.
    pub path: &'a str,
    /// The resource's nonce, if it gave one.
    pub nonce: Option<&'a str>,
    /// Opaque text to sign along (`shrClaims`).
    pub client_claims: Option<&'a str>,
}

/// Builds a signed HTTP request. `random` becomes the nonce where the resource gave none: a GUID
/// without hyphens.
pub fn request(
    key: &Jwk,
    request: &SignedRequest<'_>,
    now: UnixTime,
    random: [u8; 16],
) -> Unsigned {
    let kid = key.thumbprint();
    let header = Header::new(key.algorithm())
        .with_typ(TYP)
        .with_kid(kid.as_str());
    let own_nonce = uuid::Builder::from_random_bytes(random)
        .into_uuid()
        .as_simple()
        .to_string();
    Unsigned::from_claims(
        &header,
        &Payload {
            at: request.access_token.expose_secret(),
            ts: now.as_secs(),
            m: request.method,
            u: request.host,
            p: request.path,
            nonce: request.nonce.unwrap_or(&own_nonce),
            cnf: Confirmation { jwk: key.bare() },
            client_claims: request.client_claims,
        },
    )
}

/// In the order of `device-binding.md` 3.
#[derive(Serialize)]
struct Payload<'a> {
    at: &'a str,
    ts: u64,
    m: &'a str,
    u: &'a str,
    p: &'a str,
    nonce: &'a str,
    cnf: Confirmation,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_claims: Option<&'a str>,
}

#[derive(Serialize)]
struct Confirmation {
    jwk: Jwk,
}

#[cfg(test)]
mod tests;
