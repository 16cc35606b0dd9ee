//! The revocation endpoint (RFC 7009).

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::call::Call;
use crate::grants::refresh::Revoked;
use crate::oidc::error::OAuthError;
use crate::oidc::token::client;
use crate::reply;
use crate::state::State;
use crate::tenant::Tenant;
use crate::tokens::checked;

/// Revokes a refresh token and its whole family, or one access token. A token nobody knows is
/// revoked already (§2.2). No proof is asked for: RFC 9449 defines none here, and whoever revokes a
/// token does what its owner would do on learning of the theft.
pub(crate) fn revoke(state: &State, call: &Call) -> Response {
    match answer(state, call) {
        Ok(()) => reply::outcome(reply::json(StatusCode::OK, &json!({})), "ok"),
        Err(error) => error.response(),
    }
}

fn answer(state: &State, call: &Call) -> Result<(), OAuthError> {
    let client_id = client(state, call)?;
    let token = call
        .form
        .get("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let own = |of: &str| of.eq_ignore_ascii_case(client_id);
    let others = || OAuthError::invalid_request("the token is another client's");
    if let Some((id, family)) = state.refresh_tokens.family_of(token) {
        if family.grant.tenant != Tenant::Oidc {
            return Ok(());
        }
        if !own(&family.grant.client_id) {
            return Err(others());
        }
        state.refresh_tokens.revoke(id, Revoked::ByProtocol);
    } else if let Ok(access_token) = checked::check(state, token, call.now) {
        if !own(&access_token.client_id) {
            return Err(others());
        }
        state.revoke_access_token(call.now, &access_token.id, access_token.expires);
    }
    Ok(())
}
