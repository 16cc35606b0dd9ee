//! JSON Web Signatures in the compact serialisation (RFC 7515 §7.1).

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::jwk::{Jwk, JwkSet};
use crate::jwt::{Claims, InvalidClaims};

pub mod header;

pub use header::Header;

/// The longest JWS read, in bytes. A signed HTTP request carries a whole access token inside.
pub const LONGEST: usize = 256 * 1024;

/// A JWS that only lacks its signature. May hold an access token: its memory is wiped, and
/// `Debug` shows nothing.
pub struct Unsigned {
    signing_input: Zeroizing<String>,
}

impl Unsigned {
    /// Joins a header and a payload: `BASE64URL(header) . BASE64URL(payload)` (RFC 7515 §5.1).
    pub fn new(header: &Header, payload: &[u8]) -> Self {
        let header = base64url::encode(&header.to_json());
        let payload = Zeroizing::new(base64url::encode(payload));
        Self {
            signing_input: Zeroizing::new([&header, ".", &payload].concat()),
        }
    }

    /// Joins a header and claims, which become JSON with members in the order of the type.
    ///
    /// # Panics
    ///
    /// When the claims cannot be JSON: a map with keys that are not strings, or a `Serialize` of
    /// its own that fails. No claims type of this workspace is such.
    pub fn from_claims(header: &Header, claims: &impl Serialize) -> Self {
        // INVARIANT: serialising to memory fails only for a type that cannot be JSON, whatever its
        // content; each claims type is built in a test.
        #[allow(clippy::expect_used)]
        let claims = serde_json::to_vec(claims).expect("claims are JSON");
        Self::new(header, &Zeroizing::new(claims))
    }

    /// The octets to sign.
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// The finished JWS. For ES256 the signature is `r || s`, 64 bytes, not DER.
    pub fn finish(self, signature: &[u8]) -> String {
        let signature = base64url::encode(signature);
        [self.signing_input.as_str(), ".", &signature].concat()
    }
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned(redacted)")
    }
}

/// A JWS as received: well-formed, and nothing more. Its header says which key to check it with.
pub struct Unverified {
    header: Header,
    signing_input: Zeroizing<String>,
    payload: Zeroizing<Vec<u8>>,
    signature: Vec<u8>,
}

impl Unverified {
    /// Parses the compact serialisation: three parts, each canonical base64url.
    ///
    /// # Errors
    ///
    /// When it is not that, is longer than [`LONGEST`], or its header breaks RFC 7515 §4 or names
    /// an algorithm that is not on the list.
    pub fn parse(text: &str) -> Result<Self, JwsError> {
        if text.len() > LONGEST {
            return Err(JwsError::TooLong);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::NotThreeParts);
        };
        let octets = |part| base64url::decode(part).map_err(|_| JwsError::NotBase64Url);
        let signing_input = &text[..header.len() + 1 + payload.len()];
        Ok(Self {
            header: Header::parse(&octets(header)?)?,
            payload: Zeroizing::new(octets(payload)?),
            signature: octets(signature)?,
            signing_input: Zeroizing::new(signing_input.to_owned()),
        })
    }

    /// The header, which anybody may have written.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, which anybody may have written. Only to find the key it must be checked with.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature with a key or a set of keys.
    ///
    /// # Errors
    ///
    /// [`JwsError::UnknownKey`] when no key fits `kid` and `alg`: the set may be out of date.
    /// [`JwsError::BadSignature`] when the keys that fit did not make this signature.
    pub fn verify(self, keys: &impl VerificationKeys) -> Result<Verified, JwsError> {
        let candidates = keys.candidates(&self.header);
        if candidates.is_empty() {
            return Err(JwsError::UnknownKey);
        }
        let message = self.signing_input.as_bytes();
        if candidates
            .iter()
            .any(|key| key.verifies(self.header.alg(), message, &self.signature))
        {
            Ok(Verified {
                header: self.header,
                payload: self.payload,
            })
        } else {
            Err(JwsError::BadSignature)
        }
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Where a verifier finds the key for a header.
pub trait VerificationKeys {
    /// The keys that may have made the signature.
    fn candidates<'a>(&'a self, header: &Header) -> Vec<&'a Jwk>;
}

/// This one key, whatever `kid` says: the caller chose it.
impl VerificationKeys for Jwk {
    fn candidates<'a>(&'a self, header: &Header) -> Vec<&'a Jwk> {
        Vec::from_iter(self.permits(header.alg()).then_some(self))
    }
}

/// Keys of the algorithm's type that have the header's `kid`, or no `kid` of their own. Without
/// `kid` in the header, every key of the type.
impl VerificationKeys for JwkSet {
    fn candidates<'a>(&'a self, header: &Header) -> Vec<&'a Jwk> {
        let wanted = header.kid();
        self.keys()
            .iter()
            .filter(|key| key.permits(header.alg()))
            .filter(|key| wanted.is_none() || key.kid().is_none() || key.kid() == wanted)
            .collect()
    }
}

/// A JWS whose signature was checked.
pub struct Verified {
    header: Header,
    payload: Zeroizing<Vec<u8>>,
}

impl Verified {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The algorithm the signature was checked with.
    pub fn algorithm(&self) -> Algorithm {
        self.header.alg()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as JWT claims.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object with distinct members.
    pub fn claims(&self) -> Result<Claims, InvalidClaims> {
        Claims::parse(&self.payload)
    }

    /// The payload as a type of the caller's.
    ///
    /// # Errors
    ///
    /// When the payload is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, InvalidClaims> {
        serde_json::from_slice(&self.payload).map_err(|_| InvalidClaims::NotAnObject)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Why some text is not a JWS we believe. Never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`LONGEST`].
    #[error("the JWS is longer than {LONGEST} bytes")]
    TooLong,
    /// Not the compact form.
    #[error("the JWS has not three parts")]
    NotThreeParts,
    /// A part is not canonical base64url.
    #[error("a part of the JWS is not base64url without padding")]
    NotBase64Url,
    /// The header is not a JSON object, repeats a member, or has a member of the wrong type.
    #[error("the JWS header is malformed")]
    Header,
    /// `alg` is `none` or not on the list.
    #[error("the JWS header's alg is not one of ES256, RS256, PS256 and EdDSA")]
    Algorithm,
    /// `crit` names extensions; we have none, so RFC 7515 §4.1.11 demands refusal.
    #[error("the JWS header has critical extensions")]
    Critical,
    /// No key fits `kid` and `alg`.
    #[error("no key fits the kid and alg of the JWS")]
    UnknownKey,
    /// The signature was not made by that key over these octets.
    #[error("the JWS signature is wrong")]
    BadSignature,
}

#[cfg(test)]
mod tests;
