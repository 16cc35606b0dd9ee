//! After the redirect: the code is redeemed (RFC 6749 §4.1.3), the ID token says who signed in
//! (OpenID Connect Core §3.1.3), and everything is kept before anybody sees it.

use std::sync::Arc;

use keyward_oauth::id_token::IdToken;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_response::{TokenError, TokenResponse};

use super::{Interactive, SignedIn};
use crate::account::AccountSelector;
use crate::acquisition::Acquisition;
use crate::authority::AuthorityKind;
use crate::binding::{Binding, KeyProtection};
use crate::cache::Cache;
use crate::cache::entity::{Account, RefreshTokenEntity};
use crate::cache::key::{AccountKey, GrantKey, slot};
use crate::cache::lookup::{Hit, Redeemable};
use crate::cache::update::Answer;
use crate::engine::{Shared, panicked};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::{Grant, RedeemError, redeem};
use crate::identity::Identity;
use crate::result::{TokenSource, TokenType};
use crate::settle::{self, OpenKey, Placement, issued_type};
use crate::silent::Acquired;
use crate::vault::Unwritten;

/// Where the tokens of a sign-in belong.
struct Entry<'a> {
    asked: &'a Acquisition,
    signed_in: &'a SignedIn,
    identity: Identity,
    grant: GrantKey,
    issued: Option<TokenType>,
    asked_at: UnixTime,
    key_protection: KeyProtection,
}

impl Shared {
    /// Redeems the code, finds out who signed in, keeps everything.
    pub(super) async fn signed_in(
        self: &Arc<Self>,
        interactive: &Interactive,
        mut signed_in: SignedIn,
    ) -> Result<Acquired, AcquireTokenError> {
        let asked = &interactive.asked;
        let asked_at = self.now();
        let mut response = self.code_redeemed(asked, &signed_in).await?;
        let id_token = self
            .id_token_of_sign_in(asked, &signed_in, &mut response)
            .await?;
        let identity = Identity::read(&asked.authority, &id_token, response.client_info.as_ref())?;
        right_person(interactive, &identity)?;
        let (issued, verdict) = issued_type(asked, &response);
        let fresh_key = signed_in.fresh_key.take();
        let entry = Entry {
            asked,
            signed_in: &signed_in,
            grant: GrantKey {
                account: AccountKey {
                    provider: Arc::clone(&asked.authority.provider),
                    home: identity.home.clone(),
                },
                client: asked.client.clone(),
            },
            identity,
            issued,
            asked_at,
            key_protection: self.key_protection(signed_in.key.as_ref()),
        };
        let kept = self.entered(&entry, &id_token, response).await?;
        if let Some(key) = fresh_key.filter(|_| kept.refers_to_key()) {
            key.keep();
        }
        self.throttle.release(|held| held.grant == entry.grant);
        verdict?;
        let hit = kept.hit.ok_or_else(|| panicked("reading a token answer"))?;
        let hit = match kept.redeemable {
            Some(redeemable) if asked.authority.verify_binding => {
                self.binding_verified(asked, redeemable, hit, &signed_in.known)
                    .await?
            }
            _ => hit,
        };
        Ok(Acquired::new(hit, TokenSource::IdentityProvider))
    }

    /// RFC 6749 §4.1.3, with the proof the code is bound to.
    async fn code_redeemed(
        &self,
        asked: &Acquisition,
        signed_in: &SignedIn,
    ) -> Result<TokenResponse, AcquireTokenError> {
        let thumbprint = signed_in.key.as_ref().map(OpenKey::thumbprint);
        let options = asked.options(thumbprint.as_ref());
        let proof = self.proof(&asked.authority, signed_in.key.as_ref());
        let grant = Grant::Code(&signed_in.exchange, &options);
        redeem(&self.ports, &*proof, grant)
            .await
            .map_err(code_refused)
    }

    /// Who signed in, checked against the nonce of this sign-in.
    async fn id_token_of_sign_in(
        &self,
        asked: &Acquisition,
        signed_in: &SignedIn,
        response: &mut TokenResponse,
    ) -> Result<IdToken, AcquireTokenError> {
        let token = response.id_token.take().ok_or_else(|| {
            asked.error(
                ErrorKind::InvalidResponse,
                "the authority did not say who signed in: its answer has no ID token",
            )
        })?;
        let expected = (&asked.client, Some(signed_in.exchange.nonce()));
        self.verified(&asked.authority, &signed_in.known, &token, expected)
            .await
    }

