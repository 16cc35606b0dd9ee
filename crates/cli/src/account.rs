//! Which account a command is for.

use keyward::{AccountInfo, ErrorKind, PublicClientApplication};

use crate::args::AccountChoice;
use crate::failure::Failure;

/// How a command names its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// `--account`.
    Home(String),
    /// `--username`.
    Username(String),
    /// Neither.
    Nobody,
}

impl Named {
    /// What the flags say.
    pub fn by(choice: &AccountChoice) -> Self {
        match (&choice.account, &choice.username) {
            (Some(id), _) => Self::Home(id.clone()),
            (None, Some(name)) => Self::Username(name.clone()),
            (None, None) => Self::Nobody,
        }
    }

    /// Whether it is this account.
    pub fn fits(&self, account: &AccountInfo) -> bool {
        match self {
            Self::Home(id) => account.home_account_id.as_str().eq_ignore_ascii_case(id),
            Self::Username(name) => is_user(account, name),
            Self::Nobody => true,
        }
    }
}

/// Whether the account has this user name, in whatever case.
pub fn is_user(account: &AccountInfo, name: &str) -> bool {
    account.username.to_lowercase() == name.to_lowercase()
}

/// The account that is meant, of those signed in. `None`: none is named and nobody is signed in.
///
/// # Errors
///
/// When the named one is not there, or none is named and there are several.
pub async fn the_one(
    choice: &AccountChoice,
    application: &PublicClientApplication,
) -> Result<Option<AccountInfo>, Failure> {
    let named = Named::by(choice);
    let mut fitting = application.accounts().await?;
    fitting.retain(|account| named.fits(account));
    match (fitting.len(), named) {
        (0, Named::Home(who) | Named::Username(who)) => Err(Failure::new(
            ErrorKind::AccountNotFound,
            format!("{who} is not signed in here"),
        )),
        (0 | 1, _) => Ok(fitting.pop()),
        (several, _) => Err(Failure::usage(
            format!("{several} accounts fit"),
            "name one with --account HOME_ACCOUNT_ID; keyward accounts shows them",
        )),
    }
}
