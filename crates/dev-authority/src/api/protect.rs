//! Admitting a request to a protected resource: Bearer (RFC 6750), DPoP (RFC 9449 §7), and PoP,
//! Entra's signed HTTP requests.

use axum::response::Response;
use http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::call::Call;
use crate::dpop::{self, ProofError};
use crate::faults::Twist;
use crate::nonces::Purpose;
use crate::oidc::token::DPOP_NONCE;
use crate::reply;
use crate::shr;
use crate::state::State;
use crate::tokens::access::Confirmation;
use crate::tokens::checked::{self, AccessToken};

const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");
const REALM: &str = "keyward-dev";

/// How a token was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
    Pop,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
            Self::Pop => "PoP",
        }
    }

    /// Scheme names are case-insensitive (RFC 9110 §11.1).
    fn parse(text: &str) -> Option<Self> {
        [Self::Bearer, Self::Dpop, Self::Pop]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

/// A token that is good and was presented by whoever it is bound to.
pub(crate) struct Presented {
    pub(crate) scheme: Scheme,
    pub(crate) token: AccessToken,
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    /// The scheme that was tried; `None` if none was.
    scheme: Option<Scheme>,
    error: Option<&'static str>,
    description: &'static str,
}

impl Failure {
    fn new(scheme: Scheme, error: &'static str, description: &'static str) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self {
            status,
            scheme: Some(scheme),
            error: Some(error),
            description,
        }
    }

    /// A token that is not good here.
    pub(crate) fn invalid_token(scheme: Scheme, description: &'static str) -> Self {
        Self::new(scheme, "invalid_token", description)
    }

    /// No credentials at all: no error is named (RFC 6750 §3.1).
    const fn nothing_presented() -> Self {
        let description = "present an access token";
        Self {
            status: StatusCode::UNAUTHORIZED,
            scheme: None,
            error: None,
            description,
        }
    }

    /// Credentials that cannot be read (RFC 6750 §3.1).
    const fn unreadable(description: &'static str) -> Self {
        let (status, error) = (StatusCode::BAD_REQUEST, Some("invalid_request"));
        Self {
            status,
            scheme: None,
            error,
            description,
        }
    }

    /// A good token for something else.
    pub(crate) fn insufficient_scope(scheme: Scheme) -> Self {
        let failure = Self::new(scheme, "insufficient_scope", "the scope openid is needed");
        Self {
            status: StatusCode::FORBIDDEN,
            ..failure
        }
    }
}

/// Admits a request, or says why not.
pub(crate) fn authenticate(state: &State, call: &Call) -> Result<Presented, Failure> {
    if !call.headers.contains_key(AUTHORIZATION) {
        return Err(Failure::nothing_presented());
    }
    let header = call
        .header(AUTHORIZATION.as_str())
        .ok_or(Failure::unreadable(
            "there is more than one Authorization header, or it is no text",
        ))?;
    let (scheme, credentials) = header
        .split_once(' ')
        .ok_or(Failure::unreadable("the Authorization header has no value"))?;
    let credentials = credentials.trim();
    match Scheme::parse(scheme) {
        Some(Scheme::Bearer) => bearer(state, call, credentials),
        Some(Scheme::Dpop) => dpop(state, call, credentials),
        Some(Scheme::Pop) => pop(state, call, credentials),
        None => Err(Failure::nothing_presented()),
    }
}

/// RFC 6750; a bound token is not a bearer token (RFC 9449 §7.2).
fn bearer(state: &State, call: &Call, text: &str) -> Result<Presented, Failure> {
    let scheme = Scheme::Bearer;
    let token = token(state, call, scheme, text)?;
    match token.confirmation {
        Confirmation::Bearer => Ok(Presented { scheme, token }),
        _ => Err(Failure::invalid_token(
            scheme,
            "the access token is bound to a key",
        )),
    }
}

/// RFC 9449 §7.1.
fn dpop(state: &State, call: &Call, text: &str) -> Result<Presented, Failure> {
    let scheme = Scheme::Dpop;
    let token = token(state, call, scheme, text)?;
    let Confirmation::Jkt(jkt) = &token.confirmation else {
        return Err(Failure::invalid_token(
            scheme,
            "the access token names no proof key",
        ));
    };
    let expected = dpop::Expected {
        purpose: Purpose::ResourceServer,
        access_token: Some(text),
    };
    let proof = dpop::check(state, call, expected).map_err(|error| match error {
        ProofError::Invalid(why) => Failure::new(scheme, "invalid_dpop_proof", why),
        ProofError::Nonce => Failure::new(
            scheme,
            "use_dpop_nonce",
            "the proof needs the nonce in DPoP-Nonce",
        ),
    })?;
    let proof =
        proof.ok_or_else(|| Failure::new(scheme, "invalid_dpop_proof", "the proof is missing"))?;
    if proof.thumbprint != *jkt {
        return Err(Failure::invalid_token(
            scheme,
            "the proof's key is not the access token's",
        ));
    }
    Ok(Presented { scheme, token })
}

