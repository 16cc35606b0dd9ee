//! The admin endpoints, for whoever started the authority and nobody else: every request needs
//! `Authorization: Bearer` and the random token the starter was told.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /admin/faults` | scripts a fault ([`FaultRule`] as JSON) |
//! | `GET /admin/faults` | the faults that still wait |
//! | `GET /admin/issued` | every refresh token issued |
//! | `GET /admin/log` | the latest requests |
//! | `POST /admin/revoke` | `{"user":…}`: ends every refresh token of a user |
//! | `POST /admin/reset` | forgets everybody and everything but the keys |

use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::call::Call;
use crate::faults::FaultRule;
use crate::reply;
use crate::route::AdminEndpoint;
use crate::secrecy;
use crate::state::State;

/// Handles an admin request.
pub(crate) fn admin(state: &State, call: &Call, endpoint: AdminEndpoint) -> Response {
    if !is_starter(state, call) {
        let body = json!({"error": "unauthorized"});
        let response = reply::json(StatusCode::UNAUTHORIZED, &body);
        let response = reply::with_header(response, WWW_AUTHENTICATE, "Bearer realm=\"admin\"");
        return reply::outcome(response, "unauthorized");
    }
    match endpoint {
        AdminEndpoint::Faults if call.method == Method::POST => add_fault(state, call),
        AdminEndpoint::Faults => ok(&json!(state.faults.list())),
        AdminEndpoint::Issued => ok(&json!(state.refresh_tokens.issued())),
        AdminEndpoint::Log => ok(&json!(state.log.entries())),
        AdminEndpoint::Revoke => revoke(state, call),
        AdminEndpoint::Reset => {
            state.reset();
            ok(&json!({}))
        }
    }
}

fn is_starter(state: &State, call: &Call) -> bool {
    let credentials = call
        .header(AUTHORIZATION.as_str())
        .and_then(|text| text.split_once(' '));
    credentials.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && secrecy::equal(&state.admin_token, token)
    })
}

fn add_fault(state: &State, call: &Call) -> Response {
    let rule: FaultRule = match serde_json::from_slice(&call.body) {
        Ok(rule) => rule,
        Err(error) => return refused(&error.to_string()),
    };
    match state.faults.add(rule) {
        Ok(()) => ok(&json!({})),
        Err(error) => refused(&error.to_string()),
    }
}

#[derive(Deserialize)]
struct RevokeRequest {
    user: String,
}

fn revoke(state: &State, call: &Call) -> Response {
    match serde_json::from_slice::<RevokeRequest>(&call.body) {
        Ok(request) => ok(&json!({"revoked": state.refresh_tokens.revoke_user(&request.user)})),
        Err(error) => refused(&error.to_string()),
    }
}

fn ok(body: &serde_json::Value) -> Response {
    reply::outcome(reply::json(StatusCode::OK, body), "ok")
}

fn refused(why: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": why});
    reply::outcome(
        reply::json(StatusCode::BAD_REQUEST, &body),
        "invalid_request",
    )
}
