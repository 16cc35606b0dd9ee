//! One renewal: a refresh token is redeemed (RFC 6749 §6), its successor made durable, and only
//! then anybody sees the access token. Runs in a task of its own, whatever becomes of the callers.

use std::sync::Arc;

use keyward_oauth::refresh_token::RefreshRequest;
use keyward_oauth::scope::Scopes;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_request::with_identity;
use keyward_oauth::token_response::{Refusal, TokenError, TokenResponse};

use crate::acquisition::RequestIdentity;
use crate::authority::{AuthorityKind, DpopPolicy};
use crate::authority_metadata::Known;
use crate::binding::Binding;
use crate::cache::entity::RefreshTokenEntity;
use crate::cache::lookup::{Hit, Lookup, Redeemable};
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::{Grant, RedeemError, redeem};
use crate::result::{TokenSource, TokenType};
use crate::settle::{FreshKey, OpenKey, binds_by_dpop};
use crate::silent::{Acquired, Silent, sign_in_needed};

mod answer;
mod setback;

pub(crate) use setback::Setback;

/// How often a renewal starts over because a sign-in overtook it.
const ATTEMPTS: usize = 3;

/// What came back for a refresh token.
pub(crate) struct Redeemed {
    pub(crate) response: TokenResponse,
    /// The token that was redeemed, or its successor once that is kept.
    pub(crate) current: Arc<RefreshTokenEntity>,
    /// What takes its place, until that is kept.
    pub(crate) successor: Option<Arc<RefreshTokenEntity>>,
    /// What is known to bind the token, before this answer.
    pub(crate) binding: Binding,
    pub(crate) key: Option<OpenKey>,
    /// The same key, if it was made for this.
    pub(crate) fresh_key: Option<FreshKey>,
    pub(crate) asked_at: UnixTime,
    pub(crate) sent: Scopes,
}

impl Shared {
    /// Takes the grant's turn, looks again, and renews if that is still called for.
    pub(crate) async fn renewal(
        self: Arc<Self>,
        silent: Silent,
        request: RequestIdentity,
    ) -> Result<Acquired, AcquireTokenError> {
        let _turn = self.turns.take(silent.grant.clone()).await;
        let renewed = self.renewed_in_turn(&silent, &request).await;
        log_outcome(&silent, &renewed);
        renewed
    }

    async fn renewed_in_turn(
        self: &Arc<Self>,
        silent: &Silent,
        request: &RequestIdentity,
    ) -> Result<Acquired, AcquireTokenError> {
        self.vault.write_what_is_left().await?;
        for _ in 0..ATTEMPTS {
            // Whoever had the turn before may have brought what is wanted, or rotated the token.
            let redeemable = match self.look(silent)? {
                Lookup::RefreshDue(_, redeemable) if request.ahead_of_need => redeemable,
                Lookup::Fresh(hit) | Lookup::RefreshDue(hit, _) => {
                    return Ok(Acquired::new(hit, TokenSource::Cache));
                }
                Lookup::Expiring(_, redeemable) | Lookup::Expired(redeemable) => redeemable,
                Lookup::Absent => return Err(sign_in_needed(&silent.asked)),
            };
            match self.renewed(silent, &redeemable).await {
                Ok(hit) => return Ok(Acquired::new(hit, TokenSource::IdentityProvider)),
                Err(Setback::Overtaken) => {}
                Err(Setback::Failed(error)) => {
                    self.hold_back(request, &error);
                    return Err(error);
                }
            }
        }
        Err(silent.asked.error(
            ErrorKind::ServerTemporarilyUnavailable,
            "the account changed again and again while its token was renewed; try again",
        ))
    }

    /// Redeems one refresh token and keeps what comes back.
    async fn renewed(
        self: &Arc<Self>,
        silent: &Silent,
        redeemable: &Redeemable,
    ) -> Result<Hit, Setback> {
        let authority = &silent.asked.authority;
        let known = self.metadata.get(&self.ports, authority).await?;
        let redeemed = match self.redeemed(silent, &redeemable.token, &known).await {
            Ok(redeemed) => redeemed,
            Err(error) => return Err(self.set_back(silent, &redeemable.token, error).await),
        };
        self.settled(silent, redeemable, redeemed, &known).await
    }

    /// RFC 6749 §6, with the proof the grant is bound to.
    pub(crate) async fn redeemed(
        self: &Arc<Self>,
        silent: &Silent,
        token: &Arc<RefreshTokenEntity>,
        known: &Known,
    ) -> Result<Redeemed, NotRedeemed> {
        let (key, fresh_key) = self.renewal_key(silent, token, known).await?;
        let redeemed = self.redeemed_with(silent, token, key, known).await?;
        Ok(Redeemed {
            fresh_key,
            ..redeemed
        })
    }

