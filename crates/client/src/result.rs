//! What applications get.

use keyward_oauth::identifiers::CorrelationId;
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::{AccessToken, IdTokenText};
use keyward_oauth::time::UnixTime;

use crate::account::AccountInfo;
use crate::binding::{Binding, KeyProtection};

/// A successful acquisition. Never holds a refresh token.
#[derive(Clone, Debug)]
pub struct AuthenticationResult {
    /// The access token; for [`TokenType::Pop`] the finished signed HTTP request.
    pub access_token: AccessToken,
    /// How to present it.
    pub token_type: TokenType,
    /// The scopes granted.
    pub scopes: Scopes,
    /// When the access token ends.
    pub expires_on: UnixTime,
    /// Until when it may be used during an outage (`ext_expires_in`).
    pub ext_expires_on: Option<UnixTime>,
    /// When it should be renewed ahead of time (`refresh_in`).
    pub refresh_on: Option<UnixTime>,
    /// For whom it is.
    pub account: AccountInfo,
    /// The ID token exactly as the authority issued it.
    pub id_token: Option<IdTokenText>,
    /// The issuer the token came from.
    pub authority: String,
    /// From the cache or from the authority.
    pub token_source: TokenSource,
    /// What ties the refresh token behind it to this device. `None`: this broker does not say.
    /// Keyward's always does.
    pub binding: Option<Binding>,
    /// Where the key of that binding lives. `None`: this broker does not say.
    pub key_protection: Option<KeyProtection>,
    /// The first DPoP proof, when the request named a target.
    pub dpop_proof: Option<String>,
    /// The request's correlation id.
    pub correlation_id: CorrelationId,
}

/// How an access token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// `Authorization: Bearer` (RFC 6750).
    Bearer,
    /// `Authorization: PoP`, the token being a signed HTTP request.
    Pop,
    /// `Authorization: DPoP` with a `DPoP` header (RFC 9449).
    Dpop,
}

impl TokenType {
    /// The HTTP authentication scheme.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Pop => "PoP",
            Self::Dpop => "DPoP",
        }
    }

    /// Reads a `token_type` of a token response, without regard to case (RFC 6749 §5.1).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bearer, Self::Pop, Self::Dpop]
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(text))
    }
}

/// Where an access token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// It was still fresh.
    Cache,
    /// The authority issued it for this request.
    IdentityProvider,
}
