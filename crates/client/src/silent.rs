//! `acquire_token_silent` (`layout.md` 7): look, and renew if need be. Nobody is ever signed in.

use std::sync::Arc;

use keyward_oauth::dpop;
use keyward_oauth::identifiers::HomeAccountId;

use crate::account::AccountSelector;
use crate::acquisition::{Acquisition, CLAIMS, RequestIdentity, extension};
use crate::authority::Tenant;
use crate::cache::Cache;
use crate::cache::entity::Account;
use crate::cache::key::{AccountKey, GrantKey, Target, Wanted, slot};
use crate::cache::lookup::{Hit, Lookup, Query};
use crate::engine::{Shared, panicked};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::proof::Asker;
use crate::request::{AuthenticationScheme, CachePolicy, SilentRequest};
use crate::result::{AuthenticationResult, TokenSource, TokenType};

/// A silent request whose account is known.
#[derive(Clone, Debug)]
pub(crate) struct Silent {
    pub(crate) asked: Acquisition,
    pub(crate) grant: GrantKey,
    pub(crate) target: Target,
    pub(crate) cache: CachePolicy,
}

/// An access token, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Acquired {
    pub(crate) hit: Hit,
    pub(crate) source: TokenSource,
}

impl Acquired {
    pub(crate) fn new(hit: Hit, source: TokenSource) -> Self {
        Self { hit, source }
    }
}

/// Renewals with the same key are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Renewal {
    request: RequestIdentity,
    /// What a cached token must not be, as far as renewals differ by it.
    unlike: Unlike,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Unlike {
    /// Any fresh one will do.
    Nothing,
    /// Not this one, by its hash.
    This(String),
    /// None will do.
    Anything,
}

impl Shared {
    pub(crate) async fn silent(
        self: &Arc<Self>,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let asked = self.admit(request.token)?;
        let silent = self
            .for_account(asked, &request.account, request.cache)
            .await?;
        let acquired = self.acquire(&silent).await?;
        let result = match self.present(&silent.asked, acquired).await {
            // What was bound to the lost key is forgotten by now; with a new key it works.
            Err(error) if error.kind() == ErrorKind::KeyNotFound => {
                let acquired = self.acquire(&silent).await?;
                self.present(&silent.asked, acquired).await
            }
            result => result,
        }?;
        silent.asked.demanded.check(&result)?;
        Ok(result)
    }

    /// The answer for which nothing has to be waited for: a bearer token that is kept and lasts.
    /// `None` for everything else, also for what [`silent`](Self::silent) refuses.
    pub(crate) fn at_hand(
        self: &Arc<Self>,
        request: &SilentRequest,
    ) -> Option<AuthenticationResult> {
        let token = &request.token;
        let AccountSelector::Home(home) = &request.account else {
            return None;
        };
        let claims = token.claims.is_some() || token.extra_parameters.contains_key(CLAIMS);
        if claims || token.scheme != AuthenticationScheme::Bearer {
            return None;
        }
        let authority = self.authority(&token.authority).ok()?;
        let account = AccountKey {
            provider: Arc::clone(&authority.provider),
            home: home.clone(),
        };
        let query = Query {
            account: &account,
            client: &token.client_id,
            target: &Target {
                realm: authority.realm(home)?,
                token_type: TokenType::Bearer,
                extension: extension(&token.extra_parameters),
                scopes: Wanted::new(&token.scopes),
            },
            cache: &request.cache,
        };
        let found = self.vault.cache().ok()?.lookup(&query, self.now());
        let Lookup::Fresh(hit) = found else {
            return None;
        };
        let by = Asker {
            client: &token.client_id,
            authority: &authority,
            correlation_id: token.correlation_id,
        };
        let result = self.bearer(&by, &hit, TokenSource::Cache).ok()?;
        let demanded = self.settings.demanded.and(token.demands);
        demanded.check(&result).is_ok().then_some(result)
    }

