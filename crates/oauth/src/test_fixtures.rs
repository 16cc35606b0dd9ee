//! The vectors and keys the tests of this crate share.

// Signing in a test needs a random source; the crate itself draws nothing.
#![allow(clippy::disallowed_types)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use keyward_jose::jws::Unsigned;
use keyward_jose::{Algorithm, Jwk, Signer, SignerError};
use zeroize::Zeroizing;

use crate::transport::HttpResponse;

/// `vectors/device-binding.json`.
pub(crate) fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../vectors/device-binding.json")).unwrap()
}

/// A text member of the vectors.
pub(crate) fn vector(name: &str) -> String {
    vectors()[name].as_str().unwrap().to_owned()
}

/// A private key of the vectors.
pub(crate) struct VectorKey {
    pair: Pair,
    public: Jwk,
}

enum Pair {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl VectorKey {
    /// A P-256 key: `device_ec`, `transport_ec` or `server_ephemeral_ec`.
    pub(crate) fn p256(name: &str) -> Self {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8(name)).unwrap();
        Self {
            public: Jwk::p256(pair.public_key().as_ref()).unwrap(),
            pair: Pair::P256(pair),
        }
    }

    /// An RSA key: `device_rsa` or `transport_rsa`.
    pub(crate) fn rsa(name: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(&pkcs8(name)).unwrap();
        let public = pair.public_key();
        Self {
            public: Jwk::rsa(
                public.modulus().big_endian_without_leading_zero(),
                public.exponent().big_endian_without_leading_zero(),
            )
            .unwrap(),
            pair: Pair::Rsa(pair),
        }
    }

    /// The public half, named.
    pub(crate) fn jwk(&self, kid: &str) -> Jwk {
        self.public.clone().with_kid(kid)
    }

    /// The finished JWS.
    pub(crate) fn finish(&self, unsigned: Unsigned) -> String {
        unsigned.sign(self).unwrap()
    }
}

fn pkcs8(name: &str) -> Vec<u8> {
    let pem = vectors()["keys"][name].as_str().unwrap().to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

impl Signer for VectorKey {
    fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        })
    }
}

/// An answer with this body.
pub(crate) fn response(status: u16, headers: &[(&'static str, &str)], body: &str) -> HttpResponse {
    HttpResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>(),
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

/// The parameters of a form body or a query, in order.
pub(crate) fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// The value of the only parameter with this name; `None` when there is none.
pub(crate) fn parameter(form: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<_> = form.iter().filter(|(known, _)| known == name).collect();
    assert!(values.len() < 2, "{name} is there twice");
    values.first().map(|(_, value)| value.clone())
}
