//! How the authority behaves where real ones differ.

use std::time::Duration;

/// What the OpenID tenant binds to the key of a DPoP proof. Real providers do either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OidcMode {
    /// Only the refresh token; access tokens are Bearer unless the token request carries
    /// `token_type=DPoP`.
    #[default]
    RefreshTokenOnly,
    /// Access token and refresh token.
    Both,
}

/// Everything adjustable, with the defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) mode: OidcMode,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) refresh_token_lifetime: Duration,
    pub(crate) code_lifetime: Duration,
    pub(crate) device_code_lifetime: Duration,
    pub(crate) device_interval: Duration,
    /// How long a nonce is good (RFC 9449 §8, §9).
    pub(crate) nonce_lifetime: Duration,
    /// How old a proof may be, and how far in the future (RFC 9449 §11.1).
    pub(crate) proof_window: Duration,
    /// Whether the demo API insists on a nonce of its own in signed HTTP requests.
    pub(crate) pop_nonce_required: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: OidcMode::default(),
            access_token_lifetime: Duration::from_secs(4799),
            refresh_token_lifetime: Duration::from_secs(90 * 24 * 3600),
            code_lifetime: Duration::from_secs(600),
            device_code_lifetime: Duration::from_secs(900),
            device_interval: Duration::from_secs(5),
            nonce_lifetime: Duration::from_secs(300),
            proof_window: Duration::from_secs(300),
            pop_nonce_required: false,
        }
    }
}
