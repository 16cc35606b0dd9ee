//! Replies (`linux-broker-dbus.md` 4): five mandatory fields, milliseconds, and every requested
//! scope among the granted ones.

use serde::Serialize;

use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::time::UnixTime;
use keyward_client::request::TokenRequest;
use keyward_client::result::{AuthenticationResult, TokenType};

use crate::json::Object;

use super::account::SentAccount;
use super::id_token;

/// Bytes of a reply with usual tokens.
const USUAL_LENGTH: usize = 4096;

/// What has to be known of a request to answer it.
pub(super) struct Asked {
    scopes: Scopes,
    client_id: String,
}

impl Asked {
    pub(super) fn of(request: &TokenRequest) -> Self {
        Self {
            scopes: request.scopes.clone(),
            client_id: request.client_id.as_str().to_owned(),
        }
    }
}

/// The reply to a token request that succeeded.
pub(super) fn token(
    result: &AuthenticationResult,
    asked: &Asked,
) -> Result<String, AcquireTokenError> {
    let access_token_type = match result.token_type {
        TokenType::Bearer => 0,
        TokenType::Pop => 1,
        // Its clients know no way to use it.
        TokenType::Dpop => {
            return Err(AcquireTokenError::new(
                ErrorKind::IncorrectConfiguration,
                "the authority issued a DPoP-bound access token, which Microsoft's clients cannot \
                 use: set dpop = \"off\" for this authority, or ask for PoP",
            ));
        }
    };
    let granted = match asked.scopes.union(&result.scopes).to_string() {
        none if none.is_empty() => "openid profile".to_owned(),
        granted => granted,
    };
    let account = SentAccount::of(&result.account);
    let expires_on = result.expires_on.as_millis();
    let extended = result
        .ext_expires_on
        .map_or(expires_on, UnixTime::as_millis);
    let mut response = Object::with_capacity(USUAL_LENGTH);
    response
        .text("accessToken", result.access_token.expose_secret())
        .number("accessTokenType", access_token_type)
        .object("account", account.to_json())
        .text("clientInfo", account.client_info())
        .number("expiresOn", expires_on)
        .number("extendedExpiresOn", extended)
        .text("grantedScopes", &granted)
        .text("idToken", &id_token::for_client(result, &asked.client_id));
    let mut reply = Object::with_capacity(USUAL_LENGTH);
    reply.object("brokerTokenResponse", response);
    Ok(reply.finish())
}

/// The reply to `getAccounts`.
pub(super) fn accounts(accounts: &[AccountInfo]) -> String {
    #[derive(Serialize)]
    struct Accounts<'a> {
        accounts: Vec<SentAccount<'a>>,
    }
    let accounts = accounts
        .iter()
        .map(SentAccount::of)
        .filter(SentAccount::is_complete)
        .collect();
    // INVARIANT: texts and a number always serialize.
    serde_json::to_string(&Accounts { accounts }).unwrap_or_default()
}

/// The reply to `getLinuxBrokerVersion`.
pub(super) fn version() -> String {
    format!(
        r#"{{"linuxBrokerVersion":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

/// The reply to a request to remove an account. Not empty, because clients take `{}` for an error.
pub(super) fn signed_out() -> String {
    r#"{"removed":true}"#.to_owned()
}

#[cfg(test)]
mod tests;
