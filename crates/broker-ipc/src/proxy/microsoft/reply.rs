//! Replies of other people's brokers, read tolerantly: an error in either place, times in seconds
//! or milliseconds, numbers as texts, scopes as a text or a list, and the account wherever it is.

use serde::Deserialize;
use url::Url;

use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, AuthorityError, ErrorKind};
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::{AccessToken, IdTokenText};
use keyward_client::oauth::time::UnixTime;
use keyward_client::request::{AuthenticationScheme, TokenRequest};
use keyward_client::result::{AuthenticationResult, TokenSource, TokenType};

use crate::microsoft::account::{Account, read_client_info};
use crate::microsoft::id_token;
use crate::microsoft::lenient::{Number, Object, Text, Words};

/// Times above this are milliseconds: as seconds, it is the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Root<'a> {
    #[serde(borrow)]
    broker_token_response: Object<Response<'a>>,
    #[serde(borrow)]
    error: Object<Failure<'a>>,
    #[serde(borrow)]
    accounts: Option<Vec<Object<Account<'a>>>>,
    #[serde(borrow)]
    linux_broker_version: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response<'a> {
    #[serde(borrow)]
    access_token: Text<'a>,
    access_token_type: Number,
    #[serde(borrow)]
    account: Object<Account<'a>>,
    #[serde(borrow)]
    client_info: Text<'a>,
    #[serde(borrow)]
    error: Object<Failure<'a>>,
    expires_on: Number,
    extended_expires_on: Number,
    granted_scopes: Words,
    #[serde(borrow)]
    id_token: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Failure<'a> {
    #[serde(borrow)]
    context: Text<'a>,
    error_code: Number,
    status: Number,
}

/// The claims an account is made of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims<'a> {
    #[serde(borrow)]
    oid: Text<'a>,
    #[serde(borrow)]
    tid: Text<'a>,
    #[serde(borrow)]
    preferred_username: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    given_name: Text<'a>,
    #[serde(borrow)]
    family_name: Text<'a>,
}

/// The outcome of a token request.
pub(super) fn token(
    json: &str,
    asked: &TokenRequest,
) -> Result<AuthenticationResult, AcquireTokenError> {
    let root: Root<'_> = parse(json)?;
    let response = root.broker_token_response.0.unwrap_or_default();
    if let Some(failure) = root.error.0.as_ref().or(response.error.0.as_ref()) {
        return Err(failure.to_error());
    }
    let access_token = response
        .access_token
        .owned()
        .ok_or_else(|| misunderstood("accessToken is missing"))?;
    let expires_on =
        time(response.expires_on).ok_or_else(|| misunderstood("expiresOn is missing"))?;
    let account = response.account(&asked.authority)?;
    let scopes = match Scopes::parse(&response.granted_scopes.0) {
        none if none.is_empty() => asked.scopes.clone(),
        granted => granted,
    };
    Ok(AuthenticationResult {
        access_token: AccessToken::new(access_token),
        token_type: response.token_type(&asked.scheme)?,
        scopes,
        expires_on,
        ext_expires_on: time(response.extended_expires_on),
        refresh_on: None,
        account,
        id_token: response.id_token.owned().map(IdTokenText::new),
        authority: asked.authority.clone(),
        token_source: TokenSource::IdentityProvider,
        // The contract has no place for it, and whatever we made up could be wrong either way.
        binding: None,
        key_protection: None,
        dpop_proof: None,
        correlation_id: asked.correlation_id,
    })
}

/// The accounts in a reply to `getAccounts`; what has no identity is left out.
pub(super) fn accounts(json: &str) -> Result<Vec<AccountInfo>, AcquireTokenError> {
    let root: Root<'_> = parse(json)?;
    if let Some(failure) = &root.error.0 {
        return Err(failure.to_error());
    }
    let accounts = root.accounts.unwrap_or_default();
    Ok(accounts
        .iter()
        .filter_map(|account| account.0.as_ref()?.to_info())
        .collect())
}