    /// Writes everything the answer brings.
    async fn entered(
        self: &Arc<Self>,
        entry: &Entry<'_>,
        id_token: &IdToken,
        mut response: TokenResponse,
    ) -> Result<Kept, AcquireTokenError> {
        let account = Arc::new(self.account_of(entry)?);
        let refresh_token = entry.refresh_token(&mut response);
        let access_token = entry.access_token(&response);
        let realm = &entry.identity.profile.tenant_id;
        let id_token = settle::id_token(id_token, &entry.grant, realm);
        let answer = Answer {
            account: Arc::clone(&account),
            refresh_token: refresh_token.clone(),
            access_token: access_token.clone(),
            id_token: Some(Arc::clone(&id_token)),
            environment: entry.asked.environment(),
        };
        let now = self.now();
        self.vault
            .commit(Unwritten::Forget, move |cache: &Cache| {
                Some(cache.answered(answer, now))
            })
            .await?;
        Ok(Kept {
            hit: access_token.map(|token| Hit {
                account: Arc::clone(&account),
                token,
                id_token: Some(id_token),
            }),
            redeemable: refresh_token.map(|token| Redeemable { account, token }),
        })
    }

    /// The account, with what the ID token says about it in this tenant.
    fn account_of(&self, entry: &Entry<'_>) -> Result<Account, AcquireTokenError> {
        let profile = entry.identity.profile.clone();
        let cache = self.vault.cache()?;
        Ok(match cache.account(&entry.grant.account) {
            Some(known) => known.with_profile(profile),
            None => Account {
                key: entry.grant.account.clone(),
                kind: entry.asked.authority.kind,
                profiles: vec![profile],
            },
        })
    }
}

/// What a sign-in left in the vault.
struct Kept {
    hit: Option<Hit>,
    redeemable: Option<Redeemable>,
}

impl Kept {
    fn refers_to_key(&self) -> bool {
        let refresh = self.redeemable.as_ref().map(|r| r.token.key.is_some());
        let access = self.hit.as_ref().map(|hit| hit.token.key.is_some());
        refresh.unwrap_or(false) || access.unwrap_or(false)
    }
}

impl Entry<'_> {
    fn key(&self) -> Option<&OpenKey> {
        self.signed_in.key.as_ref()
    }

    fn refresh_token(&self, response: &mut TokenResponse) -> Option<Arc<RefreshTokenEntity>> {
        let secret = response.refresh_token.take()?;
        let sent = &self.signed_in.sent;
        Some(Arc::new(RefreshTokenEntity {
            grant: self.grant.clone(),
            slot: match self.asked.authority.kind {
                AuthorityKind::Entra => String::new(),
                AuthorityKind::OpenId => slot(&[&sent.canonical()]),
            },
            secret,
            scopes: response.scopes.clone().unwrap_or_else(|| sent.clone()),
            binding: settle::binding(self.issued, Binding::SealedAtRest),
            key: self.key().map(|key| key.name.clone()),
            key_protection: self.key_protection,
            issued_at: self.asked_at,
        }))
    }

    fn access_token(
        &self,
        response: &TokenResponse,
    ) -> Option<Arc<crate::cache::entity::AccessTokenEntity>> {
        let mut target = self.asked.target(&self.identity.profile.tenant_id);
        target.token_type = self.issued?;
        let place = Placement {
            grant: self.grant.clone(),
            target,
            key: self.key().map(|key| key.name.clone()),
            binding: settle::binding(self.issued, Binding::SealedAtRest),
            key_protection: self.key_protection,
            asked_at: self.asked_at,
            sent: self.signed_in.sent.clone(),
        };
        Some(settle::access_token(response, place))
    }
}

/// The person who signed in is the one who was asked for.
fn right_person(interactive: &Interactive, identity: &Identity) -> Result<(), AcquireTokenError> {
    let right = match &interactive.account {
        None | Some(AccountSelector::Only) => true,
        Some(AccountSelector::Home(home)) => *home == identity.home,
        Some(AccountSelector::Username(name)) => {
            name.to_lowercase() == identity.profile.username.to_lowercase()
        }
    };
    if right {
        return Ok(());
    }
    Err(interactive.asked.error(
        ErrorKind::AccountSwitch,
        "another person signed in than was asked for; nothing of it was kept",
    ))
}

/// A code that is refused is no reason to sign in again at once, unless the authority says what
/// more it wants.
fn code_refused(error: RedeemError) -> AcquireTokenError {
    let plain = match &error {
        RedeemError::Token(TokenError::Refused(refusal)) => {
            refusal.error.error == "invalid_grant"
                && refusal.error.claims.is_none()
                && refusal.error.suberror.is_none()
        }
        _ => false,
    };
    let told = AcquireTokenError::from(error);
    if plain {
        let said = told.authority().cloned();
        return AcquireTokenError::new(ErrorKind::Rejected, told.message()).with_authority(said);
    }
    told
}