    /// The same, with this key.
    pub(crate) async fn redeemed_with(
        &self,
        silent: &Silent,
        token: &Arc<RefreshTokenEntity>,
        key: Option<OpenKey>,
        known: &Known,
    ) -> Result<Redeemed, NotRedeemed> {
        let asked = &silent.asked;
        let sent = scopes_to_send(silent, token);
        let thumbprint = key.as_ref().map(OpenKey::thumbprint);
        let options = asked.options(thumbprint.as_ref());
        let request = RefreshRequest {
            token_endpoint: &known.metadata.token_endpoint,
            client_id: &asked.client,
            refresh_token: &token.secret,
            scopes: &sent,
        };
        let asked_at = self.now();
        let proof = self.proof(&asked.authority, key.as_ref());
        let grant = Grant::RefreshToken(request, &options);
        let response = redeem(&self.ports, &*proof, grant).await?;
        Ok(Redeemed {
            response,
            current: Arc::clone(token),
            successor: None,
            binding: token.binding,
            key,
            fresh_key: None,
            asked_at,
            sent,
        })
    }

    /// The key of the grant. One is made where a bound access token is wanted of Entra for the
    /// first time; everywhere else the sign-in made it, or there is none.
    async fn renewal_key(
        self: &Arc<Self>,
        silent: &Silent,
        token: &RefreshTokenEntity,
        known: &Known,
    ) -> Result<(Option<OpenKey>, Option<FreshKey>), NotRedeemed> {
        let asked = &silent.asked;
        if let Some(name) = &token.key {
            return Ok((Some(self.open_key(name).await?), None));
        }
        if asked.token_type == TokenType::Pop {
            let (key, fresh) = self.fresh_key().await?;
            return Ok((Some(key), Some(fresh)));
        }
        let demanded = asked.authority.dpop == DpopPolicy::Required;
        if asked.token_type == TokenType::Bearer && !demanded {
            return Ok((None, None));
        }
        Err(NotRedeemed::Refused(
            if binds_by_dpop(&asked.authority, known)? {
                asked.error(
                    ErrorKind::InteractionRequired,
                    "the sign-in is not bound to a key of this device; sign in again",
                )
            } else {
                asked.cannot_bind()
            },
        ))
    }
}

/// Why a refresh token was not redeemed.
pub(crate) enum NotRedeemed {
    /// The attempt went wrong.
    Redeem(RedeemError),
    /// It was not even tried.
    Refused(AcquireTokenError),
}

impl<E: Into<RedeemError>> From<E> for NotRedeemed {
    fn from(error: E) -> Self {
        Self::Redeem(error.into())
    }
}

impl From<AcquireTokenError> for NotRedeemed {
    fn from(error: AcquireTokenError) -> Self {
        Self::Refused(error)
    }
}

impl NotRedeemed {
    /// The authority's own words, if it refused.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Redeem(RedeemError::Token(error @ TokenError::Refused(_))) => error.refusal(),
            _ => None,
        }
    }
}

impl From<NotRedeemed> for AcquireTokenError {
    fn from(error: NotRedeemed) -> Self {
        match error {
            NotRedeemed::Redeem(error) => error.into(),
            NotRedeemed::Refused(error) => error,
        }
    }
}

/// One line per outcome.
fn log_outcome(silent: &Silent, outcome: &Result<Acquired, AcquireTokenError>) {
    let (correlation_id, client_id) = (silent.asked.correlation_id, &silent.asked.client);
    match outcome {
        Ok(acquired) => {
            let binding = acquired.hit.token.binding;
            tracing::info!(%correlation_id, %client_id, %binding, "renewed");
        }
        Err(error) => {
            let kind = error.kind().row().name;
            tracing::info!(%correlation_id, %client_id, error = kind, "not renewed");
        }
    }
}

/// Entra gives tokens for any resource. Elsewhere the scopes must be among those granted
/// (RFC 6749 §6), so of the scopes we add only those are repeated; no scope at all asks for
/// everything that was granted.
fn scopes_to_send(silent: &Silent, token: &RefreshTokenEntity) -> Scopes {
    let asked = &silent.asked;
    match asked.authority.kind {
        AuthorityKind::Entra => with_identity(&asked.scopes),
        AuthorityKind::OpenId => {
            let ours = with_identity(&Scopes::none());
            let granted: Scopes = ours
                .iter()
                .filter(|scope| token.scopes.contains(scope))
                .collect();
            granted.union(&asked.scopes)
        }
    }
}

#[cfg(test)]
mod tests;
