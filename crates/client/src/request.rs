//! What applications ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward_oauth::identifiers::{ClientId, CorrelationId};
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::AccessToken;

use crate::account::AccountSelector;

pub use crate::demands::Demands;

/// What silent and interactive requests have in common. Names are MSAL's.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The application's client id.
    pub client_id: ClientId,
    /// The authority as the application named it; resolved by
    /// [`AuthorityRules`](crate::authority::AuthorityRules).
    pub authority: String,
    /// The scopes asked for. `openid profile offline_access` are added by the engine.
    pub scopes: Scopes,
    /// How the access token will be used.
    pub scheme: AuthenticationScheme,
    /// The `claims` request parameter (OpenID Connect Core §5.5), JSON text, verbatim. Bypasses
    /// cached access tokens.
    pub claims: Option<String>,
    /// The redirect URI the application registered. `None`: the engine's loopback redirect.
    pub redirect_uri: Option<String>,
    /// Parameters passed on to the authorize and token endpoints as they are.
    pub extra_parameters: BTreeMap<String, String>,
    /// What binding and key have to be.
    pub demands: Demands,
    /// Ties logs and answers together.
    pub correlation_id: CorrelationId,
}

/// A token without any user interaction.
#[derive(Clone, Debug)]
pub struct SilentRequest {
    /// What is asked for.
    pub token: TokenRequest,
    /// For whom.
    pub account: AccountSelector,
    /// When a cached access token may answer.
    pub cache: CachePolicy,
}

/// When a cached access token may answer a silent request.
#[derive(Clone, Debug)]
pub enum CachePolicy {
    /// Whenever one is fresh.
    UseCache,
    /// Never (`forceRefresh`).
    ForceRefresh,
    /// Unless it is this one (`accessTokenToRenew` of Microsoft's broker protocol).
    Renew(AccessToken),
}

/// A token for which a person may have to sign in.
#[derive(Clone, Debug)]
pub struct InteractiveRequest {
    /// What is asked for.
    pub token: TokenRequest,
    /// The account to sign in with: the answer must be for it. `None`: any.
    pub account: Option<AccountSelector>,
    /// Shown to the person as the user name (`login_hint`).
    pub login_hint: Option<String>,
    /// OpenID Connect Core §3.1.2.1 `prompt`.
    pub prompt: Option<Prompt>,
    /// The window the sign-in belongs to.
    pub window: ParentWindow,
    /// How long a person may take. `None`: the engine's default, 285 s.
    pub deadline: Option<Duration>,
}

/// OpenID Connect Core §3.1.2.1 `prompt`, and `create` of its "Initiating User Registration".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// Enter credentials again.
    Login,
    /// Choose among accounts.
    SelectAccount,
    /// Show the consent page.
    Consent,
    /// Create an account.
    Create,
    /// Show nothing; fail instead.
    None,
}

impl Prompt {
    /// Every value, for tables and help texts.
    pub const ALL: [Self; 5] = [
        Self::Login,
        Self::SelectAccount,
        Self::Consent,
        Self::Create,
        Self::None,
    ];

    /// The parameter's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::SelectAccount => "select_account",
            Self::Consent => "consent",
            Self::Create => "create",
            Self::None => "none",
        }
    }

    /// Reads the parameter's value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prompt| prompt.as_str() == text)
    }
}

/// How an access token will be presented to the resource (MSAL's `authenticationScheme`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationScheme {
    /// RFC 6750.
    #[default]
    Bearer,
    /// A finished signed HTTP request takes the token's place (`device-binding.md` 3).
    Pop(PopParameters),
    /// RFC 9449: a token bound to a key of this device, used with a proof per request. With a
    /// target, the answer carries the first proof.
    Dpop(Option<ResourceRequest>),
}

/// The HTTP request a signed HTTP request is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopParameters {
    /// Method, upper case.
    pub method: String,
    /// Host, with the port if there is one.
    pub host: String,
    /// Absolute path without query.
    pub path: String,
    /// The resource's nonce (`shrNonce`), if it gave one.
    pub nonce: Option<String>,
    /// Opaque text to sign along (`shrClaims`).
    pub client_claims: Option<String>,
}

/// The HTTP request a DPoP proof is made for (RFC 9449 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Method, upper case.
    pub method: String,
    /// Absolute URL; query and fragment are dropped.
    pub uri: String,
    /// The resource's nonce, if it gave one.
    pub nonce: Option<String>,
}

/// Asks for one more DPoP proof for a token this broker issued.
#[derive(Clone, Debug)]
pub struct DpopProofRequest {
    /// The application's client id.
    pub client_id: ClientId,
    /// The access token the proof accompanies; it must be one issued to this client from here.
    pub access_token: AccessToken,
    /// The request the proof is for.
    pub resource: ResourceRequest,
}

/// The caller's window. What cannot be used is no error: the sign-in then has no parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ParentWindow {
    /// None is known.
    #[default]
    None,
    /// A number whose meaning the display decides (`parentWindowHandle`); 0 and 1 are no window.
    Handle(u64),
    /// The portal convention: `x11:HEX` or `wayland:TOKEN`.
    Portal(String),
}
