//! A token answer on its way into the vault: what type it is, who it is for, what to keep.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use keyward_oauth::id_token::{ExpectedIdToken, IdToken, IdTokenError, Nonce, UnverifiedIdToken};
use keyward_oauth::identifiers::ClientId;
use keyward_oauth::jose::Thumbprint;
use keyward_oauth::scope::Scopes;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_response::TokenResponse;

use crate::acquisition::Acquisition;
use crate::authority::{Authority, AuthorityKind, DpopPolicy};
use crate::authority_metadata::Known;
use crate::binding::{Binding, KeyProtection};
use crate::cache::entity::{AccessTokenEntity, IdTokenEntity};
use crate::cache::key::{GrantKey, Target};
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::{Dpop, GrantProof, Unbound};
use crate::ports::{BindingKey, KeyError, KeyRef};
use crate::result::TokenType;

/// The lifetime of an access token whose authority does not state one.
const UNSTATED_LIFETIME: Duration = Duration::from_secs(600);

/// A key that is ready to sign.
#[derive(Clone)]
pub(crate) struct OpenKey {
    pub(crate) name: KeyRef,
    /// Where it lives.
    pub(crate) protection: KeyProtection,
    pub(crate) key: Arc<dyn BindingKey>,
}

impl OpenKey {
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.key.public_jwk().thumbprint()
    }
}

/// A key that was just made. Unless it is kept, it is destroyed again: a grant that did not come
/// about leaves no key behind.
pub(crate) struct FreshKey(Option<(Arc<Shared>, KeyRef)>);

impl FreshKey {
    /// Something that is kept refers to it now, or the commit has destroyed it.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for FreshKey {
    fn drop(&mut self) {
        if let Some((shared, key)) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { shared.vault.destroy(vec![key]).await });
        }
    }
}

/// What an access token becomes part of.
pub(crate) struct Placement {
    pub(crate) grant: GrantKey,
    pub(crate) target: Target,
    pub(crate) key: Option<KeyRef>,
    pub(crate) binding: Binding,
    pub(crate) key_protection: KeyProtection,
    /// When it was asked for: its life is counted from there, to be on the safe side.
    pub(crate) asked_at: UnixTime,
    /// The scopes sent; the ones granted unless the answer says others (RFC 6749 §5.1).
    pub(crate) sent: Scopes,
}

impl Shared {
    /// Opens a key.
    pub(crate) async fn open_key(&self, name: &KeyRef) -> Result<OpenKey, KeyError> {
        let key = self.ports.keys.open(name).await?;
        Ok(OpenKey {
            name: name.clone(),
            protection: self.ports.keys.protection_of(name),
            key,
        })
    }

    /// Where what is bound to a key lives: there where the key does, or where new ones are made.
    pub(crate) fn key_protection(&self, key: Option<&OpenKey>) -> KeyProtection {
        key.map_or_else(|| self.ports.keys.protection(), |key| key.protection)
    }

    /// Makes a key.
    pub(crate) async fn fresh_key(self: &Arc<Self>) -> Result<(OpenKey, FreshKey), KeyError> {
        let name = self.ports.keys.create().await?;
        let fresh = FreshKey(Some((Arc::clone(self), name.clone())));
        Ok((self.open_key(&name).await?, fresh))
    }

    /// The proof a grant is redeemed with. Entra's keys are for signed HTTP requests only.
    pub(crate) fn proof(
        &self,
        authority: &Authority,
        key: Option<&OpenKey>,
    ) -> Box<dyn GrantProof> {
        match key {
            Some(key) if authority.kind == AuthorityKind::OpenId => Box::new(Dpop {
                key: Arc::clone(&key.key),
                nonces: Arc::clone(&self.nonces),
            }),
            _ => Box::new(Unbound),
        }
    }

    /// Verifies an ID token (OpenID Connect Core §3.1.3.7), with newer keys if it is signed by one
    /// we do not know.
    pub(crate) async fn verified(
        &self,
        authority: &Authority,
        known: &Arc<Known>,
        token: &UnverifiedIdToken,
        expected: (&ClientId, Option<&Nonce>),
    ) -> Result<IdToken, AcquireTokenError> {
        match verify(known, token, expected, self.now()) {
            Err(IdTokenError::UnknownKey) => {
                let known = self
                    .metadata
                    .newer_keys(&self.ports, authority, known)
                    .await?;
                Ok(verify(&known, token, expected, self.now())?)
            }
            result => Ok(result?),
        }
    }
}

