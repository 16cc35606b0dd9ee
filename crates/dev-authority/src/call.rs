//! One request, read completely before anything is decided.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode};
use keyward_oauth::identifiers::CorrelationId;
use keyward_oauth::time::UnixTime;

use crate::faults::Twist;
use crate::origin::{Origin, Scheme};
use crate::params::Params;
use crate::random;
use crate::reply;

/// The largest body read, in bytes.
pub(crate) const LARGEST_BODY: usize = 64 * 1024;

/// One request as the endpoints see it.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) origin: Origin,
    /// The path as it was sent; proofs name it exactly.
    pub(crate) path: String,
    pub(crate) raw_query: Option<String>,
    pub(crate) query: Params,
    /// The body, if it is a form.
    pub(crate) form: Params,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: HeaderMap,
    /// The time at which this request is handled: the clock, and a scripted skew.
    pub(crate) now: UnixTime,
    /// What a script wants to go wrong.
    pub(crate) twist: Option<Twist>,
    pub(crate) correlation_id: CorrelationId,
    pub(crate) trace_id: uuid::Uuid,
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// The refusal to answer: a foreign `Host`, or a body that is too large or broke off.
    pub(crate) async fn read(
        scheme: Scheme,
        request: Request<Body>,
        now: UnixTime,
    ) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let origin = Origin::of(scheme, &parts.uri, &parts.headers).map_err(|_| foreign_host())?;
        let body = to_bytes(body, LARGEST_BODY)
            .await
            .map_err(|_| too_large())?;
        let query = parts.uri.query().unwrap_or_default();
        let mut call = Self {
            query: Params::parse(query.as_bytes()),
            raw_query: parts.uri.query().map(str::to_owned),
            form: Params::default(),
            path: parts.uri.path().to_owned(),
            method: parts.method,
            headers: parts.headers,
            body: body.to_vec(),
            origin,
            now,
            twist: None,
            correlation_id: CorrelationId::from_random(random::octets()),
            trace_id: random::guid(),
        };
        if call.has_form() {
            call.form = Params::parse(&call.body);
        }
        if let Some(id) = call.named_correlation_id() {
            call.correlation_id = id;
        }
        Ok(call)
    }

    /// A header that came exactly once, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The parameters of an authorize request: the query of a GET, the form of a POST (OpenID
    /// Connect Core §3.1.2.1).
    pub(crate) fn parameters(&self) -> &Params {
        if self.method == Method::POST {
            &self.form
        } else {
            &self.query
        }
    }

    /// Whether a script asks for exactly this to go wrong.
    pub(crate) fn is_twisted(&self, twist: Twist) -> bool {
        self.twist == Some(twist)
    }

    fn has_form(&self) -> bool {
        self.header(CONTENT_TYPE.as_str()).is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    }

    /// `client-request-id`, Entra's name for the correlation id.
    fn named_correlation_id(&self) -> Option<CorrelationId> {
        let parameter = || {
            self.query
                .get("client-request-id")
                .or_else(|| self.form.get("client-request-id"))
        };
        self.header("client-request-id")
            .or_else(parameter)
            .and_then(CorrelationId::parse)
    }
}

fn foreign_host() -> Response {
    let text = "this development authority answers to localhost, 127.0.0.1 and [::1] only\n";
    reply::outcome(
        (StatusCode::MISDIRECTED_REQUEST, text).into_response(),
        "foreign_host",
    )
}

fn too_large() -> Response {
    let text = "the request is larger than 64 KiB or broke off\n";
    reply::outcome(
        (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
        "too_large",
    )
}
