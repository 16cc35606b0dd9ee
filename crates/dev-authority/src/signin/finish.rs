//! The end of a sitting: a code or an error for the client, or a decision about a device.

use axum::response::Response;
use keyward_jose::base64url;
use keyward_oauth::time::UnixTime;
use serde_json::json;

use crate::call::Call;
use crate::faults::Twist;
use crate::grants::codes::Code;
use crate::pages;
use crate::reply;
use crate::signin::ask::{Ask, CodeRequest, Purpose};
use crate::signin::problem::{Problem, Refusal};
use crate::state::State;
use crate::tenant::{Grant, Tenant};
use crate::users::{Refused, Standing, User};

/// The person has allowed what was asked.
pub(crate) fn allow(
    state: &State,
    call: &Call,
    ask: &Ask,
    (user_name, auth_time): (&str, UnixTime),
) -> Response {
    // Somebody may have been blocked after signing in.
    let user = state
        .users
        .find(user_name)
        .filter(|user| user.standing != Standing::Blocked);
    let Some(user) = user else {
        let alert = Problem::Refused(Refused::Blocked).alert(Some(ask.tenant));
        let code = alert.code.clone();
        return reply::outcome(pages::error(&alert, &[]), code);
    };
    let grant = ask.grant(&user.user_name, auth_time);
    state.consents.give(&grant);
    match &ask.purpose {
        Purpose::Code(request) => send_code(state, call, request, grant, &user),
        Purpose::Device { user_code } => {
            let allowed = state.devices.decide(call.now, user_code, Some(grant));
            reply::outcome(pages::device_done(allowed), "ok")
        }
    }
}

/// The person has not allowed it, or could not be asked.
pub(crate) fn refuse(state: &State, call: &Call, ask: &Ask, refusal: Refusal) -> Response {
    match &ask.purpose {
        Purpose::Code(request) => {
            let mut parameters = refusal.parameters(call, ask.tenant, &ask.client_id);
            let error = parameters
                .first()
                .map(|(_, error)| error.clone())
                .unwrap_or_default();
            parameters.extend(issuer(call, ask.tenant, request.twist));
            reply::outcome(request.target.send(parameters), error)
        }
        Purpose::Device { user_code } => {
            state.devices.decide(call.now, user_code, None);
            reply::outcome(pages::device_done(false), "access_denied")
        }
    }
}

fn send_code(
    state: &State,
    call: &Call,
    request: &CodeRequest,
    grant: Grant,
    user: &User,
) -> Response {
    let tenant = grant.tenant;
    let mut code = Code::new(
        grant,
        request.target.redirect_uri.clone(),
        request.challenge.clone(),
    );
    code.nonce.clone_from(&request.nonce);
    code.dpop_jkt.clone_from(&request.dpop_jkt);
    code.claims.clone_from(&request.claims);
    code.twist = request.twist;
    let code = state
        .codes
        .issue(call.now, state.settings().code_lifetime, code);
    let mut parameters = vec![("code", code)];
    if tenant == Tenant::Entra {
        if request.client_info {
            parameters.push(("client_info", client_info(user)));
        }
        parameters.push(("session_state", crate::random::guid().to_string()));
    }
    parameters.extend(issuer(call, tenant, request.twist));
    reply::outcome(request.target.send(parameters), "ok")
}

/// `iss` (RFC 9207), which Entra does not send.
pub(crate) fn issuer(
    call: &Call,
    tenant: Tenant,
    twist: Option<Twist>,
) -> Option<(&'static str, String)> {
    match (twist, tenant) {
        (Some(Twist::WrongIssuer), _) => Some(("iss", format!("{}/another", call.origin))),
        (_, Tenant::Oidc) => Some(("iss", tenant.issuer(&call.origin))),
        (_, Tenant::Entra) => None,
    }
}

/// Entra's `client_info`: who the user is at home.
pub(crate) fn client_info(user: &User) -> String {
    base64url::encode(
        json!({"uid": user.uid.to_string(), "utid": user.utid.to_string()})
            .to_string()
            .as_bytes(),
    )
}
