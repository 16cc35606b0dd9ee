//! What one client holds of one account.

use std::collections::VecDeque;
use std::sync::Arc;

use keyward_oauth::dpop;
use keyward_oauth::secret::AccessToken;
use keyward_oauth::time::UnixTime;

use super::entity::{AccessTokenEntity, IdTokenEntity, RefreshTokenEntity};
use crate::binding::KeyProtection;
use crate::ports::{KeyRef, RecordKey, RecordKind};
use crate::result::TokenType;

/// How many replaced DPoP tokens of a grant still get proofs. Applications use a token until it
/// ends, also when a newer one was issued meanwhile.
pub(super) const LONGEST_REPLACED: usize = 16;

/// What one client holds of one account. Lists are short: a client asks for a few things.
#[derive(Debug, Default)]
pub struct Grant {
    /// By slot.
    pub refresh_tokens: Vec<Arc<RefreshTokenEntity>>,
    /// By slot of the target; newest last.
    pub access_tokens: Vec<Arc<AccessTokenEntity>>,
    /// By realm.
    pub id_tokens: Vec<Arc<IdTokenEntity>>,
    pub(super) replaced: VecDeque<Replaced>,
}

/// A DPoP token that was replaced before it ended, by its hash.
#[derive(Debug)]
pub(super) struct Replaced {
    ath: String,
    key: KeyRef,
    expires_on: UnixTime,
}

impl Grant {
    pub(super) fn put_refresh_token(&mut self, token: Arc<RefreshTokenEntity>) -> Option<KeyRef> {
        let old = take(&mut self.refresh_tokens, |old| old.slot == token.slot);
        self.refresh_tokens.push(token);
        old.and_then(|old| old.key.clone())
    }

    pub(super) fn put_access_token(&mut self, token: Arc<AccessTokenEntity>) -> Option<KeyRef> {
        let old = take(&mut self.access_tokens, |old| old.target == token.target);
        self.access_tokens.push(token);
        old.and_then(|old| self.retire(&old))
    }

    pub(super) fn delete(&mut self, key: &RecordKey) -> Vec<KeyRef> {
        let released = match key.kind {
            RecordKind::RefreshToken => {
                let old = take(&mut self.refresh_tokens, |old| old.slot == key.detail);
                old.and_then(|old| old.key.clone())
            }
            RecordKind::AccessToken => {
                let old = take(&mut self.access_tokens, |old| {
                    old.target.slot() == key.detail
                });
                old.and_then(|old| self.retire(&old))
            }
            _ => {
                self.id_tokens.retain(|old| old.realm != key.detail);
                None
            }
        };
        released.into_iter().collect()
    }

    pub(super) fn holds(&self, key: &RecordKey) -> bool {
        let slot = &key.detail;
        match key.kind {
            RecordKind::RefreshToken => self.refresh_tokens.iter().any(|t| t.slot == *slot),
            RecordKind::AccessToken => self.access_tokens.iter().any(|t| t.target.slot() == *slot),
            _ => self.id_tokens.iter().any(|t| t.realm == *slot),
        }
    }

    /// Remembers a DPoP token that goes, so that its proofs do not end before it does.
    fn retire(&mut self, token: &AccessTokenEntity) -> Option<KeyRef> {
        let key = token.key.clone()?;
        if token.target.token_type == TokenType::Dpop {
            if self.replaced.len() == LONGEST_REPLACED {
                self.replaced.pop_front();
            }
            self.replaced.push_back(Replaced {
                ath: dpop::ath(&token.secret),
                key: key.clone(),
                expires_on: token.expires_on,
            });
        }
        Some(key)
    }

    /// Whether nothing is left in it that gives a token.
    pub fn is_spent(&self) -> bool {
        self.refresh_tokens.is_empty() && self.access_tokens.is_empty()
    }

    /// Whether any of its tokens is protected so.
    pub(super) fn is_protected_by(&self, protection: KeyProtection) -> bool {
        let refresh = self.refresh_tokens.iter().map(|token| token.key_protection);
        let access = self.access_tokens.iter().map(|token| token.key_protection);
        refresh.chain(access).any(|its| its == protection)
    }

    /// The key of a DPoP token that was issued to this grant and has not ended.
    pub fn key_of(&self, access_token: &AccessToken, now: UnixTime) -> Option<&KeyRef> {
        let current = self.access_tokens.iter().find(|token| {
            token.target.token_type == TokenType::Dpop
                && token.secret.expose_secret() == access_token.expose_secret()
        });
        if let Some(token) = current {
            return token.key.as_ref();
        }
        let live = self.replaced.iter().filter(|old| old.expires_on > now);
        let hash = dpop::ath(access_token);
        live.into_iter()
            .find(|old| old.ath == hash)
            .map(|old| &old.key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &KeyRef> {
        let refresh = self
            .refresh_tokens
            .iter()
            .filter_map(|token| token.key.as_ref());
        let access = self
            .access_tokens
            .iter()
            .filter_map(|token| token.key.as_ref());
        refresh.chain(access)
    }
}

fn take<T>(list: &mut Vec<Arc<T>>, fits: impl Fn(&T) -> bool) -> Option<Arc<T>> {
    let at = list.iter().position(|item| fits(item))?;
    Some(list.remove(at))
}
