//! What the cache becomes when something happened: lists of edits, without I/O.

use std::sync::Arc;

use keyward_oauth::time::UnixTime;

use super::entity::{
    AccessTokenEntity, Account, Entity, Environment, IdTokenEntity, RefreshTokenEntity,
};
use super::grant::Grant;
use super::key::{AccountKey, GrantKey};
use super::{Cache, Edit};
use crate::authority::AuthorityKind;
use crate::ports::{KeyRef, RecordKind};

/// The most access tokens kept for one client and account.
const MOST_ACCESS_TOKENS: usize = 64;
/// The most refresh tokens kept for one client and account.
const MOST_REFRESH_TOKENS: usize = 8;

/// What a token answer, fully checked, adds to the cache.
#[derive(Debug)]
pub struct Answer {
    /// Who is signed in.
    pub account: Arc<Account>,
    /// The refresh token, if a new one came or what is known of the old one changed.
    pub refresh_token: Option<Arc<RefreshTokenEntity>>,
    /// The access token.
    pub access_token: Option<Arc<AccessTokenEntity>>,
    /// The ID token, if one came.
    pub id_token: Option<Arc<IdTokenEntity>>,
    /// How the client named the provider.
    pub environment: Environment,
}

impl Cache {
    /// The edits for a token answer: what it brings, and what it makes unnecessary.
    pub fn answered(&self, answer: Answer, now: UnixTime) -> Vec<Edit> {
        let mut edits = Vec::new();
        if self
            .account(&answer.account.key)
            .is_none_or(|old| *old != answer.account)
        {
            edits.push(Edit::Put(Entity::Account(answer.account)));
        }
        if let Some(token) = answer.refresh_token {
            edits.extend(self.unnecessary_refresh_tokens(&token));
            edits.push(Edit::Put(Entity::RefreshToken(token)));
        }
        if let Some(token) = answer.access_token {
            edits.extend(self.unnecessary_access_tokens(&token, now));
            edits.push(Edit::Put(Entity::AccessToken(token)));
        }
        if let Some(token) = answer.id_token {
            edits.push(Edit::Put(Entity::IdToken(token)));
        }
        edits.extend(self.named(answer.environment));
        edits
    }

    /// The edit for a client that names a provider in another way than before, if it does.
    pub fn named(&self, environment: Environment) -> Option<Edit> {
        let known = self.environment(&environment.client, &environment.provider);
        (known != Some(&environment.host)).then(|| Edit::Put(Entity::Environment(environment)))
    }

    /// Refresh tokens that give no more than `new` does, and the oldest when there are too many.
    fn unnecessary_refresh_tokens(&self, new: &RefreshTokenEntity) -> Vec<Edit> {
        let Some(grant) = self.grant(&new.grant.account, &new.grant.client) else {
            return Vec::new();
        };
        let others = grant
            .refresh_tokens
            .iter()
            .filter(|old| old.slot != new.slot);
        let (covered, mut kept): (Vec<_>, Vec<_>) =
            others.partition(|old| new.scopes.cover(&old.scopes));
        kept.sort_by_key(|old| old.issued_at);
        let surplus = (kept.len() + 1).saturating_sub(MOST_REFRESH_TOKENS);
        let gone = covered.into_iter().chain(kept.into_iter().take(surplus));
        gone.map(|old| Edit::Delete(Entity::RefreshToken(Arc::clone(old)).key()))
            .collect()
    }

    /// Access tokens that `new` stands in for, that have ended, and the oldest when there are too
    /// many. One that covers fewer scopes goes too: it may have been refused by its resource (a
    /// claims challenge), and whoever asks for those scopes now gets `new`.
    fn unnecessary_access_tokens(&self, new: &AccessTokenEntity, now: UnixTime) -> Vec<Edit> {
        let Some(grant) = self.grant(&new.grant.account, &new.grant.client) else {
            return Vec::new();
        };
        let others = grant
            .access_tokens
            .iter()
            .filter(|old| old.target != new.target);
        let (gone, mut kept): (Vec<_>, Vec<_>) =
            others.partition(|old| new.answers(&old.target) || old.expires_on <= now);
        kept.sort_by_key(|old| old.cached_at);
        let surplus = (kept.len() + 1).saturating_sub(MOST_ACCESS_TOKENS);
        let gone = gone.into_iter().chain(kept.into_iter().take(surplus));
        gone.map(|old| Edit::Delete(Entity::AccessToken(Arc::clone(old)).key()))
            .collect()
    }

    /// The edits for an account that signs out: everything of it goes, for every client.
    pub fn signed_out(&self, account: &AccountKey) -> Vec<Edit> {
        if self.account(account).is_none() {
            return Vec::new();
        }
        let grants = self.grants(account).flat_map(|(_, grant)| grant.entities());
        let mut edits: Vec<_> = grants.map(|entity| Edit::Delete(entity.key())).collect();
        edits.push(Edit::Delete(account.record()));
        edits
    }

    /// The edits for a key that is lost: what is bound to it goes. Entra's refresh tokens are not
    /// bound to the key they are kept with; they stay, without it.
    pub fn without_key(&self, grant: &GrantKey, key: &KeyRef, kind: AuthorityKind) -> Vec<Edit> {
        let Some(grant) = self.grant(&grant.account, &grant.client) else {
            return Vec::new();
        };
        let refresh = grant
            .refresh_tokens
            .iter()
            .filter(|token| token.key.as_ref() == Some(key));
        let refresh = refresh.map(|token| match kind {
            AuthorityKind::OpenId => Edit::Delete(Entity::RefreshToken(Arc::clone(token)).key()),
            AuthorityKind::Entra => {
                let mut kept = token.again();
                kept.key = None;
                Edit::Put(Entity::RefreshToken(Arc::new(kept)))
            }
        });
        let access = grant
            .access_tokens
            .iter()
            .filter(|token| token.key.as_ref() == Some(key));
        let access = access.map(|token| Edit::Delete(Entity::AccessToken(Arc::clone(token)).key()));
        refresh.chain(access).collect()
    }

    /// The edits that remove every access token that has ended.
    pub fn expired(&self, now: UnixTime) -> Vec<Edit> {
        let accounts = self
            .accounts()
            .flat_map(|account| self.grants(&account.key));
        let tokens = accounts.flat_map(|(_, grant)| &grant.access_tokens);
        let ended = tokens.filter(|token| token.expires_on <= now);
        ended
            .map(|token| {
                token
                    .grant
                    .record(RecordKind::AccessToken, &token.target.slot())
            })
            .map(Edit::Delete)
            .collect()
    }
}

impl Grant {
    pub(super) fn entities(&self) -> impl Iterator<Item = Entity> {
        let refresh = self
            .refresh_tokens
            .iter()
            .cloned()
            .map(Entity::RefreshToken);
        let access = self.access_tokens.iter().cloned().map(Entity::AccessToken);
        let id = self.id_tokens.iter().cloned().map(Entity::IdToken);
        refresh.chain(access).chain(id)
    }
}

#[cfg(test)]
mod tests;
