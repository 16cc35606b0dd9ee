//! The right-user check: an answer is for the account asked for, or it is an error. And one that
//! rests on less than was demanded is an error, too, whatever the broker makes of demands.

use keyward_client::Demanded;
use keyward_client::account::AccountSelector;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::request::Demands;
use keyward_client::result::AuthenticationResult;

/// What the answer must be.
pub(crate) struct Expected {
    whom: Whom,
    demanded: Demanded,
}

/// Whom the answer must be for.
enum Whom {
    Home(HomeAccountId),
    Username(String),
    Anybody,
}

impl Expected {
    /// What a request's account and demands say about its answer.
    pub(crate) fn of(account: Option<&AccountSelector>, demands: Demands) -> Self {
        Self {
            whom: match account {
                Some(AccountSelector::Home(id)) => Whom::Home(id.clone()),
                Some(AccountSelector::Username(name)) => Whom::Username(name.clone()),
                Some(AccountSelector::Only) | None => Whom::Anybody,
            },
            demanded: Demanded::default().and(demands),
        }
    }

    /// Passes the result on if it is for the right account, and what was demanded. Whoever the broker is, a token of
    /// one account is never handed out for another.
    pub(crate) fn check(
        &self,
        result: AuthenticationResult,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let account = &result.account;
        let right = match &self.whom {
            // GUIDs: their case carries no meaning.
            Whom::Home(id) => id
                .as_str()
                .eq_ignore_ascii_case(account.home_account_id.as_str()),
            Whom::Username(name) => name.to_lowercase() == account.username.to_lowercase(),
            Whom::Anybody => true,
        };
        if right {
            self.demanded.check(&result)?;
            return Ok(result);
        }
        Err(AcquireTokenError::new(
            ErrorKind::AccountSwitch,
            "the broker answered for another account than the one asked for: sign in with that \
             account, or ask for the one that is signed in",
        ))
    }
}
