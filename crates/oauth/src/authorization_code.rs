//! The authorization code grant with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9207; OpenID Connect
//! Core §3.1), in the order it happens: [`start`], [`Pending::finish`], [`Exchange::to_http`].
//!
//! [`Pending`] owns verifier, state and nonce, is not `Clone` and is consumed, so they cannot be
//! mixed up between two sign-ins or used twice.

use std::collections::BTreeMap;
use std::fmt;

use keyward_jose::{Thumbprint, base64url, constant_time};
use url::Url;
use zeroize::Zeroizing;

use crate::error_response::ErrorResponse;
use crate::form::Form;
use crate::id_token::Nonce;
use crate::identifiers::ClientId;
use crate::issuer::Issuer;
use crate::metadata::Metadata;
use crate::pkce;
use crate::scope::Scopes;
use crate::secret::{Code, CodeVerifier};
use crate::token_request::{self, Dialect, RESERVED, TokenOptions};
use crate::transport::{HttpRequest, Redirect};

mod redirect;
mod redirect_uri;
pub mod rehearsal;

pub use redirect::RedirectError;
pub use redirect_uri::RedirectUri;

/// What a person is asked to sign in for.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The application's client id.
    pub client_id: &'a ClientId,
    /// Where the user agent will see the answer.
    pub redirect_uri: &'a RedirectUri,
    /// The scopes, sent as they are; see [`token_request::with_identity`].
    pub scopes: &'a Scopes,
    /// `prompt` (OpenID Connect Core §3.1.2.1).
    pub prompt: Option<&'a str>,
    /// `login_hint`: the user name to sign in with.
    pub login_hint: Option<&'a str>,
    /// `claims` (OpenID Connect Core §5.5), JSON text.
    pub claims: Option<&'a str>,
    /// `dpop_jkt` (RFC 9449 §10): the key the code, and so the tokens, will be bound to.
    pub dpop_jkt: Option<&'a Thumbprint>,
    /// The authority's habits.
    pub dialect: Dialect,
    /// Parameters of the application's, passed on as they are. They add, and never replace what
    /// the protocol sends.
    pub extra_parameters: &'a BTreeMap<String, String>,
}

/// Starts a sign-in: the URL to show, and what must be remembered until the redirect.
///
/// `random` fills a buffer with bytes nobody can guess.
pub fn start(
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
    random: &mut dyn FnMut(&mut [u8]),
) -> (Url, Pending) {
    let mut draw = || {
        let mut octets = [0; 32];
        random(&mut octets);
        octets
    };
    let pending = Pending {
        client_id: request.client_id.clone(),
        redirect_uri: request.redirect_uri.clone(),
        scopes: request.scopes.clone(),
        issuer: metadata.issuer.clone(),
        iss_required: metadata.authorization_response_iss_parameter_supported,
        token_endpoint: metadata.token_endpoint.clone(),
        verifier: pkce::verifier(draw()),
        state: Zeroizing::new(base64url::encode(&draw())),
        nonce: Nonce::from_random(draw()),
    };
    (authorize_url(metadata, request, &pending), pending)
}

fn authorize_url(
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
    pending: &Pending,
) -> Url {
    let scopes = request.scopes.to_string();
    let challenge = pkce::challenge(&pending.verifier);
    let mut form = Form::default();
    form.push("client_id", request.client_id.as_str());
    form.push("response_type", "code");
    form.push("redirect_uri", request.redirect_uri.as_str());
    form.push("scope", &scopes);
    form.push("state", &pending.state);
    form.push("nonce", pending.nonce.as_str());
    form.push("code_challenge", &challenge);
    form.push("code_challenge_method", pkce::METHOD);
    form.push_some("prompt", request.prompt);
    form.push_some("login_hint", request.login_hint);
    form.push_some("claims", request.claims);
    form.push_some("dpop_jkt", request.dpop_jkt.map(Thumbprint::as_str));
    if request.dialect == Dialect::Entra {
        form.push("client_info", "1");
    }
    for (name, value) in request.extra_parameters {
        if !RESERVED.contains(&name.as_str()) {
            form.push(name, value);
        }
    }
    let mut url = metadata.authorization_endpoint.clone();
    let query = form.encode();
    // INVARIANT: form encoding is ASCII.
    let query = std::str::from_utf8(&query).unwrap_or_default();
    // An endpoint may have a query of its own, which must be kept (RFC 6749 §3.1).
    let joined = match url.query() {
        Some(own) if !own.is_empty() => Zeroizing::new([own, "&", query].concat()),
        _ => Zeroizing::new(query.to_owned()),
    };
    url.set_query(Some(&joined));
    url.set_fragment(None);
    url
}

