//! What `--json` prints. Names are those of the library; fields are only ever added.

use keyward::manage::Decision;
use keyward::{
    AccountInfo, AccountStatus, AuthenticationResult, Binding, BrokerStatus, KeyProtection,
    TokenSource,
};
use serde::Serialize;

/// `keyward accounts --json`.
#[derive(Debug, Serialize)]
pub struct Accounts<'a> {
    /// Everybody who is signed in.
    pub accounts: &'a [AccountInfo],
}

/// `keyward login --json`: who signed in, and what binds the refresh token. No token.
#[derive(Debug, Serialize)]
pub struct SignedIn<'a> {
    account: &'a AccountInfo,
    authority: &'a str,
    scopes: Vec<&'a str>,
    /// Null: this broker does not say.
    binding: Option<&'static str>,
    /// Null: this broker does not say.
    key_protection: Option<&'static str>,
    correlation_id: String,
}

impl<'a> SignedIn<'a> {
    /// Of a result.
    pub fn of(result: &'a AuthenticationResult) -> Self {
        Self {
            account: &result.account,
            authority: &result.authority,
            scopes: result.scopes.iter().collect(),
            binding: result.binding.map(Binding::as_str),
            key_protection: result.key_protection.map(KeyProtection::as_str),
            correlation_id: result.correlation_id.to_string(),
        }
    }
}

/// `keyward token --json`: the one place beside plain `keyward token` where a token is printed.
#[derive(Serialize)]
pub struct IssuedToken<'a> {
    access_token: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_proof: Option<&'a str>,
    /// Seconds since the epoch.
    expires_on: u64,
    token_source: &'static str,
    #[serde(flatten)]
    signed_in: SignedIn<'a>,
}

impl<'a> IssuedToken<'a> {
    /// Of a result.
    pub fn of(result: &'a AuthenticationResult) -> Self {
        Self {
            access_token: result.access_token.expose_secret(),
            token_type: result.token_type.as_str(),
            dpop_proof: result.dpop_proof.as_deref(),
            expires_on: result.expires_on.as_secs(),
            token_source: match result.token_source {
                TokenSource::Cache => "cache",
                TokenSource::IdentityProvider => "identity-provider",
            },
            signed_in: SignedIn::of(result),
        }
    }
}

/// `keyward status --json`.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    version: &'a str,
    form: &'a str,
    key_protection: Option<&'static str>,
    /// Why new keys are made there. Null: this broker does not say.
    decision: Option<&'a Decision>,
    /// Null: this broker does not say who is signed in.
    accounts: Option<Vec<StatusRow<'a>>>,
    hardening: Vec<&'a str>,
    problems: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct StatusRow<'a> {
    username: &'a str,
    home_account_id: &'a str,
    environment: &'a str,
    tenant_id: &'a str,
    authority: &'a str,
    binding: &'static str,
    key_protection: &'static str,
}

impl<'a> Status<'a> {
    /// Of what the broker says.
    pub fn of(status: &'a BrokerStatus, decision: Option<&'a Decision>) -> Self {
        Self {
            decision,
            version: &status.version,
            form: &status.form,
            key_protection: status.key_protection.map(KeyProtection::as_str),
            accounts: (!status.is_foreign())
                .then(|| status.accounts.iter().map(StatusRow::of).collect()),
            hardening: status.hardening.iter().map(String::as_str).collect(),
            problems: status.problems.iter().map(String::as_str).collect(),
        }
    }
}

impl<'a> StatusRow<'a> {
    fn of(status: &'a AccountStatus) -> Self {
        let account = &status.account;
        Self {
            username: &account.username,
            home_account_id: account.home_account_id.as_str(),
            environment: &account.environment,
            tenant_id: &account.tenant_id,
            authority: &status.authority,
            binding: status.binding.as_str(),
            key_protection: status.key_protection.as_str(),
        }
    }
}
