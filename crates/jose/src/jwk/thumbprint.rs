//! Thumbprints (RFC 7638).

use std::fmt;

use super::{InvalidJwk, Jwk, PublicKey};
use crate::base64url;
use crate::digest::sha256;

impl Jwk {
    /// The SHA-256 thumbprint (RFC 7638 §3): the key's name in `jkt`, `cnf` and SHR `kid`.
    pub fn thumbprint(&self) -> Thumbprint {
        let canonical: String = match &self.key {
            PublicKey::P256(point) => {
                let (x, y) = (
                    base64url::encode(&point[1..33]),
                    base64url::encode(&point[33..]),
                );
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            PublicKey::Rsa { n, e } => {
                let (n, e) = (base64url::encode(n), base64url::encode(e));
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            PublicKey::Ed25519(x) => {
                let x = base64url::encode(x);
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
        };
        Thumbprint(base64url::encode(&sha256(canonical.as_bytes())))
    }
}

/// A JWK thumbprint with SHA-256 (RFC 7638), base64url: 43 characters. Not a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// Reads a thumbprint somebody else wrote (`dpop_jkt`, `cnf.jkt`, `cnf.kid`).
    ///
    /// # Errors
    ///
    /// When it is not base64url of 32 octets.
    pub fn parse(text: &str) -> Result<Self, InvalidJwk> {
        match base64url::decode(text) {
            Ok(octets) if octets.len() == 32 => Ok(Self(text.to_owned())),
            _ => Err(InvalidJwk::Member("jkt")),
        }
    }

    /// The base64url text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
