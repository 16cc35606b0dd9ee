//! Keys of test clients, and the proofs they make.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use keyward_jose::jws::{Header, Unsigned};
use keyward_jose::{Algorithm, Jwk, base64url, digest};
use serde_json::{Value, json};

/// A private key.
pub enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub fn new() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub fn jwk(&self) -> Jwk {
        match self {
            Self::P256(pair) => Jwk::p256(pair.public_key().as_ref()).unwrap(),
            Self::Ed25519(pair) => Jwk::ed25519(pair.public_key().as_ref()).unwrap(),
        }
    }

    pub fn jkt(&self) -> String {
        self.jwk().thumbprint().to_string()
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    pub fn sign(&self, header: &Header, claims: &Value) -> String {
        let unsigned = Unsigned::new(header, claims.to_string().as_bytes());
        let message = unsigned.signing_input();
        let signature = match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap(),
            Self::Ed25519(pair) => pair.sign(message),
        };
        unsigned.finish(signature.as_ref())
    }

    /// A DPoP proof with these claims.
    pub fn dpop(&self, claims: &Value) -> String {
        let header = Header::new(self.algorithm())
            .with_typ("dpop+jwt")
            .with_jwk(&self.jwk());
        self.sign(&header, claims)
    }

    /// A signed HTTP request with these claims and this key.
    pub fn shr(&self, mut claims: Value) -> String {
        claims["cnf"] = json!({"jwk": self.jwk()});
        let header = Header::new(self.algorithm())
            .with_typ("pop")
            .with_kid(self.jkt());
        self.sign(&header, &claims)
    }

    /// `req_cnf` of this key.
    pub fn req_cnf(&self) -> String {
        base64url::encode(json!({"kid": self.jkt()}).to_string().as_bytes())
    }
}

/// `ath` (RFC 9449 §4.2).
pub fn ath(access_token: &str) -> String {
    base64url::encode(&digest::sha256(access_token.as_bytes()))
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url::decode(payload).unwrap()).unwrap()
}
