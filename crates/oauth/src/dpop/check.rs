//! Checking a DPoP proof (RFC 9449 §4.3), in the order of that section.

use std::time::Duration;

use keyward_jose::jws::{JwsError, Unverified};
use keyward_jose::jwt::{Claims, InvalidClaims};
use keyward_jose::{Thumbprint, constant_time};
use url::Url;

use super::{TYP, ath, htu};
use crate::secret::AccessToken;
use crate::time::UnixTime;

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedProof<'a> {
    /// The method of the request it came with.
    pub method: &'a str,
    /// The URL of that request, as clients see it.
    pub url: &'a Url,
    /// The access token it came with, at a resource.
    pub access_token: Option<&'a AccessToken>,
    /// The oldest `iat` taken, before now.
    pub max_age: Duration,
    /// How far `iat` may be ahead of our clock.
    pub leeway: Duration,
}

/// A proof that holds. Still to be decided by the caller: whether its nonce is a current one,
/// whether its `jti` was seen before, and whether `jkt` is the key the token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The key that signed.
    pub jkt: Thumbprint,
    /// The proof's own id.
    pub jti: String,
    /// The nonce in it.
    pub nonce: Option<String>,
    /// When it was made.
    pub iat: UnixTime,
}

/// Checks one proof.
///
/// # Errors
///
/// The first check that failed.
pub fn check(
    text: &str,
    expected: &ExpectedProof<'_>,
    now: UnixTime,
) -> Result<Proof, InvalidProof> {
    // 2, 5: one well-formed JWS with a listed, asymmetric algorithm. 7: `jwk` holds no private key.
    let unverified = Unverified::parse(text)?;
    // 4
    if !unverified.header().has_typ(TYP) {
        return Err(InvalidProof::Typ);
    }
    // 6
    let key = unverified
        .header()
        .jwk()
        .cloned()
        .ok_or(InvalidProof::NoKey)?;
    let claims = unverified.verify(&key)?.claims()?;
    // 3
    let jti = claims.required("jti")?.to_owned();
    let (method, url) = (claims.required("htm")?, claims.required("htu")?);
    // 8, 9
    if method != expected.method {
        return Err(InvalidProof::Method);
    }
    if !same_target(url, expected.url) {
        return Err(InvalidProof::Url);
    }
    // 10 is the caller's; 11
    claims.check_recent("iat", now, expected.max_age, expected.leeway)?;
    // 12
    if let Some(token) = expected.access_token {
        check_ath(&claims, token)?;
    }
    Ok(Proof {
        jkt: key.thumbprint(),
        jti,
        nonce: claims.string("nonce")?.map(str::to_owned),
        iat: claims.time("iat")?.ok_or(InvalidClaims::Missing("iat"))?,
    })
}

fn check_ath(claims: &Claims, token: &AccessToken) -> Result<(), InvalidProof> {
    if constant_time::equal(claims.required("ath")?.as_bytes(), ath(token).as_bytes()) {
        Ok(())
    } else {
        Err(InvalidProof::AccessToken)
    }
}

/// Compares after the normalisation of URL parsing (case of scheme and host, default port). The
/// request's own query and fragment do not count; in a proof they are against RFC 9449 §4.2, and
/// make it unequal.
fn same_target(claimed: &str, actual: &Url) -> bool {
    Url::parse(claimed).is_ok_and(|claimed| claimed.as_str() == htu(actual))
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// It is not a JWS signed by the key in it.
    #[error("the DPoP proof is no valid JWS: {0}")]
    Jws(#[from] JwsError),
    /// `typ` is not `dpop+jwt`.
    #[error("the DPoP proof's typ is not dpop+jwt")]
    Typ,
    /// The header has no `jwk`.
    #[error("the DPoP proof's header has no jwk")]
    NoKey,
    /// A claim is missing, malformed, or out of time.
    #[error("the DPoP proof's claims do not hold: {0}")]
    Claims(#[from] InvalidClaims),
    /// `htm` is another method.
    #[error("the DPoP proof is for another method")]
    Method,
    /// `htu` is another URL, or has a query.
    #[error("the DPoP proof is for another URL")]
    Url,
    /// `ath` is of another access token.
    #[error("the DPoP proof is for another access token")]
    AccessToken,
}
