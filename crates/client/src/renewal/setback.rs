//! When a renewal does not work: what is forgotten, what is held back, what the caller is told.

use std::sync::Arc;

use keyward_oauth::token_response::Refusal;

use super::NotRedeemed;
use crate::acquisition::RequestIdentity;
use crate::authority::AuthorityKind;
use crate::cache::entity::{Entity, RefreshTokenEntity};
use crate::cache::key::GrantKey;
use crate::cache::{Cache, Edit};
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::RedeemError;
use crate::ports::{KeyError, KeyRef};
use crate::silent::Silent;
use crate::throttle;
use crate::vault::{Committed, Unwritten};

/// Why a renewal brought nothing.
pub(crate) enum Setback {
    /// It did not work.
    Failed(AcquireTokenError),
    /// The refresh token is not the current one any more: look again.
    Overtaken,
}

impl<E: Into<AcquireTokenError>> From<E> for Setback {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Shared {
    /// Draws the consequences of a refresh token that could not be redeemed.
    pub(crate) async fn set_back(
        self: &Arc<Self>,
        silent: &Silent,
        token: &Arc<RefreshTokenEntity>,
        error: NotRedeemed,
    ) -> Setback {
        if let NotRedeemed::Redeem(RedeemError::Key(KeyError::Lost(why))) = &error {
            return self.key_lost(silent, token, why).await;
        }
        let Some(refusal) = error.refusal().cloned() else {
            return Setback::Failed(error.into());
        };
        if is_dead(silent.asked.authority.kind, &refusal) {
            let gone = Arc::clone(token);
            let forgotten = self.vault.commit(Unwritten::Forget, move |cache| {
                let edit = Edit::Delete(Entity::RefreshToken(Arc::clone(&gone)).key());
                cache.is_current(&gone).then(|| vec![edit])
            });
            match forgotten.await {
                Ok(Committed::Superseded) => return Setback::Overtaken,
                Ok(Committed::Written) => {}
                Err(error) => tracing::warn!(%error, "a dead refresh token is left in the vault"),
            }
        }
        let told = AcquireTokenError::from(error);
        Setback::Failed(match refusal.error.error.as_str() {
            // More than was granted (RFC 6749 §6): a person can grant it.
            "invalid_scope" => AcquireTokenError::new(
                ErrorKind::InteractionRequired,
                format!("{}; sign in to grant these scopes", told.message()),
            )
            .with_authority(told.authority().cloned()),
            _ => told,
        })
    }

    /// The key is gone for good. A grant bound to it is worthless; say so once, so that a sign-in
    /// makes a new one. Entra's refresh tokens are not bound to it: there a new key will do.
    async fn key_lost(
        self: &Arc<Self>,
        silent: &Silent,
        token: &Arc<RefreshTokenEntity>,
        why: &str,
    ) -> Setback {
        let asked = &silent.asked;
        if let Some(key) = &token.key
            && let Err(error) = self
                .forget_lost_key(&silent.grant, key, asked.authority.kind)
                .await
        {
            return Setback::Failed(error);
        }
        match asked.authority.kind {
            AuthorityKind::Entra => Setback::Overtaken,
            AuthorityKind::OpenId => Setback::Failed(asked.error(
                ErrorKind::InteractionRequired,
                &format!(
                    "key lost: this sign-in was bound to it, and it is gone ({why}); sign in again"
                ),
            )),
        }
    }

    /// Forgets everything that is worthless without a key.
    pub(crate) async fn forget_key(
        self: &Arc<Self>,
        grant: &GrantKey,
        key: &KeyRef,
        kind: AuthorityKind,
    ) -> Result<(), AcquireTokenError> {
        let (grant, key) = (grant.clone(), key.clone());
        let plan = move |cache: &Cache| Some(cache.without_key(&grant, &key, kind));
        self.vault.commit(Unwritten::Forget, plan).await.map(drop)
    }

    /// The same for a key that is lost, with which its device may have lost more.
    pub(crate) async fn forget_lost_key(
        self: &Arc<Self>,
        grant: &GrantKey,
        key: &KeyRef,
        kind: AuthorityKind,
    ) -> Result<(), AcquireTokenError> {
        self.forget_key(grant, key, kind).await?;
        let protection = self.ports.keys.protection_of(key);
        self.vault.seal_anew(protection).await;
        Ok(())
    }

    /// Holds back requests that would only meet the same error again.
    pub(super) fn hold_back(&self, request: &RequestIdentity, error: &AcquireTokenError) {
        let span = match (error.retry_after(), error.kind()) {
            (Some(span), _) => span,
            (None, ErrorKind::InteractionRequired) => throttle::INTERACTION,
            (None, _) if request.ahead_of_need => throttle::DEFAULT,
            _ => return,
        };
        self.throttle.hold(request, span, error, self.now());
    }
}

/// Whether the authority says that this refresh token will never work again. Entra's
/// `invalid_grant` mostly asks for a person instead (`device-binding.md` 4.5).
fn is_dead(kind: AuthorityKind, refusal: &Refusal) -> bool {
    let error = &refusal.error;
    !refusal.is_temporary()
        && (error.error == "bad_token"
            || error.suberror.as_deref() == Some("bad_token")
            || (kind == AuthorityKind::OpenId && error.error == "invalid_grant"))
}
