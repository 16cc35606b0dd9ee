//! What tests are told about issued refresh tokens.

use std::fmt;

use keyward_oauth::time::UnixTime;
use serde::Serialize;

use crate::tenant::Tenant;

/// A refresh token that was issued, for tests that search for it where it must not be.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IssuedRefreshToken {
    /// The token itself.
    pub refresh_token: String,
    /// The tenant that issued it.
    pub tenant: Tenant,
    /// The user's `preferred_username`.
    pub user: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The thumbprint of the key it is bound to.
    pub jkt: Option<String>,
    /// When, in seconds since the epoch.
    pub issued_at: UnixTime,
    /// How often it was redeemed. More than once means that whoever holds it lost the answer, or
    /// lost what was in it.
    pub redeemed: u32,
    /// Whether it, or its family, was revoked.
    pub revoked: bool,
}

/// Shows everything but the token.
impl fmt::Debug for IssuedRefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedRefreshToken")
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}
