//! Refreshing an access token (RFC 6749 §6).

use url::Url;

use crate::form::Form;
use crate::identifiers::ClientId;
use crate::scope::Scopes;
use crate::secret::RefreshToken;
use crate::token_request::{self, TokenOptions};
use crate::transport::HttpRequest;

/// A refresh token and what it is redeemed for.
#[derive(Clone, Copy, Debug)]
pub struct RefreshRequest<'a> {
    /// `token_endpoint` of the authority; the `htu` of a DPoP proof.
    pub token_endpoint: &'a Url,
    /// The client the token was issued to.
    pub client_id: &'a ClientId,
    /// The token.
    pub refresh_token: &'a RefreshToken,
    /// The scopes, sent as they are. Entra takes any resource's; elsewhere they must be among
    /// those granted. Empty: all that were granted.
    pub scopes: &'a Scopes,
}

impl RefreshRequest<'_> {
    /// The token request. A proof must be by the key the refresh token is bound to (RFC 9449 §5).
    pub fn to_http(&self, options: &TokenOptions<'_>, dpop_proof: Option<&str>) -> HttpRequest {
        let scopes = self.scopes.to_string();
        let mut form = Form::default();
        form.push("grant_type", "refresh_token");
        form.push("client_id", self.client_id.as_str());
        form.push("refresh_token", self.refresh_token.expose_secret());
        token_request::finish(
            form,
            self.token_endpoint,
            Some(&scopes),
            options,
            dpop_proof,
        )
    }
}

#[cfg(test)]
mod tests;
