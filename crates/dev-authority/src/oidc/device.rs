//! The device authorization endpoint (RFC 8628 §3.1, §3.2).

use axum::response::Response;
use http::StatusCode;
use keyward_oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::call::Call;
use crate::grants::devices::{DeviceRequest, Terms};
use crate::oidc::error::OAuthError;
use crate::oidc::token::{client, scopes};
use crate::reply;
use crate::state::State;
use crate::tenant::Tenant;

/// Hands out codes to a device.
pub(crate) fn device_authorization(state: &State, call: &Call) -> Response {
    match answer(state, call) {
        Ok(codes) => reply::outcome(reply::json(StatusCode::OK, &codes), "ok"),
        Err(error) => error.response(),
    }
}

fn answer(state: &State, call: &Call) -> Result<Value, OAuthError> {
    let client_id = client(state, call)?;
    let request = DeviceRequest {
        tenant: Tenant::Oidc,
        client_id: client_id.to_owned(),
        scopes: scopes(state, call, client_id)?.unwrap_or_else(Scopes::none),
        claims: None,
    };
    let settings = state.settings();
    let (lifetime, interval) = (settings.device_code_lifetime, settings.device_interval);
    let terms = Terms {
        lifetime,
        interval,
        twist: call.twist,
    };
    let issued = state.devices.issue(call.now, terms, request);
    let verification_uri = format!("{}/devicelogin", call.origin);
    Ok(json!({
        "device_code": issued.device_code,
        "user_code": issued.user_code,
        "verification_uri_complete": format!("{verification_uri}?user_code={}", issued.user_code),
        "verification_uri": verification_uri,
        "expires_in": lifetime.as_secs(),
        "interval": interval.as_secs(),
    }))
}
