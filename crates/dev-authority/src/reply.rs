//! Answers, and what each means for the request log.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, PRAGMA, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use serde_json::Value;

/// What a request came to: `ok`, or the error's name.
#[derive(Clone, Debug)]
pub(crate) struct Outcome(pub(crate) Cow<'static, str>);

/// Notes what a request came to.
pub(crate) fn outcome(mut response: Response, outcome: impl Into<Cow<'static, str>>) -> Response {
    response.extensions_mut().insert(Outcome(outcome.into()));
    response
}

/// JSON that nobody may keep (RFC 6749 §5.1).
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = with_body(status, "application/json", value.to_string());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// JSON that may be kept: metadata and keys.
pub(crate) fn public_json(value: &Value) -> Response {
    with_body(StatusCode::OK, "application/json", value.to_string())
}

/// A body of some type.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Sends the browser elsewhere. 303, so that a form with a password in it is never sent on
/// (RFC 9700 §4.12).
pub(crate) fn redirect(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::from_str(to) {
        headers.insert(LOCATION, to);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Adds a header. A value that cannot be one is left out.
pub(crate) fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
    response
}

/// There is nothing at this path.
pub(crate) fn not_found() -> Response {
    let text = "there is nothing here\n".to_owned();
    outcome(
        with_body(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text),
        "not_found",
    )
}

/// The path exists, for other methods (RFC 9110 §15.5.6).
pub(crate) fn method_not_allowed(allowed: &[Method]) -> Response {
    let text = "this method is not for this address\n".to_owned();
    let response = with_body(
        StatusCode::METHOD_NOT_ALLOWED,
        "text/plain; charset=utf-8",
        text,
    );
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let response = with_header(response, http::header::ALLOW, &allowed.join(", "));
    outcome(response, "method_not_allowed")
}