/// A sign-in that waits for its redirect.
pub struct Pending {
    client_id: ClientId,
    redirect_uri: RedirectUri,
    scopes: Scopes,
    issuer: Issuer,
    iss_required: bool,
    token_endpoint: Url,
    verifier: CodeVerifier,
    state: Zeroizing<String>,
    nonce: Nonce,
}

impl Pending {
    /// Reads the redirect: checks where it came to, `state` (RFC 6749 §10.12), `iss` (RFC 9207
    /// §2.4) and `error` (§4.1.2.1), in this order, and takes the code.
    ///
    /// # Errors
    ///
    /// The first check that failed. [`RedirectError::Refused`] holds the authority's own words.
    pub fn finish(self, redirect: &Redirect) -> Result<Exchange, RedirectError> {
        let mut answer = redirect::Parameters::read(&redirect.url, self.redirect_uri.url())?;
        let state = answer.take("state").ok_or(RedirectError::State)?;
        if !constant_time::equal(state.as_bytes(), self.state.as_bytes()) {
            return Err(RedirectError::State);
        }
        match answer.take("iss") {
            Some(iss) if !self.issuer.matches_any_tenant(&iss) => {
                return Err(RedirectError::Issuer);
            }
            None if self.iss_required => return Err(RedirectError::Issuer),
            _ => {}
        }
        if let Some(error) = answer.take("error") {
            let error = ErrorResponse::from_redirect(error, |name| answer.take(name));
            return Err(RedirectError::Refused(Box::new(error)));
        }
        let code = answer.take("code").ok_or(RedirectError::NoCode)?;
        Ok(Exchange {
            client_id: self.client_id,
            redirect_uri: self.redirect_uri,
            scopes: self.scopes,
            token_endpoint: self.token_endpoint,
            verifier: self.verifier,
            code: Code::new(code),
            nonce: self.nonce,
        })
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// An authorization code and everything needed to redeem it once.
pub struct Exchange {
    client_id: ClientId,
    redirect_uri: RedirectUri,
    scopes: Scopes,
    token_endpoint: Url,
    verifier: CodeVerifier,
    code: Code,
    nonce: Nonce,
}

impl Exchange {
    /// Where the code is redeemed; the `htu` of a DPoP proof.
    pub fn token_endpoint(&self) -> &Url {
        &self.token_endpoint
    }

    /// The nonce the ID token must carry.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The token request (RFC 6749 §4.1.3, RFC 7636 §4.5). Made again only when the authority
    /// asked for a DPoP nonce (RFC 9449 §8), which leaves the code unused.
    pub fn to_http(&self, options: &TokenOptions<'_>, dpop_proof: Option<&str>) -> HttpRequest {
        let scopes = self.scopes.to_string();
        let mut form = Form::default();
        form.push("grant_type", "authorization_code");
        form.push("client_id", self.client_id.as_str());
        form.push("code", self.code.expose_secret());
        form.push("redirect_uri", self.redirect_uri.as_str());
        form.push("code_verifier", self.verifier.expose_secret());
        // RFC 6749 has no scope here; Entra takes the resource of the token from it.
        let scopes = (options.dialect == Dialect::Entra).then_some(scopes.as_str());
        token_request::finish(form, &self.token_endpoint, scopes, options, dpop_proof)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
