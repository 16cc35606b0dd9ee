//! The port *grant proof*: turns "redeem this code, or this refresh token, for these scopes" into
//! a request that carries the right proof, and reads the answer.
//!
//! Flows do not know which proof they use. [`Unbound`] proves nothing, [`Dpop`] proves possession
//! of a key (RFC 9449); Entra's Primary Refresh Token and bound refresh tokens, whose requests are
//! signed and whose answers are sealed, fit the same two steps.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use keyward_oauth::authorization_code::Exchange;
use keyward_oauth::dpop::{self, ProofTarget};
use keyward_oauth::identifiers::ClientId;
use keyward_oauth::jose::Jwk;
use keyward_oauth::jose::jws::Unsigned;
use keyward_oauth::refresh_token::RefreshRequest;
use keyward_oauth::revocation;
use keyward_oauth::secret::RefreshToken;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_request::TokenOptions;
use keyward_oauth::token_response::{self, TokenError, TokenResponse};
use keyward_oauth::transport::{HttpRequest, HttpResponse, TransportError};

use crate::error::AcquireTokenError;
use crate::nonces::{Nonces, Server};
use crate::ports::{BindingKey, KeyError, Ports};

/// What is redeemed, or given up.
#[derive(Clone, Copy)]
pub enum Grant<'a> {
    /// An authorization code (RFC 6749 §4.1.3).
    Code(&'a Exchange, &'a TokenOptions<'a>),
    /// A refresh token (RFC 6749 §6).
    RefreshToken(RefreshRequest<'a>, &'a TokenOptions<'a>),
    /// A refresh token to be revoked (RFC 7009 §2.1).
    Revocation {
        /// `revocation_endpoint`.
        endpoint: &'a Url,
        /// The client it was issued to.
        client_id: &'a ClientId,
        /// The token.
        token: &'a RefreshToken,
    },
}

impl Grant<'_> {
    /// Where the request goes; the `htu` of a DPoP proof.
    fn endpoint(&self) -> &Url {
        match self {
            Self::Code(exchange, _) => exchange.token_endpoint(),
            Self::RefreshToken(request, _) => request.token_endpoint,
            Self::Revocation { endpoint, .. } => endpoint,
        }
    }

    fn to_http(self, proof: Option<&str>) -> HttpRequest {
        match self {
            Self::Code(exchange, options) => exchange.to_http(options, proof),
            Self::RefreshToken(request, options) => request.to_http(options, proof),
            Self::Revocation {
                endpoint,
                client_id,
                token,
            } => revocation::request(endpoint, client_id, token, proof),
        }
    }
}

/// Proves that a grant is redeemed where it belongs.
#[async_trait]
pub trait GrantProof: Send + Sync {
    /// The request with its proof.
    ///
    /// # Errors
    ///
    /// When the key cannot be used.
    async fn request(&self, ports: &Ports, grant: Grant<'_>) -> Result<HttpRequest, KeyError>;

    /// Looks at the answer before it is read: `true` to prove again, because the authority gave
    /// what was missing and left the grant unused.
    fn must_prove_again(&self, grant: Grant<'_>, response: &HttpResponse, now: UnixTime) -> bool;
}

/// Redeems a grant. The request is repeated at most once, and only when the authority asked for
/// another proof; everything else is the caller's decision, because grants are used up.
///
/// # Errors
///
/// As [`RedeemError`] says.
pub async fn redeem(
    ports: &Ports,
    proof: &dyn GrantProof,
    grant: Grant<'_>,
) -> Result<TokenResponse, RedeemError> {
    let response = send(ports, proof, grant).await?;
    Ok(token_response::read(&response, ports.clock.now())?)
}

/// Sends the request of a grant, as [`redeem`] does, without reading the answer.
///
/// # Errors
///
/// As [`RedeemError`] says, except [`RedeemError::Token`].
pub async fn send(
    ports: &Ports,
    proof: &dyn GrantProof,
    grant: Grant<'_>,
) -> Result<HttpResponse, RedeemError> {
    let response = ports.http.send(proof.request(ports, grant).await?).await?;
    if !proof.must_prove_again(grant, &response, ports.clock.now()) {
        return Ok(response);
    }
    let response = ports.http.send(proof.request(ports, grant).await?).await?;
    // The second answer is final; it may bring the nonce for the next request.
    proof.must_prove_again(grant, &response, ports.clock.now());
    Ok(response)
}

/// Why a grant could not be redeemed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedeemError {
    /// The key cannot be used; the grant is as it was.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No answer came; the grant may be used up or not.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The authority refused, or its answer cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl From<RedeemError> for AcquireTokenError {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Key(error) => error.into(),
            RedeemError::Transport(error) => error.into(),
            RedeemError::Token(error) => error.into(),
        }
    }
}

/// No proof: whoever has the grant can redeem it.
pub struct Unbound;

#[async_trait]
impl GrantProof for Unbound {
    async fn request(&self, _: &Ports, grant: Grant<'_>) -> Result<HttpRequest, KeyError> {
        Ok(grant.to_http(None))
    }

    fn must_prove_again(&self, _: Grant<'_>, _: &HttpResponse, _: UnixTime) -> bool {
        false
    }
}

/// A DPoP proof by a binding key (RFC 9449 §5).
pub struct Dpop {
    /// The key.
    pub key: Arc<dyn BindingKey>,
    /// Where nonces are remembered.
    pub nonces: Arc<Nonces>,
}

#[async_trait]
impl GrantProof for Dpop {
    async fn request(&self, ports: &Ports, grant: Grant<'_>) -> Result<HttpRequest, KeyError> {
        let url = grant.endpoint();
        let nonce = self.nonces.latest(Server::Authority, url);
        let target = ProofTarget {
            method: "POST",
            url,
            nonce: nonce.as_deref(),
            access_token: None,
        };
        let unsigned = |key: &Jwk| dpop::proof(key, &target, ports.clock.now(), ports.draw());
        let proof = signed(&*self.key, unsigned).await?;
        Ok(grant.to_http(Some(&proof)))
    }

    /// Any answer may carry a new nonce (§8.2); only `use_dpop_nonce` says that the grant was left
    /// unused for want of it (§8).
    fn must_prove_again(&self, grant: Grant<'_>, response: &HttpResponse, now: UnixTime) -> bool {
        let Some(nonce) = dpop::nonce(&response.headers) else {
            return false;
        };
        self.nonces
            .heard(Server::Authority, grant.endpoint(), &nonce);
        if response.status.is_success() {
            return false;
        }
        let refused = token_response::read(response, now).err();
        let refusal = refused.as_ref().and_then(TokenError::refusal);
        refusal.is_some_and(|refusal| refusal.error.wants_dpop_nonce())
    }
}

/// Signs what `unsigned` makes for the key, wherever the key is.
///
/// # Errors
///
/// When the key cannot be used.
pub async fn signed(
    key: &dyn BindingKey,
    unsigned: impl FnOnce(&Jwk) -> Unsigned,
) -> Result<String, KeyError> {
    let unsigned = unsigned(key.public_jwk());
    let signature = key.sign(unsigned.signing_input()).await?;
    Ok(unsigned.finish(&signature))
}
