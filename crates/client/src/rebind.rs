//! Moving refresh tokens to new keys.
//!
//! A refresh token of a public client is bound to its key for life (RFC 9449 §5), so one that is
//! bound is replaced by a new sign-in of the same person for the same scopes. The old key is
//! destroyed when what replaces it is durable, and not before; with it, the old refresh token is
//! worth nothing to anybody. It is not revoked: providers that revoke a whole grant would take the
//! new refresh token along, which belongs to the same one.
//!
//! Everything else, Entra's refresh tokens and those no authority binds, is only sealed anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_oauth::identifiers::CorrelationId;
use keyward_oauth::transport::UserAgent;

use crate::account::AccountSelector;
use crate::authority::AuthorityKind;
use crate::bound::bound;
use crate::cache::entity::{Account, Entity, RefreshTokenEntity};
use crate::cache::key::GrantKey;
use crate::cache::{Cache, Edit};
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::interactive::OpenGate;
use crate::manage::BoundAccount;
use crate::ports::KeyRef;
use crate::request::{
    AuthenticationScheme, Demands, InteractiveRequest, ParentWindow, TokenRequest,
};
use crate::result::TokenType;
use crate::vault::Unwritten;

/// A refresh token that is to move.
struct Moving {
    account: Arc<Account>,
    token: Arc<RefreshTokenEntity>,
}

impl Shared {
    /// Moves what is bound so to where new keys are made. What has moved already is no error.
    pub(crate) async fn rebind(
        self: &Arc<Self>,
        what: &BoundAccount,
        agent: Arc<dyn UserAgent>,
    ) -> Result<(), AcquireTokenError> {
        while let Some(moving) = self.moving(what)? {
            match (&moving.token.key, moving.account.kind) {
                (Some(key), AuthorityKind::OpenId) => {
                    self.signed_in_again(&moving, key, Arc::clone(&agent))
                        .await?;
                }
                _ => self.sealed_again(&moving.token.grant).await?,
            }
        }
        Ok(())
    }

    /// Whether moving this takes a sign-in.
    pub(crate) fn moves_by_sign_in(&self, what: &BoundAccount) -> bool {
        what.key.is_some()
            && self.vault.cache().is_ok_and(|cache| {
                let mut accounts = cache.accounts();
                accounts.any(|account| {
                    account.kind == AuthorityKind::OpenId
                        && account.key.home.as_str() == what.home_account_id
                        && *account.key.provider == *what.authority
                })
            })
    }

    /// One of the refresh tokens that are meant, and not where they belong.
    fn moving(&self, what: &BoundAccount) -> Result<Option<Moving>, AcquireTokenError> {
        let new_keys = self.ports.keys.protection();
        let cache = self.vault.cache()?;
        let moving = cache.accounts().find_map(|account| {
            let grants = cache.grants(&account.key);
            let mut tokens = grants.flat_map(|(_, grant)| &grant.refresh_tokens);
            let token = tokens.find(|token| {
                let moves = token.key.is_some() || token.key_protection != new_keys;
                moves && bound(account, token).as_ref() == Some(what)
            })?;
            Some(Moving {
                account: Arc::clone(account),
                token: Arc::clone(token),
            })
        });
        Ok(moving)
    }

    /// Replaces a refresh token and its key by a new sign-in.
    async fn signed_in_again(
        self: &Arc<Self>,
        moving: &Moving,
        old: &KeyRef,
        agent: Arc<dyn UserAgent>,
    ) -> Result<(), AcquireTokenError> {
        let signed_in = self
            .interactive(self.sign_in_again(moving)?, agent, Arc::new(OpenGate))
            .await;
        let grant = &moving.token.grant;
        if !self.is_replaced(moving, old)? {
            // Whoever was waited for may have been answered without a sign-in.
            return Err(signed_in.err().unwrap_or_else(|| {
                AcquireTokenError::new(
                    ErrorKind::TooManyRequests,
                    "another sign-in of this account was under way; run the same command again",
                )
            }));
        }
        // Also what else was bound to the old key: nothing can use it any more.
        self.forget_key(grant, old, AuthorityKind::OpenId).await
    }

