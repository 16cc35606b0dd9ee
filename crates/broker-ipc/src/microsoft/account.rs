//! Accounts in Microsoft's spelling.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use keyward_client::account::AccountInfo;
use keyward_client::oauth::identifiers::HomeAccountId;

use crate::json::Object;

use super::lenient::Text;

/// An account as it is received.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Account<'a> {
    #[serde(borrow)]
    home_account_id: Text<'a>,
    #[serde(borrow)]
    client_info: Text<'a>,
    #[serde(borrow)]
    pub(crate) username: Text<'a>,
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    realm: Text<'a>,
    #[serde(borrow)]
    local_account_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    given_name: Text<'a>,
    #[serde(borrow)]
    family_name: Text<'a>,
}

impl Account<'_> {
    /// Which account is meant, whichever field says so.
    pub(crate) fn home_account_id(&self) -> Option<HomeAccountId> {
        let named = self.home_account_id.get();
        named
            .and_then(|id| HomeAccountId::parse(id).ok())
            .or_else(|| self.client_info.get().and_then(read_client_info))
    }

    /// Whether it says anything by which an account could be told from another.
    pub(crate) fn names_somebody(&self) -> bool {
        [
            &self.home_account_id,
            &self.client_info,
            &self.username,
            &self.local_account_id,
            &self.realm,
        ]
        .iter()
        .any(|field| field.get().is_some())
    }

    /// Whether its identifier is there and cannot be read.
    pub(crate) fn is_misnamed(&self) -> bool {
        let named = self.home_account_id.get();
        named.is_some_and(|id| HomeAccountId::parse(id).is_err())
    }

    /// The whole account. `None`: it does not say which one it is.
    pub(crate) fn to_info(&self) -> Option<AccountInfo> {
        let home_account_id = self.home_account_id()?;
        Some(AccountInfo {
            environment: self.environment.owned().unwrap_or_default(),
            tenant_id: self
                .realm
                .owned()
                .unwrap_or_else(|| home_account_id.utid().to_owned()),
            local_account_id: self
                .local_account_id
                .owned()
                .unwrap_or_else(|| home_account_id.uid().to_owned()),
            username: self.username.owned()?,
            name: self.name.owned(),
            given_name: self.given_name.owned(),
            family_name: self.family_name.owned(),
            home_account_id,
        })
    }
}

/// An account as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentAccount<'a> {
    client_info: String,
    environment: &'a str,
    family_name: &'a str,
    given_name: &'a str,
    home_account_id: &'a str,
    local_account_id: &'a str,
    name: &'a str,
    password_expiry: u8,
    realm: &'a str,
    username: &'a str,
}

impl<'a> SentAccount<'a> {
    pub(crate) fn of(account: &'a AccountInfo) -> Self {
        Self {
            client_info: client_info(&account.home_account_id),
            environment: &account.environment,
            family_name: account.family_name.as_deref().unwrap_or_default(),
            given_name: account.given_name.as_deref().unwrap_or_default(),
            home_account_id: account.home_account_id.as_str(),
            local_account_id: &account.local_account_id,
            name: account.name.as_deref().unwrap_or_default(),
            password_expiry: 0,
            realm: &account.tenant_id,
            username: &account.username,
        }
    }

    /// `client_info`: who it is, across tenants.
    pub(crate) fn client_info(&self) -> &str {
        &self.client_info
    }

    /// What [`Serialize`] writes.
    pub(crate) fn to_json(&self) -> Object {
        let mut object = Object::with_capacity(768);
        object
            .text("clientInfo", &self.client_info)
            .text("environment", self.environment)
            .text("familyName", self.family_name)
            .text("givenName", self.given_name)
            .text("homeAccountId", self.home_account_id)
            .text("localAccountId", self.local_account_id)
            .text("name", self.name)
            .number("passwordExpiry", u64::from(self.password_expiry))
            .text("realm", self.realm)
            .text("username", self.username);
        object
    }

    /// Whether it has what clients drop an account for the lack of.
    pub(crate) fn is_complete(&self) -> bool {
        [
            self.environment,
            self.home_account_id,
            self.local_account_id,
            self.realm,
            self.username,
        ]
        .iter()
        .all(|field| !field.is_empty())
    }
}

#[derive(Serialize, Deserialize)]
struct ClientInfo<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    utid: Cow<'a, str>,
}

/// `client_info`: `{"uid":…,"utid":…}`, base64url.
pub(crate) fn client_info(id: &HomeAccountId) -> String {
    // Both parts are printable; JSON needs no more than its two special characters escaped.
    let info = ClientInfo {
        uid: id.uid().into(),
        utid: id.utid().into(),
    };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&info).unwrap_or_default())
}

/// Reads `client_info`, with or without padding.
pub(crate) fn read_client_info(text: &str) -> Option<HomeAccountId> {
    let json = URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()?;
    let info: ClientInfo<'_> = serde_json::from_slice(&json).ok()?;
    HomeAccountId::parse(&format!("{}.{}", info.uid, info.utid)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_info_is_read_as_it_is_written() {
        let id = HomeAccountId::parse("u-1.t\"2").unwrap();
        assert_eq!(read_client_info(&client_info(&id)), Some(id));
        assert_eq!(read_client_info("eyJ1aWQiOiJ1In0"), None);
        assert_eq!(read_client_info("!"), None);
    }

    #[test]
    fn an_account_is_found_by_whichever_field_names_it() {
        let by = |json: &str| {
            let account: Account<'_> = serde_json::from_str(json).unwrap();
            account.home_account_id().map(|id| id.to_string())
        };
        assert_eq!(by(r#"{"homeAccountId":"u.t"}"#).as_deref(), Some("u.t"));
        let id = HomeAccountId::parse("u.t").unwrap();
        let json = format!(
            r#"{{"homeAccountId":"","clientInfo":"{}"}}"#,
            client_info(&id)
        );
        assert_eq!(by(&json).as_deref(), Some("u.t"));
        assert_eq!(by(r#"{"username":"alice"}"#), None);
    }
}
