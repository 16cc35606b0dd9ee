//! The token endpoint (RFC 6749 §3.2) with DPoP (RFC 9449 §5).

use axum::response::Response;
use http::{HeaderName, StatusCode};
use keyward_oauth::scope::Scopes;
use serde_json::{Value, json};
use url::Url;

use crate::call::Call;
use crate::dpop::{self, Proof, ProofError};
use crate::faults::Twist;
use crate::nonces::Purpose;
use crate::oidc::error::OAuthError;
use crate::oidc::redeem::{self, Redeemed};
use crate::reply;
use crate::settings::OidcMode;
use crate::signin::request::check_claims;
use crate::state::State;
use crate::tokens::access::{self, AccessTokenRequest, Confirmation};
use crate::tokens::id::{self, IdTokenRequest};

/// The header that offers a nonce (RFC 9449 §8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Handles a token request. Every answer offers a new nonce (RFC 9449 §8.2).
pub(crate) fn token(state: &State, call: &Call) -> Response {
    let response = match answer(state, call) {
        Ok(tokens) => reply::outcome(reply::json(StatusCode::OK, &tokens), "ok"),
        Err(error) => error.response(),
    };
    let nonce = state.nonces.issue(Purpose::AuthorizationServer, call.now);
    reply::with_header(response, DPOP_NONCE, &nonce)
}

/// A token request of a client that may make it.
pub(super) struct TokenRequest<'a> {
    pub(super) client_id: &'a str,
    /// The scopes asked for, if any were named.
    pub(super) scopes: Option<Scopes>,
    pub(super) proof: Option<Proof>,
}

fn answer(state: &State, call: &Call) -> Result<Value, OAuthError> {
    let form = &call.form;
    if let Some(name) = form.repeated() {
        return Err(OAuthError::invalid_request(format!(
            "{name} came more than once"
        )));
    }
    let client_id = client(state, call)?;
    let scopes = scopes(state, call, client_id)?;
    check_claims(form).map_err(|_| OAuthError::invalid_request("claims is no JSON object"))?;
    let audience = audience(call)?;
    let expected = dpop::Expected {
        purpose: Purpose::AuthorizationServer,
        access_token: None,
    };
    let proof = dpop::check(state, call, expected).map_err(proof_error)?;
    let binds_access_token = binds_access_token(state, call, proof.as_ref())?;
    let request = TokenRequest {
        client_id,
        scopes,
        proof,
    };
    let redeemed = redeem::redeem(state, call, &request)?;
    let confirmation = match &request.proof {
        Some(proof) if binds_access_token => Confirmation::Jkt(proof.thumbprint.clone()),
        _ => Confirmation::Bearer,
    };
    tokens(state, call, &redeemed, (audience, confirmation))
}

/// The public client that asks (RFC 6749 §2.1, §3.2.1).
pub(super) fn client<'a>(state: &State, call: &'a Call) -> Result<&'a str, OAuthError> {
    let client_id = call
        .form
        .get("client_id")
        .ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
    let authenticates = ["client_secret", "client_assertion"]
        .iter()
        .any(|name| call.form.get(name).is_some())
        || call.headers.contains_key(http::header::AUTHORIZATION);
    if authenticates || state.clients.find(client_id).is_none() {
        return Err(OAuthError::invalid_client());
    }
    Ok(client_id)
}

/// The scopes a client asks for, if it names any and may have them.
pub(super) fn scopes(
    state: &State,
    call: &Call,
    client_id: &str,
) -> Result<Option<Scopes>, OAuthError> {
    let Some(scopes) = call.form.get("scope").map(Scopes::parse) else {
        return Ok(None);
    };
    let refused = state
        .clients
        .find(client_id)
        .and_then(|client| client.refused_scope(&scopes).map(str::to_owned));
    match refused {
        Some(_) => Err(OAuthError::new(
            "invalid_scope",
            "the client may not have one of the scopes",
        )),
        None => Ok(Some(scopes)),
    }
}

/// Whom the access token is for: the `resource` named (RFC 8707 §2.2), or the demo API.
fn audience(call: &Call) -> Result<String, OAuthError> {
    match call.form.get("resource") {
        None => Ok(format!("{}/api", call.origin)),
        Some(resource) => match Url::parse(resource) {
            Ok(url) if url.fragment().is_none() => Ok(resource.to_owned()),
            _ => Err(OAuthError::new(
                "invalid_target",
                "resource is no absolute URI",
            )),
        },
    }
}

fn proof_error(error: ProofError) -> OAuthError {
    match error {
        ProofError::Invalid(why) => OAuthError::new("invalid_dpop_proof", why),
        ProofError::Nonce => OAuthError::use_dpop_nonce(),
    }
}

/// Whether the access token is bound as well: always in mode `Both`, which gives no others, else if the request says
/// `token_type=DPoP`.
fn binds_access_token(
    state: &State,
    call: &Call,
    proof: Option<&Proof>,
) -> Result<bool, OAuthError> {
    let wanted = match call.form.get("token_type") {
        Some(kind) if kind.eq_ignore_ascii_case("dpop") => true,
        Some(kind) if !kind.eq_ignore_ascii_case("bearer") => {
            return Err(OAuthError::invalid_request(
                "token_type is neither Bearer nor DPoP",
            ));
        }
        _ => false,
    };
    if wanted && proof.is_none() {
        return Err(OAuthError::new(
            "invalid_dpop_proof",
            "token_type=DPoP needs a proof",
        ));
    }
    let always = state.settings().mode == OidcMode::Both;
    if always && proof.is_none() {
        // As `dpop_bound_access_tokens` has it (RFC 9449 §5.2).
        return Err(OAuthError::new(
            "invalid_dpop_proof",
            "tokens here are bound to a key: a proof is needed",
        ));
    }
    Ok(wanted || always)
}

/// The successful answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
fn tokens(
    state: &State,
    call: &Call,
    redeemed: &Redeemed,
    (audience, confirmation): (String, Confirmation),
) -> Result<Value, OAuthError> {
    let lifetime = state.settings().access_token_lifetime;
    let access_token = AccessTokenRequest {
        grant: &redeemed.grant,
        user: &redeemed.user,
        scopes: &redeemed.scopes,
        audience,
        confirmation: &confirmation,
        lifetime,
        capabilities: Vec::new(),
    };
    let access_token =
        access::mint(state, call, &access_token).map_err(|_| OAuthError::server_error())?;
    let mut answer = json!({
        "token_type": if confirmation == Confirmation::Bearer { "Bearer" } else { "DPoP" },
        "access_token": access_token,
        "expires_in": lifetime.as_secs(),
        "scope": redeemed.scopes.to_string(),
    });
    if let Some(refresh_token) = &redeemed.refresh_token {
        answer["refresh_token"] = json!(refresh_token);
    }
    if redeemed.scopes.contains("openid") {
        answer["id_token"] = json!(id_token(state, call, redeemed)?);
    }
    Ok(answer)
}

fn id_token(state: &State, call: &Call, redeemed: &Redeemed) -> Result<String, OAuthError> {
    // With a proof, a wrong nonce is the proof's.
    let own = call
        .twist
        .filter(|twist| *twist != Twist::WrongNonce || !call.headers.contains_key("dpop"));
    let request = IdTokenRequest {
        grant: &redeemed.grant,
        user: &redeemed.user,
        scopes: &redeemed.scopes,
        nonce: redeemed.nonce.as_deref(),
        twist: redeemed.twist.or(own),
    };
    id::mint(state, call, &request).map_err(|_| OAuthError::server_error())
}
