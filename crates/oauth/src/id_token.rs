//! ID tokens (OpenID Connect Core §2), and their validation (§3.1.3.7).

use std::fmt;
use std::time::Duration;

use keyward_jose::jws::{JwsError, Unverified};
use keyward_jose::jwt::{Claims, InvalidClaims};
use keyward_jose::{JwkSet, base64url, constant_time};
use zeroize::Zeroizing;

use crate::identifiers::ClientId;
use crate::issuer::Issuer;
use crate::secret::IdTokenText;
use crate::time::UnixTime;

/// What is granted to clocks that disagree.
pub const LEEWAY: Duration = Duration::from_secs(300);

/// The value that ties an ID token to one sign-in (OpenID Connect Core §15.5.2).
pub struct Nonce(Zeroizing<String>);

impl Nonce {
    /// A nonce of 32 random octets.
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(base64url::encode(&random)))
    }

    /// The text, as the authorize URL carries it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(redacted)")
    }
}

/// An ID token as received. Nothing in it can be read before [`verify`](Self::verify).
#[derive(Debug)]
pub struct UnverifiedIdToken(IdTokenText);

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedIdToken<'a> {
    /// The issuer of the authority's metadata; a template matches with the token's own `tid`.
    pub issuer: &'a Issuer,
    /// The client it must be for.
    pub client_id: &'a ClientId,
    /// The nonce of the sign-in. `None` on refresh: RFC and practice differ on whether it is
    /// there (OpenID Connect Core §12.2), and the refresh token ties the answer to us.
    pub nonce: Option<&'a Nonce>,
}

impl UnverifiedIdToken {
    /// Takes a token as the authority sent it.
    pub fn new(text: IdTokenText) -> Self {
        Self(text)
    }

    /// Checks the token as OpenID Connect Core §3.1.3.7 requires. The signature comes first, so
    /// that no other check reads what just anybody wrote; it is demanded even on the direct
    /// connection, where the specification would do without.
    ///
    /// # Errors
    ///
    /// The first check that failed. [`IdTokenError::UnknownKey`] when the keys may be out of date.
    pub fn verify(
        &self,
        keys: &JwkSet,
        expected: &ExpectedIdToken<'_>,
        now: UnixTime,
    ) -> Result<IdToken, IdTokenError> {
        // 6, 7: a listed algorithm and a key of the authority.
        let claims = Unverified::parse(self.0.expose_secret())
            .and_then(|token| token.verify(keys))
            .map_err(|why| match why {
                JwsError::UnknownKey => IdTokenError::UnknownKey,
                why => IdTokenError::Jws(why),
            })?
            .claims()?;
        // 2
        let tid = claims.string("tid")?;
        if !expected.issuer.matches(claims.required("iss")?, tid) {
            return Err(IdTokenError::Issuer);
        }
        // 3, 4, 5
        check_audience(&claims, expected.client_id)?;
        // 9, 10
        claims.check_lifetime(now, LEEWAY)?;
        if claims.time("iat")?.ok_or(InvalidClaims::Missing("iat"))? > now.plus(LEEWAY) {
            return Err(InvalidClaims::NotYetValid.into());
        }
        // 11
        if let Some(nonce) = expected.nonce {
            let found = claims.string("nonce")?.unwrap_or_default();
            if !constant_time::equal(found.as_bytes(), nonce.as_str().as_bytes()) {
                return Err(IdTokenError::Nonce);
            }
        }
        claims.required("sub")?;
        Ok(IdToken {
            claims,
            text: self.0.clone(),
        })
    }
}

/// `aud` names us and nobody else; `azp`, if there, is us.
fn check_audience(claims: &Claims, client_id: &ClientId) -> Result<(), IdTokenError> {
    let audience = claims.audience()?;
    let only_us = !audience.is_empty() && audience.iter().all(|aud| *aud == client_id.as_str());
    let ours = claims
        .string("azp")?
        .is_none_or(|azp| azp == client_id.as_str());
    if only_us && ours {
        Ok(())
    } else {
        Err(IdTokenError::Audience)
    }
}

/// An ID token whose signature, issuer, audience, lifetime and nonce were checked.
#[derive(Clone)]
pub struct IdToken {
    claims: Claims,
    text: IdTokenText,
}

impl IdToken {
    /// `iss`.
    pub fn issuer(&self) -> &str {
        self.text_claim("iss").unwrap_or_default()
    }

    /// `sub`: the user, unique at the issuer and never reassigned.
    pub fn subject(&self) -> &str {
        self.text_claim("sub").unwrap_or_default()
    }

    /// `tid`: Entra's tenant.
    pub fn tenant_id(&self) -> Option<&str> {
        self.text_claim("tid")
    }

    /// `oid`: Entra's user object in that tenant.
    pub fn object_id(&self) -> Option<&str> {
        self.text_claim("oid")
    }

    /// `name`, to show.
    pub fn name(&self) -> Option<&str> {
        self.text_claim("name")
    }

    /// What to show as the user name: `preferred_username`, else `upn`, else `email`. Not unique,
    /// and not fit for deciding anything (OpenID Connect Core §5.7).
    pub fn username(&self) -> Option<&str> {
        ["preferred_username", "upn", "email"]
            .into_iter()
            .find_map(|name| self.text_claim(name))
    }

    /// `exp`.
    pub fn expires_on(&self) -> UnixTime {
        self.claims
            .time("exp")
            .ok()
            .flatten()
            .unwrap_or(UnixTime::from_secs(0))
    }

    /// All claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The token exactly as the authority issued it.
    pub fn text(&self) -> &IdTokenText {
        &self.text
    }

    fn text_claim(&self, name: &'static str) -> Option<&str> {
        let text = self.claims.string(name).ok().flatten();
        text.filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdToken").field(&self.claims).finish()
    }
}

/// Why an ID token says nothing about who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It is signed by a key that is not among the authority's; they may have changed.
    #[error("the ID token is signed by an unknown key")]
    UnknownKey,
    /// It is not a JWS, is unsigned, or its signature is wrong.
    #[error("the ID token is no valid JWS: {0}")]
    Jws(#[from] JwsError),
    /// A claim is missing, malformed, or out of time.
    #[error("the ID token's claims do not hold: {0}")]
    Claims(#[from] InvalidClaims),
    /// `iss` is another authority, or the template does not fit `tid`.
    #[error("the ID token is from another issuer")]
    Issuer,
    /// `aud` or `azp` name another client.
    #[error("the ID token is for another client")]
    Audience,
    /// `nonce` belongs to another sign-in.
    #[error("the ID token does not carry the nonce of this sign-in")]
    Nonce,
}

#[cfg(test)]
mod tests;
