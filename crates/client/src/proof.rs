//! What is handed out: results, and the proofs that go with bound access tokens. Keys never leave;
//! applications get finished signatures for one request each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use url::Url;

use keyward_oauth::dpop::{self, ProofTarget};
use keyward_oauth::identifiers::{ClientId, CorrelationId};
use keyward_oauth::jose::Jwk;
use keyward_oauth::secret::AccessToken;
use keyward_oauth::shr::{self, SignedRequest};
use keyward_oauth::time::UnixTime;

use crate::acquisition::Acquisition;
use crate::authority::{Authority, AuthorityKind};
use crate::cache::Edit;
use crate::cache::entity::{AccessTokenEntity, Environment};
use crate::cache::lookup::Hit;
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::signed;
use crate::nonces::Server;
use crate::ports::{KeyError, KeyRef};
use crate::request::{AuthenticationScheme, DpopProofRequest, PopParameters, ResourceRequest};
use crate::result::{AuthenticationResult, TokenSource, TokenType};
use crate::silent::Acquired;
use crate::vault::Unwritten;

/// How often the names of authorities are written at most.
const ENVIRONMENT_FLOOR: Duration = Duration::from_secs(10);

/// Who asks, and how it names whom it asks about.
pub(crate) struct Asker<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) authority: &'a Authority,
    pub(crate) correlation_id: CorrelationId,
}

impl Shared {
    /// Makes a result of an access token: wrapped into a signed HTTP request, or with its first
    /// proof, as the scheme wants it.
    pub(crate) async fn present(
        self: &Arc<Self>,
        asked: &Acquisition,
        acquired: Acquired,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let token = &acquired.hit.token;
        let by = Asker {
            client: &asked.client,
            authority: &asked.authority,
            correlation_id: asked.correlation_id,
        };
        let bearer = self.bearer(&by, &acquired.hit, acquired.source)?;
        Ok(match &asked.scheme {
            AuthenticationScheme::Bearer => bearer,
            AuthenticationScheme::Dpop(None) => AuthenticationResult {
                token_type: TokenType::Dpop,
                ..bearer
            },
            AuthenticationScheme::Dpop(Some(resource)) => {
                let proof = self
                    .resource_proof(bound_key(token)?, &token.secret, resource)
                    .await;
                AuthenticationResult {
                    token_type: TokenType::Dpop,
                    dpop_proof: Some(self.unless_lost(asked, token, proof).await?),
                    ..bearer
                }
            }
            AuthenticationScheme::Pop(parameters) => {
                let request = self.signed_request(token, parameters).await;
                let request = self.unless_lost(asked, token, request).await?;
                AuthenticationResult {
                    access_token: AccessToken::new(request),
                    token_type: TokenType::Pop,
                    ..bearer
                }
            }
        })
    }

    /// The result as it is for who presents the access token alone.
    pub(crate) fn bearer(
        self: &Arc<Self>,
        by: &Asker<'_>,
        hit: &Hit,
        source: TokenSource,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let token = &hit.token;
        self.remember_environment(by);
        let profile = hit.account.profile(&token.target.realm);
        let profile = profile.or_else(|| hit.account.home_profile());
        let profile = profile.ok_or_else(|| crate::engine::panicked("reading an account"))?;
        Ok(AuthenticationResult {
            access_token: token.secret.clone(),
            token_type: TokenType::Bearer,
            scopes: token.scopes.clone(),
            expires_on: token.expires_on,
            ext_expires_on: token.ext_expires_on,
            refresh_on: token.refresh_on,
            account: hit.account.info(profile, &by.authority.environment),
            id_token: hit.id_token.as_ref().map(|token| token.secret.clone()),
            authority: profile.issuer.clone(),
            token_source: source,
            binding: Some(token.binding),
            key_protection: Some(token.key_protection),
            dpop_proof: None,
            correlation_id: by.correlation_id,
        })
    }

    /// A finished signed HTTP request (`device-binding.md` 3).
    async fn signed_request(
        &self,
        token: &AccessTokenEntity,
        parameters: &PopParameters,
    ) -> Result<String, AcquireTokenError> {
        let key = self.open_key(bound_key(token)?).await?;
        let request = SignedRequest {
            access_token: &token.secret,
            method: &parameters.method,
            host: &parameters.host,
            path: &parameters.path,
            nonce: parameters
                .nonce
                .as_deref()
                .filter(|nonce| !nonce.is_empty()),
            client_claims: parameters
                .client_claims
                .as_deref()
                .filter(|text| !text.is_empty()),
        };
        let unsigned = |key: &Jwk| shr::request(key, &request, self.now(), self.ports.draw());
        Ok(signed(&*key.key, unsigned).await?)
    }

