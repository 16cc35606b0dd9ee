//! What every token request carries beside its grant (RFC 6749 §4.1.3, §6; `device-binding.md` 3,
//! 4.3).

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::dpop;
use crate::form::Form;
use crate::identifiers::CorrelationId;
use crate::scope::Scopes;
use crate::transport::HttpRequest;

/// Which habits the authority has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 6749 and OpenID Connect, nothing else.
    OpenId,
    /// Entra ID v2: `client_info`, scopes at the code exchange, correlation headers.
    Entra,
}

/// How the access token is to be bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenBinding {
    /// As the authority does it.
    #[default]
    AsIssued,
    /// `token_type=DPoP`: asks an authority that binds only refresh tokens to bind this access
    /// token as well.
    Dpop,
    /// `token_type=pop` and `req_cnf`: Entra's bound access tokens (`device-binding.md` 3).
    Pop {
        /// From [`shr::req_cnf`](crate::shr::req_cnf).
        req_cnf: String,
    },
}

/// What a token request asks for beside its grant.
#[derive(Clone, Debug)]
pub struct TokenOptions<'a> {
    /// The authority's habits.
    pub dialect: Dialect,
    /// The `claims` parameter (OpenID Connect Core §5.5), JSON text.
    pub claims: Option<&'a str>,
    /// How the access token is to be bound.
    pub binding: TokenBinding,
    /// Sent to Entra as `client-request-id`.
    pub correlation_id: CorrelationId,
    /// Parameters of the application's, passed on as they are. They add, and never replace what
    /// the protocol sends.
    pub extra_parameters: &'a BTreeMap<String, String>,
}

/// Finishes a token request: adds to the grant's own parameters what the options say, and the
/// `DPoP` header.
pub(crate) fn finish<'a>(
    mut form: Form<'a>,
    token_endpoint: &url::Url,
    scopes: Option<&'a str>,
    options: &'a TokenOptions<'_>,
    dpop_proof: Option<&str>,
) -> HttpRequest {
    form.push_some("scope", scopes.filter(|scopes| !scopes.is_empty()));
    form.push_some("claims", options.claims);
    match &options.binding {
        TokenBinding::AsIssued => {}
        TokenBinding::Dpop => form.push("token_type", "DPoP"),
        TokenBinding::Pop { req_cnf } => {
            form.push("token_type", "pop");
            form.push("req_cnf", req_cnf);
        }
    }
    if options.dialect == Dialect::Entra {
        form.push("client_info", "1");
    }
    for (name, value) in options.extra_parameters {
        if !RESERVED.contains(&name.as_str()) {
            form.push(name, value);
        }
    }
    let mut request = form.post(token_endpoint);
    if options.dialect == Dialect::Entra {
        correlate(&mut request.headers, options.correlation_id);
    }
    if let Some(proof) = dpop_proof {
        dpop::attach(&mut request, proof);
    }
    request
}

/// The scopes as sent: `openid` is added, since without it there is no ID token to say who signed
/// in, and `offline_access`, since without it there is no refresh token (OpenID Connect Core §11).
pub fn with_identity(scopes: &Scopes) -> Scopes {
    Scopes::parse("openid profile offline_access").union(scopes)
}

/// Parameters that only the protocol may send.
pub(crate) const RESERVED: [&str; 22] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_info",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "dpop_jkt",
    "grant_type",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "req_cnf",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "token_type",
];

/// The headers that let Entra's operators find this request in their logs.
fn correlate(headers: &mut HeaderMap, id: CorrelationId) {
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("client-request-id"), id);
    }
    headers.insert(
        HeaderName::from_static("return-client-request-id"),
        HeaderValue::from_static("true"),
    );
}
