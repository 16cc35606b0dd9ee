//! Failures of the layers below, as errors that say whose move it is.

use std::time::Duration;

use keyward_oauth::authorization_code::RedirectError;
use keyward_oauth::error_response::ErrorResponse;
use keyward_oauth::id_token::IdTokenError;
use keyward_oauth::metadata::MetadataError;
use keyward_oauth::token_response::TokenError;
use keyward_oauth::transport::{TransportError, UserAgentError};

use crate::error::{AcquireTokenError, AuthorityError, ErrorKind};
use crate::ports::{KeyError, StoreError};
use crate::throttle;

/// AADSTS numbers that say the application is not registered the way it is used: as a confidential
/// client, or for other accounts.
const REGISTRATION: [u64; 2] = [7_000_218, 9_002_346];

impl From<TransportError> for AcquireTokenError {
    fn from(error: TransportError) -> Self {
        let kind = match &error {
            TransportError::Connect { .. } | TransportError::Tls { .. } => ErrorKind::NoNetwork,
            TransportError::TimedOut { .. } | TransportError::Broken { .. } => {
                ErrorKind::ServerTemporarilyUnavailable
            }
            TransportError::Insecure { .. } => ErrorKind::IncorrectConfiguration,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<StoreError> for AcquireTokenError {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::KeyLost { .. } => ErrorKind::InteractionRequired,
            StoreError::KeyUnavailable { .. } => ErrorKind::KeyUnavailable,
            _ => ErrorKind::Storage,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<KeyError> for AcquireTokenError {
    fn from(error: KeyError) -> Self {
        let kind = match error {
            KeyError::Lost(_) => ErrorKind::KeyNotFound,
            KeyError::Unavailable(_) => ErrorKind::KeyUnavailable,
            KeyError::Refused(_) => ErrorKind::Storage,
            KeyError::PinRequired(_) => ErrorKind::InteractionRequired,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<MetadataError> for AcquireTokenError {
    fn from(error: MetadataError) -> Self {
        let kind = match error {
            MetadataError::Status(429 | 500..) => ErrorKind::ServerTemporarilyUnavailable,
            _ => ErrorKind::InvalidResponse,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<IdTokenError> for AcquireTokenError {
    fn from(error: IdTokenError) -> Self {
        Self::new(ErrorKind::InvalidResponse, error.to_string())
    }
}

impl From<UserAgentError> for AcquireTokenError {
    fn from(error: UserAgentError) -> Self {
        let kind = match error {
            UserAgentError::Canceled => ErrorKind::UserCanceled,
            UserAgentError::Unavailable(_) | UserAgentError::Listen(_) => {
                ErrorKind::IncorrectConfiguration
            }
        };
        Self::new(kind, error.to_string())
    }
}

impl From<RedirectError> for AcquireTokenError {
    fn from(error: RedirectError) -> Self {
        match error {
            RedirectError::Refused(response) => from_redirect(&response),
            other => Self::new(ErrorKind::InvalidResponse, other.to_string()),
        }
    }
}

impl From<TokenError> for AcquireTokenError {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::Refused(refusal) if refusal.is_temporary() => {
                temporary(message, refusal.status, refusal.retry_after)
                    .with_authority(said(&refusal.error))
            }
            TokenError::Refused(refusal) => {
                let kind = kind_of(&refusal.error);
                refused(kind, message, &refusal.error).with_retry_after(refusal.retry_after)
            }
            TokenError::Unavailable {
                status: status @ (429 | 500..),
                retry_after,
            } => temporary(message, status, retry_after),
            TokenError::Unavailable { .. } | TokenError::Invalid(_) => {
                Self::new(ErrorKind::InvalidResponse, message)
            }
        }
    }
}

fn temporary(message: String, status: u16, retry_after: Option<Duration>) -> AcquireTokenError {
    let overloaded = (status == 429).then_some(throttle::DEFAULT);
    let retry_after = retry_after.or(overloaded);
    AcquireTokenError::new(ErrorKind::ServerTemporarilyUnavailable, message)
        .with_retry_after(retry_after)
}

/// An error in the authorization response (RFC 6749 §4.1.2.1).
fn from_redirect(response: &ErrorResponse) -> AcquireTokenError {
    let message = format!("the authority refused: {response}");
    let kind = match response.error.as_str() {
        "access_denied" => ErrorKind::UserCanceled,
        _ if response.is_temporary() => ErrorKind::ServerTemporarilyUnavailable,
        _ => kind_of(response),
    };
    refused(kind, message, response)
}

fn kind_of(response: &ErrorResponse) -> ErrorKind {
    match response.error.as_str() {
        _ if is_about_registration(response) => ErrorKind::IncorrectConfiguration,
        "invalid_client" | "unauthorized_client" => ErrorKind::IncorrectConfiguration,
        _ if response.interaction_required() => ErrorKind::InteractionRequired,
        _ => ErrorKind::Rejected,
    }
}

fn is_about_registration(response: &ErrorResponse) -> bool {
    let mut codes = response.codes.iter();
    response.refuses_redirect_uri() || codes.any(|code| REGISTRATION.contains(code))
}

fn refused(kind: ErrorKind, message: String, response: &ErrorResponse) -> AcquireTokenError {
    let message = match kind {
        ErrorKind::IncorrectConfiguration => format!(
            "{message}; check how the application is registered there: it must be a public client, \
             with the redirect URI http://localhost unless it has a loopback address of its own"
        ),
        _ => message,
    };
    let claims = response.claims.clone();
    AcquireTokenError::new(kind, message)
        .with_claims(claims)
        .with_authority(said(response))
}

#[allow(clippy::unnecessary_wraps)] // what `with_authority` takes
pub(crate) fn said(response: &ErrorResponse) -> Option<AuthorityError> {
    Some(AuthorityError {
        error: response.error.clone(),
        description: response.description.clone(),
        suberror: response.suberror.clone(),
        codes: response.codes.clone(),
        correlation_id: response.correlation_id.clone(),
    })
}

#[cfg(test)]
mod tests;
