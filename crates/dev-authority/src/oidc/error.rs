//! Errors of the back channel (RFC 6749 §5.2).

use std::borrow::Cow;

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::reply;

/// An error of the token endpoint and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) description: Cow<'static, str>,
}

impl OAuthError {
    pub(crate) fn new(error: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
        }
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The grant is no good. One text for everything a thief might like to tell apart.
    pub(crate) fn invalid_grant() -> Self {
        Self::new(
            "invalid_grant",
            "the grant is unknown, expired, revoked, used or not for this client and key",
        )
    }

    pub(crate) fn invalid_client() -> Self {
        let error = Self::new(
            "invalid_client",
            "the client is unknown, or is public and must not authenticate",
        );
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..error
        }
    }

    /// All is well but the proof's nonce (RFC 9449 §8).
    pub(crate) fn use_dpop_nonce() -> Self {
        Self::new("use_dpop_nonce", "the proof needs the nonce in DPoP-Nonce")
    }

    pub(crate) fn server_error() -> Self {
        let error = Self::new("server_error", "the authority could not sign");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..error
        }
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        reply::outcome(reply::json(self.status, &body), self.error)
    }
}
