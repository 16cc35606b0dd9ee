//! Accounts: who is signed in.

use serde::{Deserialize, Serialize};

use keyward_oauth::identifiers::HomeAccountId;

/// One account in one tenant, with MSAL's field names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// `uid.utid`: the same person across tenants and applications.
    pub home_account_id: HomeAccountId,
    /// Host of the authority the account belongs to, as applications see it
    /// (`login.microsoftonline.com` and its aliases are equal).
    pub environment: String,
    /// The tenant this profile is in (`realm` in cache files and on the bus).
    pub tenant_id: String,
    /// The user's identifier in that tenant: `oid`, or the GUID derived from issuer and subject.
    pub local_account_id: String,
    /// What the user types to sign in (`preferred_username`).
    pub username: String,
    /// The full name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
}

/// How a request names the account it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccountSelector {
    /// The account with this home account id (of MSAL's `account`).
    Home(HomeAccountId),
    /// The account with this user name, compared without case (a login hint).
    Username(String),
    /// Whichever account there is, if there is exactly one that fits.
    Only,
}
