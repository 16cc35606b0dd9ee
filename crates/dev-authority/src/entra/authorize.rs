//! The authorize endpoint (`device-binding.md` 4.2).

use axum::response::Response;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::reply;
use crate::signin::finish::issuer;
use crate::signin::request::{self, Invalid};
use crate::signin::start;
use crate::state::State;
use crate::tenant::{EntraName, Tenant};

/// Handles an authorize request. Until client and redirect URI are known to belong together,
/// errors are pages.
pub(crate) fn authorize(state: &State, call: &Call, name: &EntraName, segment: &str) -> Response {
    let parameters = call.parameters();
    if *name == EntraName::Unknown {
        return Aadsts::unknown_tenant(segment).page(call);
    }
    let Some(client_id) = parameters.get("client_id") else {
        return Aadsts::missing("client_id").page(call);
    };
    let Some(client) = state.clients.find(client_id) else {
        return Aadsts::unknown_client(client_id).page(call);
    };
    let redirect_uri = parameters.get("redirect_uri").unwrap_or_default();
    if !client.may_redirect_to(redirect_uri) {
        return Aadsts::redirect_uri(redirect_uri, client_id).page(call);
    }
    let target = request::target(parameters, redirect_uri);
    let asked = match request::read(call, Tenant::Entra, (client_id, client), target.clone()) {
        Ok(ask) if ask.scopes.is_empty() => Err(Invalid::Missing("scope")),
        asked => asked,
    };
    match asked {
        Ok(ask) => start::begin(state, call, &ask),
        Err(invalid) => {
            let error = describe(invalid);
            let mut answer = vec![
                ("error", error.error.to_owned()),
                ("error_description", error.description(call)),
            ];
            answer.extend(issuer(call, Tenant::Entra, call.twist));
            reply::outcome(target.send(answer), error.code())
        }
    }
}

fn describe(invalid: Invalid) -> Aadsts {
    match invalid {
        Invalid::Repeated(name) => Aadsts::malformed(&format!("'{name}' is duplicated")),
        Invalid::Missing(name) => Aadsts::missing(name),
        Invalid::Value(name) | Invalid::RequestObject(name) => Aadsts::bad_value(name),
        Invalid::ResponseType => Aadsts::unsupported_response_type(),
        Invalid::Scope(scope) => Aadsts::scope(&scope),
        Invalid::Challenge => Aadsts::missing_challenge(),
    }
}