/// Verifies an ID token with the keys at hand.
pub(crate) fn verify(
    known: &Known,
    token: &UnverifiedIdToken,
    (client_id, nonce): (&ClientId, Option<&Nonce>),
    now: UnixTime,
) -> Result<IdToken, IdTokenError> {
    let expected = ExpectedIdToken {
        issuer: &known.metadata.issuer,
        client_id,
        nonce,
    };
    token.verify(&known.keys, &expected, now)
}

/// Whether grants of this authority are bound by DPoP.
///
/// # Errors
///
/// When the configuration demands what the authority does not offer.
pub(crate) fn binds_by_dpop(
    authority: &Authority,
    known: &Known,
) -> Result<bool, AcquireTokenError> {
    let offered = authority.kind == AuthorityKind::OpenId && known.metadata.supports_dpop();
    match authority.dpop {
        DpopPolicy::Off => Ok(false),
        DpopPolicy::Auto => Ok(offered),
        DpopPolicy::Required if offered => Ok(true),
        DpopPolicy::Required => Err(AcquireTokenError::new(
            ErrorKind::IncorrectConfiguration,
            format!(
                "the configuration demands DPoP of {}, which does not announce it with ES256",
                authority.issuer
            ),
        )),
    }
}

/// What the answer's access token is, and whether that is what was asked for. An unwanted token is
/// an error only after everything else in the answer has been kept.
pub(crate) fn issued_type(
    asked: &Acquisition,
    response: &TokenResponse,
) -> (Option<TokenType>, Result<(), AcquireTokenError>) {
    let issued = TokenType::parse(&response.token_type);
    let verdict = match (asked.token_type, issued) {
        (wanted, Some(issued)) if wanted == issued => Ok(()),
        (_, None) => Err(asked.error(
            ErrorKind::InvalidResponse,
            "the authority issued an access token of an unknown type",
        )),
        (TokenType::Bearer, Some(_)) => Err(asked.error(
            ErrorKind::IncorrectConfiguration,
            "the authority issues only access tokens that are bound to a key; ask for the DPoP or \
             PoP scheme (keyward login --dpop), or set dpop = \"off\" for this authority",
        )),
        (TokenType::Dpop | TokenType::Pop, Some(_)) => Err(asked.error(
            ErrorKind::NotSupported,
            "the authority issued a bearer token although a token bound to a key was asked for",
        )),
    };
    (issued, verdict)
}

/// What ties the refresh token of this answer to the key that was proved. A `DPoP` answer to a
/// public client says so (RFC 9449 §5); anything else says nothing new.
pub(crate) fn binding(issued: Option<TokenType>, before: Binding) -> Binding {
    match issued {
        Some(TokenType::Dpop) => Binding::Dpop,
        _ => before,
    }
}

/// The access token of an answer, placed.
pub(crate) fn access_token(response: &TokenResponse, place: Placement) -> Arc<AccessTokenEntity> {
    let lifetime = response.expires_in.unwrap_or(UNSTATED_LIFETIME);
    let asked_at = place.asked_at;
    Arc::new(AccessTokenEntity {
        grant: place.grant,
        // Only bound tokens name a key.
        key: place
            .key
            .filter(|_| place.target.token_type != TokenType::Bearer),
        target: place.target,
        secret: response.access_token.clone(),
        scopes: response.scopes.clone().unwrap_or(place.sent),
        binding: place.binding,
        key_protection: place.key_protection,
        cached_at: asked_at,
        expires_on: asked_at.plus(lifetime),
        ext_expires_on: response.ext_expires_in.map(|span| asked_at.plus(span)),
        refresh_on: response.refresh_in.map(|span| asked_at.plus(span)),
    })
}

/// The ID token of an answer, placed.
pub(crate) fn id_token(token: &IdToken, grant: &GrantKey, realm: &str) -> Arc<IdTokenEntity> {
    Arc::new(IdTokenEntity {
        grant: grant.clone(),
        realm: realm.to_owned(),
        secret: token.text().clone(),
    })
}
