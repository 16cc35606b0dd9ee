//! Demonstrating Proof of Possession (RFC 9449): proofs, nonces, and the check of a proof.
//!
//! [`proof`] gives what is to be signed; the key may sit anywhere. [`check`] is the other side, for
//! authorities and resources.

use http::HeaderValue;
use http::header::HeaderMap;
use keyward_jose::jws::{Header, Unsigned};
use keyward_jose::{Jwk, base64url, digest};
use serde::Serialize;
use url::Url;

use crate::secret::AccessToken;
use crate::time::UnixTime;
use crate::transport::HttpRequest;

pub mod check;

/// `typ` of every proof (RFC 9449 §4.2).
pub const TYP: &str = "dpop+jwt";

/// The longest nonce kept, in bytes. Some servers hand out whole JWTs.
const LONGEST_NONCE: usize = 4096;

/// The request a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct ProofTarget<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The URL. Query, fragment and user info are left out of the proof.
    pub url: &'a Url,
    /// The latest nonce of that server, if it gave one.
    pub nonce: Option<&'a str>,
    /// The access token that goes along, at a resource.
    pub access_token: Option<&'a AccessToken>,
}

/// Builds a proof (RFC 9449 §4.2). `jti` is 16 bytes nobody else will draw; it becomes a version 4
/// UUID.
pub fn proof(key: &Jwk, target: &ProofTarget<'_>, now: UnixTime, jti: [u8; 16]) -> Unsigned {
    let header = Header::new(key.algorithm()).with_typ(TYP).with_jwk(key);
    let claims = Claims {
        jti: uuid::Builder::from_random_bytes(jti)
            .into_uuid()
            .to_string(),
        htm: target.method,
        htu: htu(target.url),
        iat: now.as_secs(),
        nonce: target.nonce,
        ath: target.access_token.map(ath),
    };
    Unsigned::from_claims(&header, &claims)
}

/// In the order of RFC 9449 §4.2.
#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: String,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
}

/// `htu`: the URL without query and fragment (RFC 9449 §4.2), and without user info.
pub fn htu(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for URLs that have no host, hence no user info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// `ath`: the hash of the access token (RFC 9449 §4.2).
pub fn ath(token: &AccessToken) -> String {
    base64url::encode(&digest::sha256(token.expose_secret().as_bytes()))
}

/// Puts a finished proof into the `DPoP` header, replacing one that is there.
pub fn attach(request: &mut HttpRequest, proof: &str) {
    // A compact JWS is ASCII; anything else is no proof and cannot be sent.
    if let Ok(mut value) = HeaderValue::from_str(proof) {
        value.set_sensitive(true);
        request.headers.insert("dpop", value);
    }
}

/// The nonce a server wants to see next (RFC 9449 §8.2), from any answer of it. `None` when there
/// is none, or something that is no nonce.
pub fn nonce(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("dpop-nonce").into_iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    // NQCHAR (RFC 6749 Appendix A): printable, without space, quote and backslash.
    let valid = text
        .bytes()
        .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    (valid && (1..=LONGEST_NONCE).contains(&text.len())).then(|| text.to_owned())
}

/// Whether a resource refused a proof only for want of its nonce (RFC 9449 §9), and which.
pub fn resource_wants_nonce(status: http::StatusCode, headers: &HeaderMap) -> Option<String> {
    let wanted = status == http::StatusCode::UNAUTHORIZED
        && headers
            .get_all(http::header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("DPoP") && value.contains("use_dpop_nonce"));
    if wanted { nonce(headers) } else { None }
}

#[cfg(test)]
mod tests;
