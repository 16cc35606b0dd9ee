//! Checking DPoP proofs (RFC 9449 §4.3), at the token endpoint and at protected resources.

use std::time::Duration;

use keyward_jose::jws::{Unverified, Verified};
use keyward_jose::jwt::Claims;
use keyward_jose::{Algorithm, Thumbprint, base64url, digest};
use keyward_oauth::time::UnixTime;
use url::Url;

use crate::call::Call;
use crate::faults::Twist;
use crate::nonces::{Judgement, Purpose};
use crate::state::State;

/// The algorithms proofs may use, as metadata and challenges list them.
pub(crate) const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];

/// A proof of possession of a key, for this very request.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) thumbprint: Thumbprint,
}

/// Why a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofError {
    /// `invalid_dpop_proof`.
    Invalid(&'static str),
    /// `use_dpop_nonce`: all is well but the nonce.
    Nonce,
}

/// What a proof must fit beside the request itself.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) purpose: Purpose,
    /// The access token shown together with the proof, at protected resources.
    pub(crate) access_token: Option<&'a str>,
}

/// Checks the proof of a request, if it carries one, in the order of RFC 9449 §4.3. Only a proof
/// that passes everything else uses up its `jti`.
pub(crate) fn check(
    state: &State,
    call: &Call,
    expected: Expected<'_>,
) -> Result<Option<Proof>, ProofError> {
    if !call.headers.contains_key("dpop") {
        return Ok(None);
    }
    let text = call
        .header("dpop")
        .ok_or(ProofError::Invalid("there is more than one proof"))?;
    let (proof, claims, iat) = check_signature(text)?;
    check_request(call, &claims)?;
    let window = state.settings().proof_window;
    claims
        .check_recent("iat", call.now, window, window)
        .map_err(|_| ProofError::Invalid("iat is too far from the time here"))?;
    if let Some(access_token) = expected.access_token {
        check_access_token_hash(&claims, access_token)?;
    }
    check_nonce(state, call, expected.purpose, &claims)?;
    check_first_use(state, call.now, (&proof, &claims), iat.plus(window * 2))?;
    Ok(Some(proof))
}

/// Type, algorithm, key and signature (§4.3, 1 to 7).
fn check_signature(text: &str) -> Result<(Proof, Claims, UnixTime), ProofError> {
    let unverified = Unverified::parse(text).map_err(|_| {
        ProofError::Invalid("the proof is no JWS with a listed alg and a public jwk")
    })?;
    let header = unverified.header();
    if !header.has_typ("dpop+jwt") {
        return Err(ProofError::Invalid("typ is not dpop+jwt"));
    }
    if !matches!(header.alg(), Algorithm::Es256 | Algorithm::EdDsa) {
        return Err(ProofError::Invalid("alg is neither ES256 nor EdDSA"));
    }
    let key = header
        .jwk()
        .cloned()
        .ok_or(ProofError::Invalid("jwk is missing"))?;
    let verified: Verified = unverified
        .verify(&key)
        .map_err(|_| ProofError::Invalid("the signature does not fit jwk"))?;
    let claims = verified
        .claims()
        .map_err(|_| ProofError::Invalid("the claims are no JSON object"))?;
    let iat = claims
        .time("iat")
        .ok()
        .flatten()
        .ok_or(ProofError::Invalid("iat is missing"))?;
    Ok((
        Proof {
            thumbprint: key.thumbprint(),
        },
        claims,
        iat,
    ))
}

/// `htm` and `htu` (§4.3, 8 and 9).
fn check_request(call: &Call, claims: &Claims) -> Result<(), ProofError> {
    let claim = |name| {
        claims
            .required(name)
            .map_err(|_| ProofError::Invalid("a claim is missing"))
    };
    if claim("htm")? != call.method.as_str() {
        return Err(ProofError::Invalid("htm is another method"));
    }
    let here = format!("{}{}", call.origin, call.path);
    if normalized(claim("htu")?) != normalized(&here) {
        return Err(ProofError::Invalid("htu is another URL"));
    }
    Ok(())
}

/// A URL without query and fragment, normalised as RFC 9449 §4.3 asks (RFC 3986 §6.2.2, §6.2.3).
fn normalized(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// `ath` (§4.3, 12).
fn check_access_token_hash(claims: &Claims, access_token: &str) -> Result<(), ProofError> {
    let hash = base64url::encode(&digest::sha256(access_token.as_bytes()));
    match claims.string("ath") {
        Ok(Some(ath)) if ath == hash => Ok(()),
        _ => Err(ProofError::Invalid(
            "ath is not the hash of the access token",
        )),
    }
}

/// `nonce` (§4.3, 10). It is mandatory here, so a proof cannot be made in advance.
fn check_nonce(
    state: &State,
    call: &Call,
    purpose: Purpose,
    claims: &Claims,
) -> Result<(), ProofError> {
    let nonce = claims
        .string("nonce")
        .map_err(|_| ProofError::Invalid("nonce is no string"))?;
    let judged = nonce.map(|nonce| {
        state
            .nonces
            .judge(purpose, nonce, call.now, state.settings().nonce_lifetime)
    });
    match judged {
        Some(Judgement::Fresh) if !call.is_twisted(Twist::WrongNonce) => Ok(()),
        _ => Err(ProofError::Nonce),
    }
}

/// `jti` (§11.1).
fn check_first_use(
    state: &State,
    now: UnixTime,
    (proof, claims): (&Proof, &Claims),
    until: UnixTime,
) -> Result<(), ProofError> {
    const LONGEST_JTI: usize = 512;
    let jti = claims
        .required("jti")
        .map_err(|_| ProofError::Invalid("jti is missing"))?;
    if jti.is_empty() || jti.len() > LONGEST_JTI {
        return Err(ProofError::Invalid("jti is empty or too long"));
    }
    // The proof's own time decides how long it stays known, but never less than from now.
    let until = until.max(now.plus(Duration::from_secs(1)));
    state
        .replays
        .first_use(
            now,
            proof.thumbprint.as_str(),
            &format!("dpop {jti}"),
            until,
        )
        .map_err(|_| ProofError::Invalid("the proof was used before"))
}