    /// Finds the account a request is for, and its tenant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InteractionRequired`] when nobody fits, or several do.
    pub(crate) async fn for_account(
        &self,
        asked: Acquisition,
        selector: &AccountSelector,
        cache: CachePolicy,
    ) -> Result<Silent, AcquireTokenError> {
        let account = match self.selected(&asked, selector)? {
            Selected::One(account) => account,
            Selected::Nobody(why) => self.found_again(&asked, selector, why).await?,
        };
        let realm = self.realm(&asked, &account.home).await?;
        Ok(Silent::new(asked, account, &realm, cache))
    }

    fn selected(
        &self,
        asked: &Acquisition,
        selector: &AccountSelector,
    ) -> Result<Selected, AcquireTokenError> {
        select(&*self.vault.cache()?, asked, selector)
    }

    /// Nobody was found, but what they are sealed with may be back by now, or gone: then that is
    /// the answer.
    async fn found_again(
        &self,
        asked: &Acquisition,
        selector: &AccountSelector,
        why: &'static str,
    ) -> Result<AccountKey, AcquireTokenError> {
        if self.vault.look_again().await
            && let Selected::One(account) = self.selected(asked, selector)?
        {
            return Ok(account);
        }
        let unfindable = self.vault.unfindable();
        Err(unfindable.unwrap_or_else(|| asked.error(ErrorKind::InteractionRequired, why)))
    }

    /// The tenant a request is about. Only the metadata knows the GUID of a domain.
    async fn realm(
        &self,
        asked: &Acquisition,
        home: &HomeAccountId,
    ) -> Result<String, AcquireTokenError> {
        if let Some(realm) = asked.authority.realm(home) {
            return Ok(realm);
        }
        let known = self.metadata.get(&self.ports, &asked.authority).await?;
        let issuer = known.metadata.issuer.as_str().trim_end_matches("/v2.0");
        match issuer.rsplit('/').next().and_then(Tenant::parse) {
            Some(Tenant::Id(guid)) => Ok(guid),
            _ => Err(asked.error(
                ErrorKind::InvalidResponse,
                "the metadata of the domain does not name its tenant",
            )),
        }
    }

    /// The decision: a cached token, a renewal, or neither.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        silent: &Silent,
    ) -> Result<Acquired, AcquireTokenError> {
        let cached = |hit| Acquired::new(hit, TokenSource::Cache);
        let mut found = self.look(silent)?;
        if matches!(found, Lookup::Absent) && self.vault.look_again().await {
            found = self.look(silent)?;
        }
        match found {
            Lookup::Fresh(hit) => Ok(cached(hit)),
            Lookup::RefreshDue(hit, _) => {
                self.renew_ahead_of_need(silent);
                Ok(cached(hit))
            }
            Lookup::Expiring(hit, _) => match self.renew(silent).await {
                // An outage: what is still valid is better than nothing.
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "renewal did not work; serving the token that is left");
                    Ok(cached(hit))
                }
                result => result,
            },
            Lookup::Expired(_) => self.renew(silent).await,
            Lookup::Absent => Err(self
                .vault
                .unfindable()
                .unwrap_or_else(|| sign_in_needed(&silent.asked))),
        }
    }

    /// What the cache holds for a request now.
    pub(crate) fn look(&self, silent: &Silent) -> Result<Lookup, AcquireTokenError> {
        let query = Query {
            account: &silent.grant.account,
            client: &silent.grant.client,
            target: &silent.target,
            cache: &silent.cache,
        };
        let now = self.now();
        Ok(self.vault.cache()?.lookup(&query, now))
    }

    /// Waits for the one renewal that is for this request.
    async fn renew(self: &Arc<Self>, silent: &Silent) -> Result<Acquired, AcquireTokenError> {
        let renewal = silent.renewal(false);
        if let Some(error) = self.throttle.held(&renewal.request, self.now()) {
            return Err(error);
        }
        let result = self.renewals.join(renewal.clone(), || {
            let (shared, silent) = (Arc::clone(self), silent.clone());
            async move { shared.renewal(silent, renewal.request).await }
        });
        result.await.unwrap_or_else(|| Err(panicked("the renewal")))
    }

    /// Sees to it that somebody renews, and waits for nothing.
    fn renew_ahead_of_need(self: &Arc<Self>, silent: &Silent) {
        let (ahead, needed) = (silent.renewal(true), silent.renewal(false));
        let now = self.now();
        let held = [&ahead, &needed].map(|renewal| self.throttle.held(&renewal.request, now));
        if held.iter().any(Option::is_some) {
            return;
        }
        self.renewals.start(ahead.clone(), || {
            let (shared, silent) = (Arc::clone(self), silent.clone());
            async move { shared.renewal(silent, ahead.request).await }
        });
    }
}

