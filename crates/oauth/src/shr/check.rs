//! Checking a signed HTTP request, as a resource does.

use std::time::Duration;

use keyward_jose::jws::{JwsError, Unverified};
use keyward_jose::jwt::{Claims, InvalidClaims};
use keyward_jose::{Jwk, Thumbprint};

use super::TYP;
use crate::secret::AccessToken;
use crate::time::UnixTime;

/// The HTTP request it came with.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The host, with the port if the client's URL has one.
    pub host: &'a str,
    /// The absolute path.
    pub path: &'a str,
    /// The oldest `ts` taken, before now.
    pub max_age: Duration,
    /// How far `ts` may be ahead of our clock.
    pub leeway: Duration,
}

/// A signed HTTP request that holds. Still to be decided by the caller: whether the access token
/// is good and names `jkt`, and whether the nonce is a current one and new.
#[derive(Debug)]
pub struct CheckedRequest {
    /// The access token inside.
    pub access_token: AccessToken,
    /// The key that signed.
    pub jkt: Thumbprint,
    /// The nonce in it.
    pub nonce: Option<String>,
    /// When it was made.
    pub ts: UnixTime,
    /// The client's opaque text.
    pub client_claims: Option<String>,
}

/// Checks one signed HTTP request.
///
/// # Errors
///
/// The first check that failed.
pub fn check(
    text: &str,
    expected: &ExpectedRequest<'_>,
    now: UnixTime,
) -> Result<CheckedRequest, InvalidRequest> {
    let unverified = Unverified::parse(text)?;
    if !unverified.header().has_typ(TYP) {
        return Err(InvalidRequest::Typ);
    }
    let key = claimed_key(&Claims::parse(unverified.unverified_payload())?)?;
    let jkt = key.thumbprint();
    if unverified.header().kid() != Some(jkt.as_str()) {
        return Err(InvalidRequest::Key);
    }
    let claims = unverified.verify(&key)?.claims()?;
    let same = claims.required("m")? == expected.method
        && claims.required("u")?.eq_ignore_ascii_case(expected.host)
        && claims.required("p")? == expected.path;
    if !same {
        return Err(InvalidRequest::Target);
    }
    claims.check_recent("ts", now, expected.max_age, expected.leeway)?;
    Ok(CheckedRequest {
        access_token: AccessToken::new(claims.required("at")?.to_owned()),
        jkt,
        nonce: claims.string("nonce")?.map(str::to_owned),
        ts: claims.time("ts")?.ok_or(InvalidClaims::Missing("ts"))?,
        client_claims: claims.string("client_claims")?.map(str::to_owned),
    })
}

/// `cnf.jwk`: the key the request says it is signed by. Nobody vouches for it but the access
/// token, which names its thumbprint.
fn claimed_key(claims: &Claims) -> Result<Jwk, InvalidRequest> {
    claims
        .get("cnf")
        .and_then(|cnf| cnf.get("jwk"))
        .and_then(|jwk| Jwk::from_value(jwk).ok())
        .ok_or(InvalidRequest::Key)
}

/// Why a signed HTTP request does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// It is not a JWS signed by the key in it.
    #[error("the signed HTTP request is no valid JWS: {0}")]
    Jws(#[from] JwsError),
    /// `typ` is not `pop`.
    #[error("the signed HTTP request's typ is not pop")]
    Typ,
    /// `cnf.jwk` is missing or unusable, or `kid` is not its thumbprint.
    #[error("the signed HTTP request's cnf.jwk is missing, unusable, or not the key of its kid")]
    Key,
    /// A claim is missing, malformed, or out of time.
    #[error("the signed HTTP request's claims do not hold: {0}")]
    Claims(#[from] InvalidClaims),
    /// It is for another method, host or path.
    #[error("the signed HTTP request is for another method, host or path")]
    Target,
}
