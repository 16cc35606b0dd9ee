//! The protected demo API, `/api/me`: says who calls, and how.

pub(crate) mod protect;

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::call::Call;
use crate::reply;
use crate::state::State;

/// Answers any method that presents a good access token in a way that fits it.
pub(crate) fn me(state: &State, call: &Call) -> Response {
    let presented = match protect::authenticate(state, call) {
        Ok(presented) => presented,
        Err(failure) => return protect::refuse(state, call, &failure),
    };
    let token = &presented.token;
    let body = json!({
        "sub": token.subject,
        "preferred_username": token.user_name,
        "scheme": presented.scheme.as_str(),
        "tenant": token.tenant,
        "client_id": token.client_id,
        "jti": token.id,
        "aud": token.audience,
        "scope": token.scope,
        "exp": token.expires,
        "cnf": token.confirmation.to_claim(),
        "method": call.method.as_str(),
    });
    let response = reply::outcome(reply::json(StatusCode::OK, &body), "ok");
    protect::with_nonce(state, call, presented.scheme, response)
}