    /// A sign-in that brings what is to be replaced.
    fn sign_in_again(&self, moving: &Moving) -> Result<InteractiveRequest, AcquireTokenError> {
        let Moving { account, token } = moving;
        let cache = self.vault.cache()?;
        let grant = cache.grant(&account.key, &token.grant.client);
        let mut issued = grant.into_iter().flat_map(|grant| &grant.access_tokens);
        let dpop = issued.any(|token| token.target.token_type == TokenType::Dpop);
        Ok(InteractiveRequest {
            token: TokenRequest {
                client_id: token.grant.client.clone(),
                authority: account.key.provider.to_string(),
                scopes: token.scopes.clone(),
                scheme: if dpop {
                    AuthenticationScheme::Dpop(None)
                } else {
                    AuthenticationScheme::Bearer
                },
                claims: None,
                redirect_uri: None,
                extra_parameters: BTreeMap::new(),
                demands: Demands::default(),
                correlation_id: CorrelationId::from_random(self.ports.draw()),
            },
            account: Some(AccountSelector::Home(account.key.home.clone())),
            login_hint: account
                .home_profile()
                .map(|profile| profile.username.clone()),
            prompt: None,
            window: ParentWindow::None,
            deadline: None,
        })
    }

    /// Whether something under another key gives what this refresh token gave.
    fn is_replaced(&self, moving: &Moving, old: &KeyRef) -> Result<bool, AcquireTokenError> {
        let grant = &moving.token.grant;
        let cache = self.vault.cache()?;
        let kept = cache.grant(&grant.account, &grant.client);
        let mut kept = kept.into_iter().flat_map(|grant| &grant.refresh_tokens);
        Ok(kept.any(|token| {
            token.key.as_ref().is_some_and(|key| key != old)
                && token.scopes.cover(&moving.token.scopes)
        }))
    }

    /// Seals the refresh tokens of a grant that are bound to no key where new keys are made. Keys
    /// that only bound access tokens are given up: the next such token brings a new one.
    async fn sealed_again(self: &Arc<Self>, grant: &GrantKey) -> Result<(), AcquireTokenError> {
        let _turn = self.turns.take(grant.clone()).await;
        let protection = self.ports.keys.protection();
        let grant = grant.clone();
        let plan = move |cache: &Cache| {
            let held = cache.grant(&grant.account, &grant.client)?;
            let kind = cache.account(&grant.account)?.kind;
            let mut edits = Vec::new();
            for token in &held.refresh_tokens {
                if kind == AuthorityKind::OpenId && token.key.is_some() {
                    continue;
                }
                let mut moved = token.again();
                moved.key = None;
                moved.key_protection = protection;
                edits.push(Edit::Put(Entity::RefreshToken(Arc::new(moved))));
            }
            for token in &held.access_tokens {
                let entity = Entity::AccessToken(Arc::new(token.sealed_by(protection)));
                match (&token.key, kind) {
                    (None, _) => edits.push(Edit::Put(entity)),
                    (Some(_), AuthorityKind::Entra) => edits.push(Edit::Delete(entity.key())),
                    (Some(_), AuthorityKind::OpenId) => {}
                }
            }
            Some(edits)
        };
        self.vault.commit(Unwritten::Forget, plan).await.map(drop)
    }

    /// Seals everything that is about no key where new keys are made, and lets no earlier copy of
    /// the vault pass any more.
    pub(crate) async fn reseal(self: &Arc<Self>) -> Result<(), AcquireTokenError> {
        let plan = |cache: &Cache| Some(cache.beside_tokens().map(Edit::Put).collect());
        self.vault.commit(Unwritten::Forget, plan).await?;
        Ok(self.vault.end_epoch().await?)
    }
}

#[cfg(test)]
mod tests;