impl Silent {
    fn new(mut asked: Acquisition, account: AccountKey, realm: &str, cache: CachePolicy) -> Self {
        asked.authority = asked.authority.in_realm(realm);
        Self {
            target: asked.target(realm),
            grant: GrantKey {
                account,
                client: asked.client.clone(),
            },
            // A claims request asks for a token unlike those there are.
            cache: match asked.claims {
                Some(_) => CachePolicy::ForceRefresh,
                None => cache,
            },
            asked,
        }
    }

    fn renewal(&self, ahead_of_need: bool) -> Renewal {
        Renewal {
            request: RequestIdentity {
                grant: self.grant.clone(),
                target: self.target.slot(),
                claims: self.asked.claims.as_deref().map(|claims| slot(&[claims])),
                ahead_of_need,
            },
            unlike: match &self.cache {
                CachePolicy::UseCache => Unlike::Nothing,
                CachePolicy::ForceRefresh => Unlike::Anything,
                CachePolicy::Renew(token) => Unlike::This(dpop::ath(token)),
            },
        }
    }
}

/// Whom a request is for.
enum Selected {
    /// This one.
    One(AccountKey),
    /// Nobody who is known, in these words.
    Nobody(&'static str),
}

/// The one account a request is for.
fn select(
    cache: &Cache,
    asked: &Acquisition,
    selector: &AccountSelector,
) -> Result<Selected, AcquireTokenError> {
    let provider = &asked.authority.provider;
    let here = || {
        cache
            .accounts()
            .filter(|account| account.key.provider == *provider)
    };
    let ours = |account: &Account| {
        let grant = cache.grant(&account.key, &asked.client);
        grant.is_some_and(|grant| !grant.is_spent())
    };
    match selector {
        AccountSelector::Home(home) => {
            let key = AccountKey {
                provider: Arc::clone(provider),
                home: home.clone(),
            };
            Ok(match cache.account(&key) {
                Some(_) => Selected::One(key),
                None => Selected::Nobody("this account is not signed in here"),
            })
        }
        AccountSelector::Username(name) => {
            let called: Vec<_> = here().filter(|account| account.is_called(name)).collect();
            match called[..] {
                [one] => Ok(Selected::One(one.key.clone())),
                _ => only(called.into_iter().filter(|account| ours(account)), asked),
            }
        }
        AccountSelector::Only => only(here().filter(|account| ours(account)), asked),
    }
}

fn only<'a>(
    mut fitting: impl Iterator<Item = &'a Arc<Account>>,
    asked: &Acquisition,
) -> Result<Selected, AcquireTokenError> {
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(Selected::One(one.key.clone())),
        (None, _) => Ok(Selected::Nobody("no such account is signed in here")),
        _ => Err(asked.error(
            ErrorKind::InteractionRequired,
            "several accounts are signed in here; name one, or let the person choose",
        )),
    }
}

/// Nothing is left that renews.
pub(crate) fn sign_in_needed(asked: &Acquisition) -> AcquireTokenError {
    asked
        .error(
            ErrorKind::InteractionRequired,
            "nothing is kept that renews this account's tokens for this application; sign in",
        )
        .with_claims(asked.claims.clone())
}

#[cfg(test)]
mod tests;
