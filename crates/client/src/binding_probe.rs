//! Is the refresh token behind a bearer access token bound? Some providers bind only that one
//! (RFC 9449 §5 for public clients, with bearer access tokens by policy), others ignore the proof.
//! We try, once, right after a sign-in: a refresh with another key must fail, and one with the
//! right key must then succeed. Only for authorities where the administrator says so, because
//! others revoke a grant when a proof is wrong.

use std::sync::Arc;

use keyward_oauth::token_response::Refusal;

use crate::acquisition::Acquisition;
use crate::authority_metadata::Known;
use crate::binding::Binding;
use crate::cache::entity::{Entity, RefreshTokenEntity};
use crate::cache::lookup::{Hit, Redeemable};
use crate::cache::{Cache, Edit};
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::renewal::Setback;
use crate::request::CachePolicy;
use crate::silent::Silent;
use crate::vault::Unwritten;

/// What a refresh with a key that has nothing to do with the token showed.
enum Trial {
    /// It worked: the token is not bound.
    Worked(Arc<RefreshTokenEntity>),
    /// It was refused for the proof.
    Refused,
    /// It showed nothing.
    Undecided,
}

impl Shared {
    /// Tries whether a new refresh token is bound, and keeps the finding with it.
    ///
    /// # Errors
    ///
    /// When trying has cost the grant, against what the configuration says of the authority.
    pub(crate) async fn binding_verified(
        self: &Arc<Self>,
        asked: &Acquisition,
        redeemable: Redeemable,
        hit: Hit,
        known: &Arc<Known>,
    ) -> Result<Hit, AcquireTokenError> {
        let token = &redeemable.token;
        if token.key.is_none() || token.binding != Binding::SealedAtRest {
            return Ok(hit);
        }
        let silent = Silent {
            asked: asked.clone(),
            grant: token.grant.clone(),
            target: hit.token.target.clone(),
            cache: CachePolicy::ForceRefresh,
        };
        let _turn = self.turns.take(silent.grant.clone()).await;
        match self.tried(&silent, token, known).await {
            Trial::Undecided => Ok(hit),
            Trial::Worked(successor) => {
                let (token, put) = (
                    Arc::clone(token),
                    Edit::Put(Entity::RefreshToken(successor)),
                );
                let plan = move |cache: &Cache| cache.is_current(&token).then(|| vec![put]);
                self.vault.commit(Unwritten::Keep, plan).await?;
                Ok(hit)
            }
            Trial::Refused => self.after_refusal(&silent, &redeemable, hit, known).await,
        }
    }

    /// Redeems the token with a key made for nothing else.
    async fn tried(
        self: &Arc<Self>,
        silent: &Silent,
        token: &Arc<RefreshTokenEntity>,
        known: &Known,
    ) -> Trial {
        let current = self
            .vault
            .cache()
            .is_ok_and(|cache| cache.is_current(token));
        let (Ok((other, _thrown_away)), true) = (self.fresh_key().await, current) else {
            return Trial::Undecided;
        };
        match self.redeemed_with(silent, token, Some(other), known).await {
            Ok(mut redeemed) => Trial::Worked(match redeemed.response.refresh_token.take() {
                Some(secret) => Arc::new(token.successor(secret)),
                None => Arc::clone(token),
            }),
            Err(error) if error.refusal().is_some_and(is_about_the_proof) => Trial::Refused,
            Err(_) => Trial::Undecided,
        }
    }

    /// The wrong key was refused. If the right one is not, the token is bound.
    async fn after_refusal(
        self: &Arc<Self>,
        silent: &Silent,
        redeemable: &Redeemable,
        hit: Hit,
        known: &Arc<Known>,
    ) -> Result<Hit, AcquireTokenError> {
        let token = &redeemable.token;
        match self.redeemed(silent, token, known).await {
            Ok(mut redeemed) => {
                redeemed.binding = Binding::Dpop;
                match self.settled(silent, redeemable, redeemed, known).await {
                    Err(Setback::Failed(error)) => Err(error),
                    Err(Setback::Overtaken) => Ok(hit),
                    Ok(bound) => Ok(bound),
                }
            }
            Err(error) if error.refusal().is_some_and(is_about_the_proof) => {
                self.set_back(silent, token, error).await;
                Err(silent.asked.error(
                    ErrorKind::IncorrectConfiguration,
                    "the authority revoked the sign-in when it was tried whether its refresh token \
                     is bound; set verify_binding = false for it and sign in again",
                ))
            }
            Err(_) => Ok(hit),
        }
    }
}

/// Providers answer a wrong key with either.
fn is_about_the_proof(refusal: &Refusal) -> bool {
    let error = refusal.error.error.as_str();
    !refusal.is_temporary() && ["invalid_grant", "invalid_dpop_proof"].contains(&error)
}

#[cfg(test)]
mod tests;
