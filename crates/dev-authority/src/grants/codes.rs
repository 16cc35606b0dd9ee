//! Authorization codes (RFC 6749 §4.1.2).

use std::time::Duration;

use keyward_jose::{Thumbprint, base64url, digest};
use keyward_oauth::time::UnixTime;

use crate::expiring::Expiring;
use crate::faults::Twist;
use crate::grants::refresh::FamilyId;
use crate::locked::Locked;
use crate::random;
use crate::secrecy;
use crate::tenant::{Grant, Tenant};

/// What a code stands for, and what its bearer must know.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    pub(crate) redirect_uri: String,
    /// PKCE, method S256 (RFC 7636 §4.2).
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    /// The key the code is bound to (RFC 9449 §10).
    pub(crate) dpop_jkt: Option<Thumbprint>,
    /// The `claims` parameter, as it came.
    pub(crate) claims: Option<String>,
    /// What a script wants wrong about it.
    pub(crate) twist: Option<Twist>,
    expires: UnixTime,
    state: CodeState,
}

#[derive(Clone, Copy, Debug)]
enum CodeState {
    Issued,
    /// Redeemed, and the refresh tokens that came of it.
    Redeemed(Option<FamilyId>),
}

/// Why a code is not redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeError {
    /// No such code, or of another tenant or client, or for another redirect URI.
    Unknown,
    Expired,
    /// Redeemed before; what came of it is to be revoked (RFC 6749 §4.1.2).
    Reused(Option<FamilyId>),
    /// The verifier does not fit (RFC 7636 §4.6).
    WrongVerifier,
    /// The proof's key is not the one the code is bound to.
    WrongKey,
}

/// What comes with a code at the token endpoint.
pub(crate) struct Redemption<'a> {
    pub(crate) tenant: Tenant,
    pub(crate) code: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) verifier: &'a str,
    pub(crate) proof_key: Option<&'a Thumbprint>,
}

/// All codes. They stay known for an hour, so that reuse is told from invention.
pub(crate) struct Codes(Locked<Expiring<Code>>);

const REMEMBERED: Duration = Duration::from_secs(3600);

impl Code {
    /// A code for a grant, not issued yet.
    pub(crate) fn new(grant: Grant, redirect_uri: String, challenge: String) -> Self {
        Self {
            grant,
            redirect_uri,
            challenge,
            nonce: None,
            dpop_jkt: None,
            claims: None,
            twist: None,
            expires: UnixTime::from_secs(0),
            state: CodeState::Issued,
        }
    }
}

impl Codes {
    pub(crate) fn new() -> Self {
        Self(Locked::new(Expiring::new(10_000)))
    }

    /// Issues a code.
    pub(crate) fn issue(&self, now: UnixTime, lifetime: Duration, mut code: Code) -> String {
        let text = random::secret();
        code.expires = now.plus(lifetime);
        self.0
            .with(|codes| codes.insert(now, text.clone(), now.plus(REMEMBERED), code));
        text
    }

    /// Whose code it is, without using it.
    pub(crate) fn user_of(&self, now: UnixTime, code: &str) -> Option<String> {
        self.0.with(|codes| {
            codes
                .get(now, code)
                .map(|code| code.grant.user_name.clone())
        })
    }

    /// Redeems a code, once. A thief without verifier or key changes nothing: those are checked
    /// before the code is used up, and before reuse counts as theft.
    pub(crate) fn redeem(
        &self,
        now: UnixTime,
        redemption: &Redemption<'_>,
        twist: Option<Twist>,
    ) -> Result<Code, CodeError> {
        self.0.with(|codes| {
            let code = codes
                .get_mut(now, redemption.code)
                .ok_or(CodeError::Unknown)?;
            code.check_bearer(redemption)?;
            match (twist.or(code.twist), code.state) {
                (_, CodeState::Redeemed(family)) => return Err(CodeError::Reused(family)),
                (Some(Twist::Revoked), _) => return Err(CodeError::Reused(None)),
                (Some(Twist::Expired), _) => return Err(CodeError::Expired),
                _ if now >= code.expires => return Err(CodeError::Expired),
                _ => code.state = CodeState::Redeemed(None),
            }
            Ok(code.clone())
        })
    }

    /// Notes which refresh tokens came of a code.
    pub(crate) fn remember_family(&self, now: UnixTime, code: &str, family: FamilyId) {
        self.0.with(|codes| {
            if let Some(code) = codes.get_mut(now, code) {
                code.state = CodeState::Redeemed(Some(family));
            }
        });
    }

    /// Forgets all codes.
    pub(crate) fn clear(&self) {
        self.0.with(Expiring::clear);
    }
}

impl Code {
    fn check_bearer(&self, redemption: &Redemption<'_>) -> Result<(), CodeError> {
        let same_client = self
            .grant
            .client_id
            .eq_ignore_ascii_case(redemption.client_id);
        let same_tenant = self.grant.tenant == redemption.tenant;
        if !same_client || !same_tenant || self.redirect_uri != redemption.redirect_uri {
            return Err(CodeError::Unknown);
        }
        if !secrecy::equal(&self.challenge, &challenge_of(redemption.verifier)) {
            return Err(CodeError::WrongVerifier);
        }
        match &self.dpop_jkt {
            Some(jkt) if Some(jkt) != redemption.proof_key => Err(CodeError::WrongKey),
            _ => Ok(()),
        }
    }
}

/// `BASE64URL(SHA256(verifier))` (RFC 7636 §4.2).
fn challenge_of(verifier: &str) -> String {
    base64url::encode(&digest::sha256(verifier.as_bytes()))
}

/// Whether this can be a challenge: base64url of 32 octets.
pub(crate) fn is_challenge(text: &str) -> bool {
    base64url::decode(text).is_ok_and(|octets| octets.len() == 32)
}

#[cfg(test)]
mod tests;
