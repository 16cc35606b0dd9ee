//! Who is signed in, and what binds it.

use keyward_oauth::identifiers::ClientId;

use crate::account::AccountInfo;
use crate::authority::{AuthorityKind, well_known};
use crate::binding::{Binding, KeyProtection};
use crate::cache::Cache;
use crate::cache::entity::Account;
use crate::engine::Shared;
use crate::error::AcquireTokenError;
use crate::ports::{AccountStatus, BrokerStatus};

impl Shared {
    pub(crate) fn accounts(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let cache = self.vault.cache()?;
        let mut accounts: Vec<_> = cache
            .accounts()
            .filter_map(|account| info(&cache, account, client_id))
            .collect();
        accounts.sort_by(|a, b| {
            a.username
                .cmp(&b.username)
                .then(a.home_account_id.cmp(&b.home_account_id))
        });
        Ok(accounts)
    }

    pub(crate) fn status(&self) -> BrokerStatus {
        let protection = self.ports.keys.protection();
        let mut accounts: Vec<_> = match self.vault.cache() {
            Ok(cache) => {
                let accounts = cache.accounts();
                accounts
                    .filter_map(|account| status(&cache, account, protection))
                    .collect()
            }
            Err(_) => Vec::new(), // the reason is among the problems
        };
        accounts.sort_by(|a, b| a.account.username.cmp(&b.account.username));
        BrokerStatus {
            version: self.settings.version.clone(),
            form: self.settings.form.clone(),
            key_protection: Some(protection),
            accounts,
            hardening: Vec::new(), // the engine does not know its process
            problems: self.vault.problems(),
            outdated: None, // the engine has no files to compare with
        }
    }
}

/// What a client sees of an account.
fn info(cache: &Cache, account: &Account, client: &ClientId) -> Option<AccountInfo> {
    let provider = &account.key.provider;
    let named = cache.environment(client, provider).map(|host| &**host);
    named_info(account, named)
}

/// An account under the name a client gives its provider, or else under the provider's own.
fn named_info(account: &Account, named: Option<&str>) -> Option<AccountInfo> {
    let profile = account.home_profile()?;
    let environment = named.map_or_else(|| own_environment(&account.key.provider), str::to_owned);
    Some(account.info(profile, &environment))
}

/// The name all clients that use an account give its provider, if they give the same.
fn common_name<'a>(cache: &'a Cache, account: &Account) -> Option<&'a str> {
    let grants = cache.grants(&account.key);
    let mut names = grants.filter_map(|(client, _)| {
        let name = cache.environment(client, &account.key.provider)?;
        Some(&**name)
    });
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

/// The provider's host, without port; one spelling per cloud.
fn own_environment(provider: &str) -> String {
    let url = url::Url::parse(provider).ok();
    let host = url
        .as_ref()
        .and_then(url::Url::host_str)
        .unwrap_or_default();
    well_known::environment(host).to_owned()
}

/// What ties an account to this device: no more than holds for each of its refresh tokens.
fn status(cache: &Cache, account: &Account, protection: KeyProtection) -> Option<AccountStatus> {
    let grants = cache.grants(&account.key);
    let tokens: Vec<_> = grants
        .flat_map(|(_, grant)| &grant.refresh_tokens)
        .collect();
    let rank = |binding: Binding| Binding::ALL.iter().position(|b| *b == binding);
    let weakest = tokens.iter().max_by_key(|token| rank(token.binding));
    let in_software = tokens
        .iter()
        .any(|t| t.key_protection == KeyProtection::Software);
    Some(AccountStatus {
        // As `accounts` shows it to whoever uses it.
        account: named_info(account, common_name(cache, account))?,
        binding: weakest.map_or(Binding::SealedAtRest, |token| token.binding),
        key_protection: match (tokens.is_empty(), in_software) {
            (true, _) => protection,
            (false, true) => KeyProtection::Software,
            (false, false) => KeyProtection::Tpm,
        },
        authority: match account.kind {
            AuthorityKind::OpenId => account.key.provider.to_string(),
            AuthorityKind::Entra => account.home_profile()?.issuer.clone(),
        },
    })
}

#[cfg(test)]
mod tests;
