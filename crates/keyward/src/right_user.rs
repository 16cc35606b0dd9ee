//! The right-user check: an answer is for the account asked for, or it is an error.

use keyward_client::account::AccountSelector;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::result::AuthenticationResult;

/// Whom the answer must be for.
pub(crate) enum Expected {
    Home(HomeAccountId),
    Username(String),
    Anybody,
}

impl Expected {
    /// What a request's account says about its answer.
    pub(crate) fn of(account: Option<&AccountSelector>) -> Self {
        match account {
            Some(AccountSelector::Home(id)) => Self::Home(id.clone()),
            Some(AccountSelector::Username(name)) => Self::Username(name.clone()),
            Some(AccountSelector::Only) | None => Self::Anybody,
        }
    }

    /// Passes the result on if it is for the right account. Whoever the broker is, a token of
    /// one account is never handed out for another.
    pub(crate) fn check(
        &self,
        result: AuthenticationResult,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let account = &result.account;
        let right = match self {
            // GUIDs: their case carries no meaning.
            Self::Home(id) => id
                .as_str()
                .eq_ignore_ascii_case(account.home_account_id.as_str()),
            Self::Username(name) => name.to_lowercase() == account.username.to_lowercase(),
            Self::Anybody => true,
        };
        if right {
            return Ok(result);
        }
        Err(AcquireTokenError::new(
            ErrorKind::AccountSwitch,
            "the broker answered for another account than the one asked for: sign in with that \
             account, or ask for the one that is signed in",
        ))
    }
}
