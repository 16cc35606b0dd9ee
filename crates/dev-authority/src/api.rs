//! The protected demo API, `/api/me`: says who calls, and how.

pub(crate) mod protect;

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::call::Call;
use crate::entra::resource;
use crate::origin::Origin;
use crate::reply;
use crate::state::State;
use protect::{Failure, Presented};

/// Answers any method that presents a good access token in a way that fits it.
pub(crate) fn me(state: &State, call: &Call) -> Response {
    let presented = match protect::authenticate(state, call).and_then(for_us) {
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

/// The token is for this API. Applications under test were written for others, so it stands for
/// the one that bare scopes mean, Microsoft Graph, and for any application's own (`api://…`).
fn for_us(presented: Presented) -> Result<Presented, Failure> {
    let audience = &presented.token.audience;
    let ours = ["/api", "/api/me"]
        .iter()
        .any(|path| Origin::is_ours(audience, path))
        || resource::is_graph(audience)
        || audience.starts_with("api://");
    if ours {
        Ok(presented)
    } else {
        let why = "the access token is for another resource";
        Err(Failure::invalid_token(presented.scheme, why))
    }
}
