//! What comes back for a refresh token: kept whole, then judged.

use std::sync::Arc;

use keyward_oauth::id_token::IdToken;

use super::{Redeemed, Setback};
use crate::authority_metadata::Known;
use crate::binding::KeyProtection;
use crate::cache::entity::{AccessTokenEntity, Account, Entity, RefreshTokenEntity};
use crate::cache::lookup::{Hit, Redeemable};
use crate::cache::update::Answer;
use crate::cache::{Cache, Edit};
use crate::engine::{Shared, panicked};
use crate::error::ErrorKind;
use crate::identity::Identity;
use crate::result::TokenType;
use crate::settle::{self, Placement, binding, issued_type, verify};
use crate::silent::Silent;
use crate::vault::{Committed, Unwritten};

impl Shared {
    /// Reads the answer, keeps everything in it, and only then says whether it is what was asked
    /// for: an access token nobody wants must not cost the refresh token beside it.
    pub(crate) async fn settled(
        self: &Arc<Self>,
        silent: &Silent,
        redeemable: &Redeemable,
        mut redeemed: Redeemed,
        known: &Arc<Known>,
    ) -> Result<Hit, Setback> {
        let (issued, verdict) = issued_type(&silent.asked, &redeemed.response);
        redeemed.find_successor(issued);
        let id_token = self.id_token_of(silent, &mut redeemed, known).await?;
        let account = match &id_token {
            Some(token) => {
                self.same_person(silent, redeemable, &mut redeemed, token)
                    .await?
            }
            None => Arc::clone(&redeemable.account),
        };
        let realm = &silent.target.realm;
        let access_token = issued.map(|issued| redeemed.access_token(silent, issued));
        let answer = Answer {
            account: Arc::clone(&account),
            refresh_token: redeemed.successor.take(),
            access_token: access_token.clone(),
            id_token: id_token.map(|token| settle::id_token(&token, &silent.grant, realm)),
            environment: silent.asked.environment(),
        };
        let now = self.now();
        self.keep(&redeemed.current, move |cache| cache.answered(answer, now))
            .await?;
        if let Some(key) = redeemed.fresh_key.take() {
            key.keep();
        }
        verdict?;
        Ok(Hit {
            account,
            // INVARIANT: a type we do not know is refused by the verdict.
            token: access_token.ok_or_else(|| panicked("reading a token answer"))?,
            id_token: self.vault.cache()?.id_token(&silent.grant, realm),
        })
    }

    /// Writes edits, unless the refresh token they build on was replaced or removed meanwhile: by
    /// another sign-in, or by a sign-out, which must not be undone.
    async fn keep(
        self: &Arc<Self>,
        current: &Arc<RefreshTokenEntity>,
        edits: impl FnOnce(&Cache) -> Vec<Edit> + Send + 'static,
    ) -> Result<(), Setback> {
        let current = Arc::clone(current);
        let plan = move |cache: &Cache| cache.is_current(&current).then(|| edits(cache));
        match self.vault.commit(Unwritten::Keep, plan).await? {
            Committed::Written => Ok(()),
            Committed::Superseded => Err(Setback::Overtaken),
        }
    }

    /// Keeps the successor before anything else is tried that may fail.
    async fn keep_successor(self: &Arc<Self>, redeemed: &mut Redeemed) -> Result<(), Setback> {
        let Some(successor) = redeemed.successor.take() else {
            return Ok(());
        };
        let put = Edit::Put(Entity::RefreshToken(Arc::clone(&successor)));
        self.keep(&redeemed.current, move |_| vec![put]).await?;
        redeemed.current = successor;
        Ok(())
    }

    /// The ID token of the answer, verified (OpenID Connect Core §12.2). Newer keys may be needed,
    /// and fetching them may fail or take long: by then the successor is safe.
    async fn id_token_of(
        self: &Arc<Self>,
        silent: &Silent,
        redeemed: &mut Redeemed,
        known: &Arc<Known>,
    ) -> Result<Option<IdToken>, Setback> {
        let asked = &silent.asked;
        let Some(token) = redeemed.response.id_token.take() else {
            return Ok(None);
        };
        let expected = (&asked.client, None);
        if let Ok(verified) = verify(known, &token, expected, self.now()) {
            return Ok(Some(verified));
        }
        self.keep_successor(redeemed).await?;
        let verified = self.verified(&asked.authority, known, &token, expected);
        Ok(Some(verified.await?))
    }

    /// The account, if the answer is about the person it was asked for. If it is about somebody
    /// else, nothing of it is kept.
    async fn same_person(
        self: &Arc<Self>,
        silent: &Silent,
        redeemable: &Redeemable,
        redeemed: &mut Redeemed,
        id_token: &IdToken,
    ) -> Result<Arc<Account>, Setback> {
        let asked = &silent.asked;
        let client_info = redeemed.response.client_info.as_ref();
        let identity = match Identity::read(&asked.authority, id_token, client_info) {
            Ok(identity) => identity,
            Err(error) => {
                self.keep_successor(redeemed).await?;
                return Err(error.into());
            }
        };
        if identity.home != redeemable.account.key.home {
            return Err(Setback::Failed(asked.error(
                ErrorKind::AccountSwitch,
                "the authority answered for another person than the one the refresh token is of",
            )));
        }
        Ok(Arc::new(redeemable.account.with_profile(identity.profile)))
    }
}

impl Redeemed {
    /// What takes the refresh token's place: a new one, or the same with something new known about
    /// it. Nothing, if everything stays as it is; authorities need not rotate (RFC 6749 §6).
    fn find_successor(&mut self, issued: Option<TokenType>) {
        let current = &self.current;
        let binding = binding(issued, self.binding);
        let key = self.key.as_ref().map(|key| &key.name);
        let mut next = match self.response.refresh_token.take() {
            Some(secret) => current.successor(secret),
            None if binding == current.binding && key == current.key.as_ref() => return,
            None => current.again(),
        };
        next.binding = binding;
        next.key = key.cloned();
        next.key_protection = self.key_protection();
        self.successor = Some(Arc::new(next));
    }

    /// Where the key of the grant lives.
    fn key_protection(&self) -> KeyProtection {
        let key = self.key.as_ref().map(|key| key.protection);
        key.unwrap_or(self.current.key_protection)
    }

    fn access_token(&self, silent: &Silent, issued: TokenType) -> Arc<AccessTokenEntity> {
        let mut target = silent.target.clone();
        target.token_type = issued;
        let place = Placement {
            grant: silent.grant.clone(),
            target,
            key: self.key.as_ref().map(|key| key.name.clone()),
            binding: binding(Some(issued), self.binding),
            key_protection: self.key_protection(),
            asked_at: self.asked_at,
            sent: self.sent.clone(),
        };
        settle::access_token(&self.response, place)
    }
}
