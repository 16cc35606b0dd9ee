//! Checking signed HTTP requests, Entra's proof-of-possession form
//! (draft-ietf-oauth-signed-http-request-03 as MSAL uses it).

use keyward_jose::jws::Unverified;
use keyward_jose::jwt::Claims;
use keyward_jose::{Algorithm, Jwk, Thumbprint};
use keyward_oauth::time::UnixTime;
use serde_json::Value;

use crate::call::Call;
use crate::faults::Twist;
use crate::nonces::{Judgement, Purpose};
use crate::state::State;

/// A signed request whose signature and claims fit this very request. The access token inside is
/// still to be checked, and must name the key.
pub(crate) struct SignedRequest {
    pub(crate) access_token: String,
    pub(crate) thumbprint: Thumbprint,
    /// What was signed, without the signature, and how long it would be accepted.
    signed: String,
    until: UnixTime,
}

/// Why a signed request is not accepted; said to the caller.
pub(crate) type ShrError = &'static str;

/// Checks a signed request against the request it came with.
pub(crate) fn check(state: &State, call: &Call, text: &str) -> Result<SignedRequest, ShrError> {
    let (claims, thumbprint) = check_signature(text)?;
    check_request(call, &claims)?;
    let window = state.settings().proof_window;
    claims
        .check_recent("ts", call.now, window, window)
        .map_err(|_| "ts is too far from the time here")?;
    check_nonce(state, call, &claims)?;
    let ts = claims.time("ts").ok().flatten().ok_or("ts is missing")?;
    let signed = text.rsplit_once('.').map_or(text, |(signed, _)| signed);
    Ok(SignedRequest {
        access_token: claims
            .required("at")
            .map_err(|_| "at is missing")?
            .to_owned(),
        thumbprint,
        signed: signed.to_owned(),
        until: ts.plus(window * 2),
    })
}

impl SignedRequest {
    /// Uses the request up. Called last, when everything else has been checked.
    pub(crate) fn use_up(&self, state: &State, now: UnixTime) -> Result<(), ShrError> {
        state
            .replays
            .first_use(now, self.thumbprint.as_str(), &self.signed, self.until)
            .map_err(|_| "the signed request was used before")
    }
}

/// The signature, by the key in `cnf.jwk`.
fn check_signature(text: &str) -> Result<(Claims, Thumbprint), ShrError> {
    let unverified =
        Unverified::parse(text).map_err(|_| "the signed request is no JWS with a listed alg")?;
    if !unverified.header().has_typ("pop") {
        return Err("typ is not pop");
    }
    if unverified.header().alg() == Algorithm::EdDsa {
        return Err("alg is none of ES256, RS256 and PS256");
    }
    let claims = Claims::parse(unverified.unverified_payload())
        .map_err(|_| "the claims are no JSON object")?;
    let jwk = claims
        .get("cnf")
        .and_then(|cnf| cnf.get("jwk"))
        .ok_or("cnf.jwk is missing")?;
    let key = Jwk::from_value(jwk).map_err(|_| "cnf.jwk is no public signature key")?;
    let thumbprint = key.thumbprint();
    if unverified
        .header()
        .kid()
        .is_some_and(|kid| kid != thumbprint.as_str())
    {
        return Err("kid is not the thumbprint of cnf.jwk");
    }
    unverified
        .verify(&key)
        .map_err(|_| "the signature does not fit cnf.jwk")?;
    Ok((claims, thumbprint))
}

/// Method, host, path and query.
fn check_request(call: &Call, claims: &Claims) -> Result<(), ShrError> {
    let claim = |name| claims.required(name).map_err(|_| "m, u or p is missing");
    if claim("m")? != call.method.as_str() {
        return Err("m is another method");
    }
    if !claim("u")?.eq_ignore_ascii_case(call.origin.authority()) {
        return Err("u is another host");
    }
    if claim("p")? != call.path {
        return Err("p is another path");
    }
    match claims.get("q") {
        None => Ok(()),
        Some(q) if is_query(q, call.raw_query.as_deref().unwrap_or_default()) => Ok(()),
        Some(_) => Err("q is another query"),
    }
}

/// MSAL.js writes `[[], "<query>"]`: no single parameters, and the query as it is.
fn is_query(q: &Value, query: &str) -> bool {
    let text = q.get(1).and_then(Value::as_str).unwrap_or_default();
    text.strip_prefix('?').unwrap_or(text) == query
}

/// `nonce`. Clients that were given none make one up, which says nothing and is let pass unless
/// the API insists on its own; one that was given by us and is too old is refused.
fn check_nonce(state: &State, call: &Call, claims: &Claims) -> Result<(), ShrError> {
    let settings = state.settings();
    let nonce = claims.string("nonce").map_err(|_| "nonce is no string")?;
    let judged = nonce.map(|nonce| {
        state.nonces.judge(
            Purpose::SignedRequest,
            nonce,
            call.now,
            settings.nonce_lifetime,
        )
    });
    match judged {
        _ if call.is_twisted(Twist::WrongNonce) => Err("the nonce is not accepted"),
        Some(Judgement::Stale) => Err("the nonce is too old"),
        Some(Judgement::Foreign) | None if settings.pop_nonce_required => {
            Err("a nonce of this API is required")
        }
        _ => Ok(()),
    }
}
