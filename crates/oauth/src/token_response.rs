//! The answer of the token endpoint (RFC 6749 §5), with Entra's additions (`device-binding.md`
//! 4.3).

use std::time::Duration;

use http::StatusCode;

use crate::answer::{Answer, InvalidAnswer};
use crate::client_info::ClientInfo;
use crate::error_response::ErrorResponse;
use crate::http_date;
use crate::id_token::UnverifiedIdToken;
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdTokenText, RefreshToken};
use crate::time::UnixTime;
use crate::transport::HttpResponse;

/// A successful answer. Who it is for is only known once the ID token is verified.
#[derive(Debug)]
pub struct TokenResponse {
    /// `token_type`, as written; compared without regard to case (RFC 6749 §5.1).
    pub token_type: String,
    /// `access_token`.
    pub access_token: AccessToken,
    /// `refresh_token`. On refresh, `None` means that the old one stays valid (RFC 6749 §6).
    pub refresh_token: Option<RefreshToken>,
    /// `id_token`.
    pub id_token: Option<UnverifiedIdToken>,
    /// `scope`. `None`: exactly what was asked for (RFC 6749 §5.1).
    pub scopes: Option<Scopes>,
    /// `expires_in`. `None`: the authority does not say.
    pub expires_in: Option<Duration>,
    /// `ext_expires_in`: how long the access token may be used during an outage.
    pub ext_expires_in: Option<Duration>,
    /// `refresh_in`: after which time to renew ahead of need.
    pub refresh_in: Option<Duration>,
    /// `refresh_token_expires_in`.
    pub refresh_token_expires_in: Option<Duration>,
    /// `client_info`: who it is for, in Entra's numbering. As trustworthy as the connection.
    pub client_info: Option<ClientInfo>,
    /// `foci`: the family of applications the refresh token works for.
    pub foci: Option<String>,
}

impl TokenResponse {
    /// Whether the token's type is this one.
    pub fn is_type(&self, token_type: &str) -> bool {
        self.token_type.eq_ignore_ascii_case(token_type)
    }
}

/// Reads the answer of the token endpoint. `now` turns a `Retry-After` date into a duration.
///
/// # Errors
///
/// As [`TokenError`] says.
pub fn read(response: &HttpResponse, now: UnixTime) -> Result<TokenResponse, TokenError> {
    let parsed = Answer::parse(&response.body);
    if response.status == StatusCode::OK
        && let Ok(answer) = parsed
    {
        return success(answer);
    }
    let retry_after = http_date::retry_after(&response.headers, now);
    let status = response.status.as_u16();
    match parsed.and_then(|mut answer| ErrorResponse::from_answer(&mut answer)) {
        Ok(Some(error)) => Err(TokenError::Refused(Box::new(Refusal {
            error,
            status,
            retry_after,
        }))),
        Err(why) if response.status.is_success() => Err(TokenError::Invalid(why)),
        _ => Err(TokenError::Unavailable {
            status,
            retry_after,
        }),
    }
}

fn success(mut answer: Answer) -> Result<TokenResponse, TokenError> {
    if let Some(error) = ErrorResponse::from_answer(&mut answer)? {
        // Some authorities answer errors with 200.
        return Err(TokenError::Refused(Box::new(Refusal {
            error,
            status: StatusCode::OK.as_u16(),
            retry_after: None,
        })));
    }
    Ok(TokenResponse {
        access_token: AccessToken::new(answer.required("access_token")?),
        token_type: answer.required("token_type")?,
        refresh_token: answer.text("refresh_token")?.map(RefreshToken::new),
        id_token: answer
            .text("id_token")?
            .map(|text| UnverifiedIdToken::new(IdTokenText::new(text))),
        scopes: answer.text("scope")?.map(|scopes| Scopes::parse(&scopes)),
        expires_in: answer.seconds("expires_in")?,
        // Hints: one that cannot be read is one that was not given.
        ext_expires_in: answer.seconds("ext_expires_in").unwrap_or_default(),
        refresh_in: answer.seconds("refresh_in").unwrap_or_default(),
        refresh_token_expires_in: answer
            .seconds("refresh_token_expires_in")
            .unwrap_or_default(),
        client_info: answer
            .text("client_info")?
            .map(|text| ClientInfo::parse(&text))
            .transpose()
            .map_err(|_| InvalidAnswer::Malformed("client_info"))?,
        foci: answer.text("foci").unwrap_or_default(),
    })
}

/// An error of the token endpoint in the authority's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it said.
    pub error: ErrorResponse,
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Whether the same request may succeed later: 429, 5xx, or the error says so, as does one that
    /// brings the nonce for the next proof.
    pub fn is_temporary(&self) -> bool {
        let error = &self.error;
        self.status == 429 || self.status >= 500 || error.is_temporary() || error.wants_dpop_nonce()
    }
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The authority refused and said why.
    #[error("the authority refused: {}", .0.error)]
    Refused(Box<Refusal>),
    /// The authority, or something before it, answered without saying why.
    #[error("the authority answered {status}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The answer breaks the protocol.
    #[error("the authority's token response cannot be used: {0}")]
    Invalid(#[from] InvalidAnswer),
}

impl TokenError {
    /// What the authority said, if it did.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
