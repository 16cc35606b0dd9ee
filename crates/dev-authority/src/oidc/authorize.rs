//! The authorize endpoint (OpenID Connect Core §3.1.2).

use axum::response::Response;

use crate::call::Call;
use crate::pages::{self, Alert};
use crate::reply;
use crate::signin::finish::issuer;
use crate::signin::request::{self, Invalid};
use crate::signin::start;
use crate::state::State;
use crate::tenant::Tenant;

/// Handles an authorize request. Until client and redirect URI are known to belong together,
/// errors are pages (RFC 6749 §4.1.2.1).
pub(crate) fn authorize(state: &State, call: &Call) -> Response {
    let parameters = call.parameters();
    let client_id = parameters.get("client_id").unwrap_or_default();
    let Some(client) = state.clients.find(client_id) else {
        return page("invalid_client", "The application is unknown here.");
    };
    let redirect_uri = parameters.get("redirect_uri").unwrap_or_default();
    if !client.may_redirect_to(redirect_uri) {
        return page(
            "invalid_redirect_uri",
            "The application may not be answered at that address.",
        );
    }
    let target = request::target(parameters, redirect_uri);
    match request::read(call, Tenant::Oidc, (client_id, client), target.clone()) {
        Ok(ask) => start::begin(state, call, &ask),
        Err(invalid) => {
            let (error, description) = describe(&invalid);
            let mut answer = vec![
                ("error", error.to_owned()),
                ("error_description", description),
            ];
            answer.extend(issuer(call, Tenant::Oidc, call.twist));
            reply::outcome(target.send(answer), error)
        }
    }
}

fn describe(invalid: &Invalid) -> (&'static str, String) {
    match invalid {
        Invalid::Repeated(name) => ("invalid_request", format!("{name} came more than once")),
        Invalid::Missing(name) => ("invalid_request", format!("{name} is missing")),
        Invalid::Value(name) => (
            "invalid_request",
            format!("the value of {name} is not supported"),
        ),
        Invalid::ResponseType => (
            "unsupported_response_type",
            "only response_type=code is supported".to_owned(),
        ),
        Invalid::RequestObject("request") => (
            "request_not_supported",
            "request objects are not supported".to_owned(),
        ),
        Invalid::RequestObject(_) => (
            "request_uri_not_supported",
            "request objects are not supported".to_owned(),
        ),
        Invalid::Scope(_) => (
            "invalid_scope",
            "the client may not have one of the scopes".to_owned(),
        ),
        Invalid::Challenge => (
            "invalid_request",
            "a code_challenge with code_challenge_method=S256 is required".to_owned(),
        ),
    }
}

fn page(code: &'static str, text: &str) -> Response {
    let alert = Alert {
        code: code.to_owned(),
        text: text.to_owned(),
    };
    reply::outcome(pages::error(&alert, &[]), code)
}