    /// A DPoP proof for a request to a resource (RFC 9449 §7).
    async fn resource_proof(
        &self,
        key: &KeyRef,
        access_token: &AccessToken,
        resource: &ResourceRequest,
    ) -> Result<String, AcquireTokenError> {
        let url = Url::parse(&resource.uri).map_err(|_| {
            AcquireTokenError::new(
                ErrorKind::InvalidRequest,
                "the resource's uri is not an absolute URL",
            )
        })?;
        if let Some(nonce) = &resource.nonce {
            self.nonces.heard(Server::Resource, &url, nonce);
        }
        let latest = || self.nonces.latest(Server::Resource, &url);
        let nonce = resource.nonce.clone().or_else(latest);
        let target = ProofTarget {
            method: &resource.method,
            url: &url,
            nonce: nonce.as_deref(),
            access_token: Some(access_token),
        };
        let key = self.open_key(key).await?;
        let unsigned = |key: &Jwk| dpop::proof(key, &target, self.now(), self.ports.draw());
        Ok(signed(&*key.key, unsigned).await?)
    }

    /// A key that is lost takes with it what is bound to it; the person is asked once.
    async fn unless_lost<T>(
        self: &Arc<Self>,
        asked: &Acquisition,
        token: &AccessTokenEntity,
        result: Result<T, AcquireTokenError>,
    ) -> Result<T, AcquireTokenError> {
        let error = match result {
            Err(error) if error.kind() == ErrorKind::KeyNotFound => error,
            result => return result,
        };
        if let Some(key) = &token.key {
            self.forget_lost_key(&token.grant, key, asked.authority.kind)
                .await?;
        }
        let kind = match asked.authority.kind {
            AuthorityKind::OpenId => ErrorKind::InteractionRequired,
            // The refresh token is not bound to it: the same request makes a new key.
            AuthorityKind::Entra => ErrorKind::KeyNotFound,
        };
        Err(asked.error(kind, error.message()))
    }

    pub(crate) async fn dpop_proof(
        &self,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        let key = {
            let (cache, now) = (self.vault.cache()?, self.now());
            let mut grants = cache.grants_of(&request.client_id);
            grants.find_map(|grant| grant.key_of(&request.access_token, now).cloned())
        };
        let key = key.ok_or_else(|| {
            AcquireTokenError::new(
                ErrorKind::InvalidRequest,
                "the access token is no DPoP token that was issued to this client from here and \
                 still lasts; acquire one first",
            )
        })?;
        self.resource_proof(&key, &request.access_token, &request.resource)
            .await
    }

    /// Remembers how this client names the authority: its accounts are listed under that name.
    fn remember_environment(self: &Arc<Self>, by: &Asker<'_>) {
        let Authority {
            provider,
            environment,
            ..
        } = by.authority;
        let Ok(cache) = self.vault.cache() else {
            return;
        };
        if cache.environment(by.client, provider) == Some(environment) {
            return;
        }
        drop(cache);
        let named = Environment {
            client: by.client.clone(),
            provider: Arc::clone(provider),
            host: Arc::clone(environment),
        };
        let now = self.now();
        // A client that names it now this way, now that, must not make us write for each call.
        let last = UnixTime::from_secs(self.environment_written.load(Ordering::Relaxed));
        let recent = now >= last && now.since(last) < ENVIRONMENT_FLOOR;
        if !recent {
            self.environment_written
                .store(now.as_secs(), Ordering::Relaxed);
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                let plan = move |cache: &crate::cache::Cache| {
                    Some(cache.named(named).into_iter().collect::<Vec<Edit>>())
                };
                if let Err(error) = shared.vault.commit(Unwritten::Forget, plan).await {
                    tracing::warn!(%error, "the name of an authority is not remembered");
                }
            });
        }
    }
}

fn bound_key(token: &AccessTokenEntity) -> Result<&KeyRef, KeyError> {
    let key = token.key.as_ref();
    key.ok_or_else(|| KeyError::Lost("the vault does not name it".to_owned()))
}

#[cfg(test)]
mod tests;