/// The version in a reply to `getLinuxBrokerVersion`.
pub(super) fn version(json: &str) -> String {
    let root = parse::<Root<'_>>(json).ok();
    root.and_then(|root| root.linux_broker_version.owned())
        .unwrap_or_else(|| "unknown".to_owned())
}

impl Response<'_> {
    fn token_type(&self, asked: &AuthenticationScheme) -> Result<TokenType, AcquireTokenError> {
        match (asked, self.access_token_type.0.unwrap_or(0)) {
            (AuthenticationScheme::Bearer, 0) => Ok(TokenType::Bearer),
            (AuthenticationScheme::Pop(_), 1) => Ok(TokenType::Pop),
            (AuthenticationScheme::Pop(_), 0) => Err(AcquireTokenError::new(
                ErrorKind::NotSupported,
                "this broker answers with a bearer token where a signed HTTP request was asked for",
            )),
            _ => Err(misunderstood("accessTokenType is not what was asked for")),
        }
    }

    fn account(&self, authority: &str) -> Result<AccountInfo, AcquireTokenError> {
        let payload = self.id_token.get().and_then(id_token::payload);
        let claims: Claims<'_> = payload
            .as_deref()
            .and_then(|payload| serde_json::from_slice(payload).ok())
            .unwrap_or_default();
        let named = self.account.0.as_ref().and_then(Account::to_info);
        let home_account_id = self
            .client_info
            .get()
            .and_then(read_client_info)
            .or_else(|| {
                named
                    .as_ref()
                    .map(|account| account.home_account_id.clone())
            })
            .or_else(|| Some(HomeAccountId::new(claims.oid.get()?, claims.tid.get()?)))
            .ok_or_else(|| misunderstood("it does not say which account it is for"))?;
        // The account beside it counts only if it is the same one.
        let named = named.filter(|account| account.home_account_id == home_account_id);
        let beside = |field: fn(&AccountInfo) -> &String| named.as_ref().map(field).cloned();
        Ok(AccountInfo {
            environment: beside(|account| &account.environment)
                .filter(|environment| !environment.is_empty())
                .or_else(|| Some(Url::parse(authority).ok()?.host_str()?.to_owned()))
                .unwrap_or_default(),
            tenant_id: claims
                .tid
                .owned()
                .or_else(|| beside(|account| &account.tenant_id))
                .unwrap_or_else(|| home_account_id.utid().to_owned()),
            local_account_id: claims
                .oid
                .owned()
                .or_else(|| beside(|account| &account.local_account_id))
                .unwrap_or_else(|| home_account_id.uid().to_owned()),
            username: claims
                .preferred_username
                .owned()
                .or_else(|| beside(|account| &account.username))
                .ok_or_else(|| misunderstood("it does not name the user"))?,
            name: claims.name.owned(),
            given_name: claims.given_name.owned(),
            family_name: claims.family_name.owned(),
            home_account_id,
        })
    }
}

impl Failure<'_> {
    fn to_error(&self) -> AcquireTokenError {
        let kind = ErrorKind::from_runtime_status(self.status.0.unwrap_or(0));
        let context = self.context.get().unwrap_or("no text");
        let code = self.error_code.0.and_then(|code| u64::try_from(code).ok());
        let authority = code.filter(|code| *code != 0).map(|code| AuthorityError {
            codes: vec![code],
            ..AuthorityError::default()
        });
        AcquireTokenError::new(kind, format!("the broker refused: {context}"))
            .with_authority(authority)
    }
}

fn time(number: Number) -> Option<UnixTime> {
    let number = number.0.filter(|number| *number > 0)?;
    let seconds = if number > MILLISECONDS {
        number / 1000
    } else {
        number
    };
    u64::try_from(seconds).ok().map(UnixTime::from_secs)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, AcquireTokenError> {
    serde_json::from_str(json).map_err(|error| {
        misunderstood(&format!(
            "it is not the JSON that was expected at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

pub(super) fn misunderstood(why: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::InvalidResponse,
        format!("the broker's answer cannot be understood: {why}"),
    )
}

#[cfg(test)]
mod tests;
