//! Errors as Entra writes them (`device-binding.md` 4.4).

mod table;

use axum::response::Response;
use http::{HeaderName, StatusCode};
use serde_json::json;

use crate::calendar::entra_timestamp;
use crate::call::Call;
use crate::pages::{self, Alert};
use crate::reply;

/// One error: Entra's number, OAuth's name for it, and words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aadsts {
    pub(crate) number: u32,
    /// `error` (RFC 6749 §5.2, OpenID Connect Core §3.1.2.6).
    pub(crate) error: &'static str,
    pub(crate) text: String,
    pub(crate) suberror: Option<&'static str>,
    /// What the client is to ask for next, as JSON text.
    pub(crate) claims: Option<&'static str>,
    pub(crate) status: StatusCode,
}

impl Aadsts {
    /// `AADSTS` and the number.
    pub(crate) fn code(&self) -> String {
        format!("AADSTS{}", self.number)
    }

    /// `error_description`: the words, and how to find the request in a log.
    pub(crate) fn description(&self, call: &Call) -> String {
        format!(
            "{}: {}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            self.code(),
            self.text,
            call.trace_id,
            call.correlation_id,
            entra_timestamp(call.now)
        )
    }

    /// The error as JSON.
    pub(crate) fn response(&self, call: &Call) -> Response {
        let mut body = json!({
            "error": self.error,
            "error_description": self.description(call),
            "error_codes": [self.number],
            "timestamp": entra_timestamp(call.now),
            "trace_id": call.trace_id.to_string(),
            "correlation_id": call.correlation_id.to_string(),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = json!(suberror);
        }
        if let Some(claims) = self.claims {
            body["claims"] = json!(claims);
        }
        let response = reply::outcome(reply::json(self.status, &body), self.error);
        with_ids(response, call)
    }

    /// The error as a page, when no client can be told.
    pub(crate) fn page(&self, call: &Call) -> Response {
        let details = [
            ("Trace ID", call.trace_id.to_string()),
            ("Correlation ID", call.correlation_id.to_string()),
            ("Timestamp", entra_timestamp(call.now)),
        ];
        reply::outcome(pages::error(&self.alert(), &details), self.code())
    }

    /// The error on a page that goes on.
    pub(crate) fn alert(&self) -> Alert {
        Alert {
            code: self.code(),
            text: format!("{}: {}", self.code(), self.text),
        }
    }
}

/// Adds the headers that name the request: always `x-ms-request-id`, and the client's own id if it
/// asked for it back.
pub(crate) fn with_ids(response: Response, call: &Call) -> Response {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
    const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
    let response = reply::with_header(response, REQUEST_ID, &call.trace_id.to_string());
    let wanted = call.header("return-client-request-id");
    if wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case("true")) {
        return reply::with_header(
            response,
            CLIENT_REQUEST_ID,
            &call.correlation_id.to_string(),
        );
    }
    response
}
