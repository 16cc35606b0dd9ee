//! The answer to a token request. The account's fields stand beside the token's.

use keyward_client::account::AccountInfo;
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::oauth::identifiers::CorrelationId;
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::{AccessToken, IdTokenText};
use keyward_client::oauth::time::UnixTime;
use keyward_client::result::{AuthenticationResult, TokenSource, TokenType};

use super::WireError;
use super::dict::{Dict, Entries};
use super::request::read_home_account_id;

const CACHE: &str = "cache";
const IDENTITY_PROVIDER: &str = "identity_provider";

pub(crate) fn write(result: &AuthenticationResult) -> Entries<'_> {
    let mut entries = Entries::new();
    entries
        .text("access_token", result.access_token.expose_secret())
        .text("token_type", result.token_type.as_str())
        .owned_text("scopes", result.scopes.to_string())
        .number("expires_on", result.expires_on.as_secs())
        .maybe_number(
            "ext_expires_on",
            result.ext_expires_on.map(UnixTime::as_secs),
        )
        .maybe_number("refresh_on", result.refresh_on.map(UnixTime::as_secs))
        .maybe_text(
            "id_token",
            result.id_token.as_ref().map(IdTokenText::expose_secret),
        )
        .text("authority", &result.authority)
        .text("token_source", source(result.token_source))
        .maybe_text("binding", result.binding.map(Binding::as_str))
        .maybe_text(
            "key_protection",
            result.key_protection.map(KeyProtection::as_str),
        )
        .maybe_text("dpop_proof", result.dpop_proof.as_deref())
        .owned_text("correlation_id", result.correlation_id.to_string());
    write_account(&result.account, &mut entries);
    entries
}

pub(crate) fn read(dict: &Dict<'_>) -> Result<AuthenticationResult, WireError> {
    let time = |key| Ok(dict.number(key)?.map(UnixTime::from_secs));
    Ok(AuthenticationResult {
        access_token: AccessToken::new(dict.require_text("access_token")?.to_owned()),
        token_type: known(dict, "token_type", TokenType::parse)?,
        scopes: Scopes::parse(dict.require_text("scopes")?),
        expires_on: time("expires_on")?.ok_or(WireError::Missing("expires_on"))?,
        ext_expires_on: time("ext_expires_on")?,
        refresh_on: time("refresh_on")?,
        account: read_account(dict)?,
        id_token: dict.owned_text("id_token")?.map(IdTokenText::new),
        authority: dict.require_text("authority")?.to_owned(),
        token_source: known(dict, "token_source", read_source)?,
        // Keyward's broker always says.
        binding: Some(known(dict, "binding", Binding::parse)?),
        key_protection: Some(known(dict, "key_protection", KeyProtection::parse)?),
        dpop_proof: dict.owned_text("dpop_proof")?,
        correlation_id: known(dict, "correlation_id", CorrelationId::parse)?,
    })
}

pub(crate) fn write_account<'a>(account: &'a AccountInfo, entries: &mut Entries<'a>) {
    entries
        .text("home_account_id", account.home_account_id.as_str())
        .text("environment", &account.environment)
        .text("tenant_id", &account.tenant_id)
        .text("local_account_id", &account.local_account_id)
        .text("username", &account.username)
        .maybe_text("name", account.name.as_deref())
        .maybe_text("given_name", account.given_name.as_deref())
        .maybe_text("family_name", account.family_name.as_deref());
}

pub(crate) fn read_account(dict: &Dict<'_>) -> Result<AccountInfo, WireError> {
    Ok(AccountInfo {
        home_account_id: read_home_account_id(dict.require_text("home_account_id")?)?,
        environment: dict.require_text("environment")?.to_owned(),
        tenant_id: dict.require_text("tenant_id")?.to_owned(),
        local_account_id: dict.require_text("local_account_id")?.to_owned(),
        username: dict.require_text("username")?.to_owned(),
        name: dict.owned_text("name")?,
        given_name: dict.owned_text("given_name")?,
        family_name: dict.owned_text("family_name")?,
    })
}

/// A required text with a closed set of values.
pub(crate) fn known<T>(
    dict: &Dict<'_>,
    key: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, WireError> {
    parse(dict.require_text(key)?)
        .ok_or_else(|| WireError::value(key, "has a value this version does not know"))
}

pub(super) fn source(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Cache => CACHE,
        TokenSource::IdentityProvider => IDENTITY_PROVIDER,
    }
}

pub(super) fn read_source(text: &str) -> Option<TokenSource> {
    match text {
        CACHE => Some(TokenSource::Cache),
        IDENTITY_PROVIDER => Some(TokenSource::IdentityProvider),
        _ => None,
    }
}
