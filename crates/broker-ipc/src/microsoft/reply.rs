//! Replies (`linux-broker-dbus.md` 4): five mandatory fields, milliseconds, and every requested
//! scope among the granted ones.

use serde::Serialize;

use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::time::UnixTime;
use keyward_client::request::TokenRequest;
use keyward_client::result::{AuthenticationResult, TokenType};

use super::account::{SentAccount, client_info};
use super::id_token;

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenReply<'a> {
    broker_token_response: TokenResponse<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenResponse<'a> {
    access_token: &'a str,
    access_token_type: u8,
    account: SentAccount<'a>,
    client_info: String,
    expires_on: u64,
    extended_expires_on: u64,
    granted_scopes: String,
    id_token: String,
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
    serialize(&TokenReply {
        broker_token_response: TokenResponse {
            access_token: result.access_token.expose_secret(),
            access_token_type,
            account: SentAccount::of(&result.account),
            client_info: client_info(&result.account.home_account_id),
            expires_on: result.expires_on.as_millis(),
            extended_expires_on: result
                .ext_expires_on
                .map_or(result.expires_on.as_millis(), UnixTime::as_millis),
            granted_scopes: granted,
            id_token: id_token::for_client(result, &asked.client_id),
        },
    })
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
    serialize(&Accounts { accounts }).unwrap_or_else(|_| r#"{"accounts":[]}"#.to_owned())
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

fn serialize(value: &impl Serialize) -> Result<String, AcquireTokenError> {
    serde_json::to_string(value).map_err(|error| {
        AcquireTokenError::new(
            ErrorKind::Unexpected,
            format!("the reply cannot be written: {error}"),
        )
    })
}

#[cfg(test)]
mod tests;