/// A signed request carries its access token inside.
fn pop(state: &State, call: &Call, text: &str) -> Result<Presented, Failure> {
    let scheme = Scheme::Pop;
    let invalid = |why| Failure::invalid_token(scheme, why);
    let request = shr::check(state, call, text).map_err(invalid)?;
    let token = token(state, call, scheme, &request.access_token)?;
    let named = match &token.confirmation {
        Confirmation::Bearer => return Err(invalid("the access token names no key")),
        Confirmation::Jkt(jkt) => jkt.as_str(),
        Confirmation::Kid { kid, .. } => kid.as_str(),
    };
    if named != request.thumbprint.as_str() {
        return Err(invalid("the signing key is not the access token's"));
    }
    request.use_up(state, call.now).map_err(invalid)?;
    Ok(Presented { scheme, token })
}

fn token(state: &State, call: &Call, scheme: Scheme, text: &str) -> Result<AccessToken, Failure> {
    let twisted = match call.twist {
        Some(Twist::Expired) => Some("the access token has expired"),
        Some(Twist::Revoked) => Some("the access token was revoked"),
        Some(Twist::WrongIssuer) => Some("the access token is of another issuer"),
        _ => None,
    };
    match twisted {
        Some(why) => Err(Failure::invalid_token(scheme, why)),
        None => {
            checked::check(state, text, call.now).map_err(|why| Failure::invalid_token(scheme, why))
        }
    }
}

/// The refusal: a challenge for the scheme that was tried, or one for each.
pub(crate) fn refuse(state: &State, call: &Call, failure: &Failure) -> Response {
    let body = json!({
        "error": failure.error.unwrap_or("unauthorized"),
        "error_description": failure.description,
    });
    let mut response = reply::json(failure.status, &body);
    let every = [Scheme::Bearer, Scheme::Dpop, Scheme::Pop];
    for scheme in every {
        if failure.scheme.is_none_or(|tried| tried == scheme) {
            let challenge = challenge(state, call, scheme, failure);
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                response.headers_mut().append(WWW_AUTHENTICATE, challenge);
            }
        }
    }
    if failure.scheme.is_none_or(|tried| tried == Scheme::Dpop) {
        let nonce = state.nonces.issue(Purpose::ResourceServer, call.now);
        response = reply::with_header(response, DPOP_NONCE, &nonce);
    }
    reply::outcome(response, failure.error.unwrap_or("unauthorized"))
}

/// RFC 6750 §3, RFC 9449 §7.1; PoP as Microsoft's resources write it.
fn challenge(state: &State, call: &Call, scheme: Scheme, failure: &Failure) -> String {
    let own = match scheme {
        Scheme::Bearer => format!("Bearer realm=\"{REALM}\""),
        Scheme::Dpop => format!("DPoP algs=\"{}\"", dpop::ALGORITHMS.join(" ")),
        Scheme::Pop => {
            let nonce = state.nonces.issue(Purpose::SignedRequest, call.now);
            format!("PoP nonce=\"{nonce}\", realm=\"{REALM}\"")
        }
    };
    match failure.error {
        None => own,
        Some(error) => {
            format!(
                "{own}, error=\"{error}\", error_description=\"{}\"",
                failure.description
            )
        }
    }
}

/// Offers the nonce for the next request along with an answer.
pub(crate) fn with_nonce(
    state: &State,
    call: &Call,
    scheme: Scheme,
    response: Response,
) -> Response {
    match scheme {
        Scheme::Bearer => response,
        Scheme::Dpop => {
            let nonce = state.nonces.issue(Purpose::ResourceServer, call.now);
            reply::with_header(response, DPOP_NONCE, &nonce)
        }
        Scheme::Pop => {
            let nonce = state.nonces.issue(Purpose::SignedRequest, call.now);
            let info = format!("PoP nextnonce=\"{nonce}\", realm=\"{REALM}\"");
            reply::with_header(response, AUTHENTICATION_INFO, &info)
        }
    }
}
