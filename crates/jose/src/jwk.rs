//! JSON Web Keys (RFC 7517), public ones only, and their thumbprints (RFC 7638).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::algorithm::Algorithm;
use crate::base64url;

mod parse;
pub mod set;
mod thumbprint;

pub use set::JwkSet;
pub use thumbprint::Thumbprint;

/// The longest RSA modulus read, in bytes (8192 bits).
const LONGEST_MODULUS: usize = 1024;
/// The shortest RSA modulus read, in bytes (2048 bits, RFC 7518 §3.3).
const SHORTEST_MODULUS: usize = 256;

/// A public signature key. It is valid: a point on its curve, a modulus of an allowed size.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwk {
    key: PublicKey,
    kid: Option<String>,
    alg: Option<Algorithm>,
    signature_use: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum PublicKey {
    /// P-256, the uncompressed point `04 || x || y`.
    P256([u8; 65]),
    /// Big-endian without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

impl Jwk {
    /// A P-256 key from its uncompressed point, `04 || x || y` (SEC 1 §2.3.3).
    ///
    /// # Errors
    ///
    /// When it is not a point of the curve in that form.
    pub fn p256(point: &[u8]) -> Result<Self, InvalidJwk> {
        let point: [u8; 65] = point.try_into().map_err(|_| InvalidJwk::Member("x"))?;
        if point[0] != 4 {
            return Err(InvalidJwk::Member("x"));
        }
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| InvalidJwk::NotOnCurve)?;
        Ok(Self::of(PublicKey::P256(point)))
    }

    /// An RSA key from modulus and exponent, big-endian without leading zeros.
    ///
    /// # Errors
    ///
    /// When the modulus has not 2048 to 8192 bits, or the exponent is not odd, at least 3 and at
    /// most 33 bits.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, InvalidJwk> {
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let minimal = |number: &[u8]| number.first().is_some_and(|byte| *byte != 0);
        if !(SHORTEST_MODULUS..=LONGEST_MODULUS).contains(&n.len()) || n[0] & 0x80 == 0 {
            return Err(InvalidJwk::RsaSize);
        }
        if !odd(n) {
            return Err(InvalidJwk::Member("n"));
        }
        if !minimal(e) || !odd(e) || e == [1] || e.len() > 5 {
            return Err(InvalidJwk::Member("e"));
        }
        Ok(Self::of(PublicKey::Rsa {
            n: n.to_vec(),
            e: e.to_vec(),
        }))
    }

    /// An Ed25519 key from its 32 octets (RFC 8037 §2).
    ///
    /// # Errors
    ///
    /// When they are not a public key.
    pub fn ed25519(x: &[u8]) -> Result<Self, InvalidJwk> {
        let x: [u8; 32] = x.try_into().map_err(|_| InvalidJwk::Member("x"))?;
        ParsedPublicKey::new(&ED25519, x).map_err(|_| InvalidJwk::NotOnCurve)?;
        Ok(Self::of(PublicKey::Ed25519(x)))
    }

    const fn of(key: PublicKey) -> Self {
        Self {
            key,
            kid: None,
            alg: None,
            signature_use: false,
        }
    }

    /// Adds a key id (RFC 7517 §4.5).
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Adds the algorithm (RFC 7517 §4.4) and `use` = `sig`: the key then verifies nothing else.
    #[must_use]
    pub fn for_signatures(mut self, algorithm: Algorithm) -> Self {
        self.alg = Some(algorithm);
        self.signature_use = true;
        self
    }

    /// The key id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The only algorithm the key says it is for, if it says so.
    pub fn alg(&self) -> Option<Algorithm> {
        self.alg
    }

    /// The algorithm this key signs with: the one it names, else the usual one of its type (RS256
    /// for RSA).
    pub fn algorithm(&self) -> Algorithm {
        self.alg.unwrap_or(match self.key {
            PublicKey::P256(_) => Algorithm::Es256,
            PublicKey::Rsa { .. } => Algorithm::Rs256,
            PublicKey::Ed25519(_) => Algorithm::EdDsa,
        })
    }

    /// Whether signatures of this algorithm can be checked with this key: the type fits, and the
    /// key does not name another algorithm.
    pub fn permits(&self, algorithm: Algorithm) -> bool {
        self.fits(algorithm) && self.alg.is_none_or(|only| only == algorithm)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        matches!(
            (&self.key, algorithm),
            (PublicKey::P256(_), Algorithm::Es256)
                | (PublicKey::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256)
                | (PublicKey::Ed25519(_), Algorithm::EdDsa)
        )
    }

    /// Checks one signature. False for a signature of another key, message or algorithm.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.permits(algorithm) {
            return false;
        }
        match &self.key {
            PublicKey::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            PublicKey::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x)
                .verify(message, signature)
                .is_ok(),
            PublicKey::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, signature)
                    .is_ok()
            }
        }
    }

    /// The uncompressed point of a P-256 key, `04 || x || y` (SEC 1 §2.3.3).
    pub fn p256_point(&self) -> Option<&[u8; 65]> {
        match &self.key {
            PublicKey::P256(point) => Some(point),
            PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => None,
        }
    }

    /// The key without `kid`, `alg` and `use`, as proofs embed it.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self::of(self.key.clone())
    }
}

/// Members of the key type in lexicographic order, as thumbprints have them, then metadata.
impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.key {
            PublicKey::P256(point) => {
                map.serialize_entry("crv", "P-256")?;
                map.serialize_entry("kty", "EC")?;
                map.serialize_entry("x", &base64url::encode(&point[1..33]))?;
                map.serialize_entry("y", &base64url::encode(&point[33..]))?;
            }
            PublicKey::Rsa { n, e } => {
                map.serialize_entry("e", &base64url::encode(e))?;
                map.serialize_entry("kty", "RSA")?;
                map.serialize_entry("n", &base64url::encode(n))?;
            }
            PublicKey::Ed25519(x) => {
                map.serialize_entry("crv", "Ed25519")?;
                map.serialize_entry("kty", "OKP")?;
                map.serialize_entry("x", &base64url::encode(x))?;
            }
        }
        if let Some(kid) = &self.kid {
            map.serialize_entry("kid", kid)?;
        }
        if self.signature_use {
            map.serialize_entry("use", "sig")?;
        }
        if let Some(alg) = self.alg {
            map.serialize_entry("alg", alg.as_str())?;
        }
        map.end()
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

/// Why some JSON is no key for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwk {
    /// It is not a JSON object with distinct members.
    #[error("the JWK is not a JSON object with distinct members")]
    NotAnObject,
    /// `kty`, `crv` or `alg` is one we do not use.
    #[error("the JWK's type, curve or algorithm is not one of P-256, RSA and Ed25519")]
    UnknownType,
    /// It holds a private or symmetric key, which must never be sent.
    #[error("the JWK holds a private or symmetric key")]
    Private,
    /// `use` or `key_ops` say it is for something else.
    #[error("the JWK is not for verifying signatures")]
    NotForSignatures,
    /// A member is missing, of the wrong type, or not canonical.
    #[error("the JWK's member {0} is missing or malformed")]
    Member(&'static str),
    /// The coordinates are not a point on the curve.
    #[error("the JWK's coordinates are not a point on its curve")]
    NotOnCurve,
    /// The modulus is too short or too long.
    #[error("the JWK's RSA modulus has not 2048 to 8192 bits")]
    RsaSize,
}

#[cfg(test)]
mod tests;
