//! The device authorization endpoint (`device-binding.md` 4.6).

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::entra::aadsts::{Aadsts, with_ids};
use crate::entra::token::{client, scopes};
use crate::grants::devices::{DeviceRequest, Terms};
use crate::reply;
use crate::state::State;
use crate::tenant::{EntraName, Tenant};

/// Hands out codes to a device.
pub(crate) fn devicecode(state: &State, call: &Call, name: &EntraName, segment: &str) -> Response {
    match answer(state, call, name, segment) {
        Ok(codes) => with_ids(
            reply::outcome(reply::json(StatusCode::OK, &codes), "ok"),
            call,
        ),
        Err(error) => error.response(call),
    }
}

fn answer(state: &State, call: &Call, name: &EntraName, segment: &str) -> Result<Value, Aadsts> {
    if *name == EntraName::Unknown {
        return Err(Aadsts::unknown_tenant(segment));
    }
    let client_id = client(state, call)?;
    let request = DeviceRequest {
        tenant: Tenant::Entra,
        client_id: client_id.to_owned(),
        scopes: scopes(state, call, client_id)?.ok_or_else(|| Aadsts::missing("scope"))?,
        claims: call.form.get("claims").map(str::to_owned),
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
    let message = format!(
        "To sign in, use a web browser to open the page {verification_uri} and enter the code {} to \
         authenticate.",
        issued.user_code
    );
    Ok(json!({
        "user_code": issued.user_code,
        "device_code": issued.device_code,
        "verification_uri": verification_uri,
        "expires_in": lifetime.as_secs(),
        "interval": interval.as_secs(),
        "message": message,
    }))
}
