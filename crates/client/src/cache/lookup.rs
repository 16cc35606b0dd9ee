//! What the cache holds for one silent request: a decision, without I/O.

use std::sync::Arc;
use std::time::Duration;

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::time::UnixTime;

use super::Cache;
use super::entity::{AccessTokenEntity, Account, IdTokenEntity, RefreshTokenEntity};
use super::grant::Grant;
use super::key::{AccountKey, Target, Wanted};
use crate::request::CachePolicy;

/// An access token with less than this left is renewed before it is handed out, so that it
/// survives its way to the resource and a clock that is a little wrong.
pub const MARGIN: Duration = Duration::from_secs(300);

/// What is looked for.
#[derive(Debug)]
pub struct Query<'a> {
    /// For whom.
    pub account: &'a AccountKey,
    /// Who asks.
    pub client: &'a ClientId,
    /// What is asked for.
    pub target: &'a Target,
    /// Whether a cached token may answer.
    pub cache: &'a CachePolicy,
}

/// What the cache holds for one silent request.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// An access token that lasts.
    Fresh(Hit),
    /// One that lasts but should be renewed ahead of time: answer with it, renew meanwhile.
    RefreshDue(Hit, Redeemable),
    /// One that ends soon: renew, and answer with it only if the authority cannot be reached.
    Expiring(Hit, Redeemable),
    /// Only a refresh token is left.
    Expired(Redeemable),
    /// Nothing usable: a person must sign in.
    Absent,
}

/// A cached answer.
#[derive(Clone, Debug)]
pub struct Hit {
    /// For whom it is.
    pub account: Arc<Account>,
    /// The token.
    pub token: Arc<AccessTokenEntity>,
    /// What the authority said about the person.
    pub id_token: Option<Arc<IdTokenEntity>>,
}

/// A refresh token that may give what is asked for.
#[derive(Clone, Debug)]
pub struct Redeemable {
    /// For whom it is.
    pub account: Arc<Account>,
    /// The token.
    pub token: Arc<RefreshTokenEntity>,
}

impl Cache {
    /// Decides what can be done for one silent request.
    pub fn lookup(&self, query: &Query<'_>, now: UnixTime) -> Lookup {
        let Some(entry) = self.accounts.get(query.account) else {
            return Lookup::Absent;
        };
        let Some(grant) = entry.grants.get(query.client) else {
            return Lookup::Absent;
        };
        let account = &entry.account;
        let hit = grant.access_token(query, now).map(|token| Hit {
            account: Arc::clone(account),
            token: Arc::clone(token),
            id_token: grant.id_token(&query.target.realm).cloned(),
        });
        let redeemable = grant
            .refresh_token(&query.target.scopes)
            .map(|token| Redeemable {
                account: Arc::clone(account),
                token: Arc::clone(token),
            });
        match (hit, redeemable) {
            (Some(hit), redeemable) if hit.token.lasts(now) => match redeemable {
                Some(redeemable) if hit.token.refresh_is_due(now) => {
                    Lookup::RefreshDue(hit, redeemable)
                }
                _ => Lookup::Fresh(hit),
            },
            (Some(hit), Some(redeemable)) => Lookup::Expiring(hit, redeemable),
            (None, Some(redeemable)) => Lookup::Expired(redeemable),
            (_, None) => Lookup::Absent,
        }
    }
}

impl Grant {
    /// The newest access token that answers the query and has not ended.
    fn access_token(&self, query: &Query<'_>, now: UnixTime) -> Option<&Arc<AccessTokenEntity>> {
        let fitting = self
            .access_tokens
            .iter()
            .filter(|token| token.answers(query.target));
        let newest = fitting.max_by_key(|token| token.cached_at)?;
        let allowed = match query.cache {
            CachePolicy::UseCache => true,
            CachePolicy::ForceRefresh => false,
            CachePolicy::Renew(old) => old.expose_secret() != newest.secret.expose_secret(),
        };
        (allowed && newest.expires_on > now && !newest.is_from_the_future(now)).then_some(newest)
    }

    /// The refresh token for these scopes: the newest that was granted them, or else the newest;
    /// the authority decides whether it gives more.
    fn refresh_token(&self, wanted: &Wanted) -> Option<&Arc<RefreshTokenEntity>> {
        let tokens = &self.refresh_tokens;
        let covering = tokens.iter().filter(|token| wanted.within(&token.scopes));
        covering
            .max_by_key(|token| token.issued_at)
            .or_else(|| tokens.iter().max_by_key(|token| token.issued_at))
    }

    /// The ID token of a tenant.
    pub fn id_token(&self, realm: &str) -> Option<&Arc<IdTokenEntity>> {
        self.id_tokens.iter().find(|token| token.realm == realm)
    }
}

impl AccessTokenEntity {
    /// Whether this may be handed to whoever asks for `target`.
    pub(super) fn answers(&self, target: &Target) -> bool {
        self.target.realm == target.realm
            && self.target.token_type == target.token_type
            && self.target.extension == target.extension
            && target.scopes.answered_by(&self.target.scopes, &self.scopes)
    }

    fn lasts(&self, now: UnixTime) -> bool {
        self.expires_on >= now.plus(MARGIN)
    }

    fn refresh_is_due(&self, now: UnixTime) -> bool {
        self.refresh_on.is_some_and(|due| due <= now)
    }

    /// The clock went back since it was issued, further than the margin makes up for: how long the
    /// token lasts is not known.
    fn is_from_the_future(&self, now: UnixTime) -> bool {
        self.cached_at > now.plus(MARGIN)
    }
}

#[cfg(test)]
mod tests;
