//! How a scripted fault ends a request.

use std::io;

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::faults::{Ending, Endpoint};
use crate::reply;
use crate::tenant::Tenant;

/// Marks an answer whose connection is closed without it.
#[derive(Clone, Copy)]
pub(crate) struct Unanswered;

/// The answer a fault gives instead of the endpoint's.
pub(crate) fn answer(
    call: &Call,
    ending: Ending,
    (endpoint, tenant): (Endpoint, Option<Tenant>),
) -> Response {
    match ending {
        Ending::RetryAfter { status, seconds } => retry_after(call, status, seconds, tenant),
        Ending::Status500 => {
            let html = "<!DOCTYPE html><title>500</title><h1>Internal Server Error</h1>";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let response = reply::with_body(status, "text/html; charset=utf-8", html.to_owned());
            reply::outcome(response, "fault:status500")
        }
        Ending::Garbage => garbage(endpoint),
        Ending::Drop | Ending::LoseAnswer => unanswered("fault:drop"),
    }
}

/// Closes the connection: hyper gives up on an answer whose body fails before it has sent any of
/// it.
pub(crate) fn unanswered(outcome: &'static str) -> Response {
    let failing = stream::once(async { Err::<Vec<u8>, _>(io::Error::other("scripted")) });
    let mut response = Response::new(Body::from_stream(failing));
    response.extensions_mut().insert(Unanswered);
    reply::outcome(response, outcome)
}

fn retry_after(call: &Call, status: u16, seconds: u32, tenant: Option<Tenant>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let response = match tenant {
        Some(Tenant::Entra) => Aadsts::throttled(status).response(call),
        _ => reply::json(status, &json!({"error": "temporarily_unavailable"})),
    };
    let response = reply::with_header(response, RETRY_AFTER, &seconds.to_string());
    reply::outcome(response, "fault:retry_after")
}

fn garbage(endpoint: Endpoint) -> Response {
    let (content_type, body) = match endpoint {
        Endpoint::Authorize => ("text/html; charset=utf-8", "<p>nothing you could use</p>"),
        _ => ("application/json", "{\"access_token\": \"garb\u{fffd}ge"),
    };
    let response = reply::with_body(StatusCode::OK, content_type, body.to_owned());
    reply::outcome(response, "fault:garbage")
}
