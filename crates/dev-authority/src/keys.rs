//! The authority's own signing keys. They live as long as the process and sign nothing of value.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use keyward_jose::{Algorithm, Jwk, JwkSet, Signer, SignerError};

use crate::tenant::Tenant;

/// One key per tenant: RS256 for the Entra-shaped one, as Entra has it, ES256 for the other.
/// RSA keys cost tens to hundreds of milliseconds, so that one is made when first needed.
pub(crate) struct SigningKeys {
    es256: Es256Key,
    rs256: OnceLock<Rs256Key>,
}

impl SigningKeys {
    /// Makes the keys that are cheap.
    pub(crate) fn generate() -> Result<Self, SignerError> {
        Ok(Self {
            es256: Es256Key::generate()?,
            rs256: OnceLock::new(),
        })
    }

    /// The key that signs a tenant's tokens.
    pub(crate) fn signer(&self, tenant: Tenant) -> Result<&dyn Signer, SignerError> {
        match tenant {
            Tenant::Oidc => Ok(&self.es256),
            Tenant::Entra => self.rs256().map(|key| key as &dyn Signer),
        }
    }

    /// A tenant's public keys.
    pub(crate) fn public(&self, tenant: Tenant) -> Result<JwkSet, SignerError> {
        let key = self.signer(tenant)?.public_jwk().clone();
        Ok(JwkSet::new(vec![key]))
    }

    fn rs256(&self) -> Result<&Rs256Key, SignerError> {
        if let Some(key) = self.rs256.get() {
            return Ok(key);
        }
        let key = Rs256Key::generate()?;
        Ok(self.rs256.get_or_init(|| key))
    }
}

struct Es256Key {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl Es256Key {
    fn generate() -> Result<Self, SignerError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unavailable)?;
        let public = Jwk::p256(pair.public_key().as_ref()).map_err(unavailable)?;
        let kid = public.thumbprint().to_string();
        Ok(Self {
            pair,
            public: public.with_kid(kid).for_signatures(Algorithm::Es256),
        })
    }
}

impl Signer for Es256Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(unavailable)?;
        Ok(signature.as_ref().to_vec())
    }
}

struct Rs256Key {
    pair: RsaKeyPair,
    public: Jwk,
}

impl Rs256Key {
    fn generate() -> Result<Self, SignerError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unavailable)?;
        let (n, e) = rsa_components(pair.public_key().as_ref())
            .ok_or_else(|| SignerError::Unavailable("unexpected RSA encoding".to_owned()))?;
        let public = Jwk::rsa(n, e).map_err(unavailable)?;
        let kid = public.thumbprint().to_string();
        Ok(Self {
            pair,
            public: public.with_kid(kid).for_signatures(Algorithm::Rs256),
        })
    }
}

impl Signer for Rs256Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Rs256
    }

    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(unavailable)?;
        Ok(signature)
    }
}

/// Modulus and exponent of an `RSAPublicKey` of 2048 bits (RFC 8017 §A.1.1), whose DER always has
/// the same frame: a sequence of two integers, the first with a leading zero.
fn rsa_components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const FRAME: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    let rest = der.strip_prefix(&FRAME)?;
    let (n, rest) = rest.split_at_checked(256)?;
    let e = rest.strip_prefix(&[0x02, 0x03])?;
    Some((n, e))
}

fn unavailable(error: impl std::fmt::Display) -> SignerError {
    SignerError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use keyward_jose::jws::{Header, Unsigned, Unverified};

    use super::*;

    #[test]
    fn each_tenant_signs_with_the_key_it_publishes() {
        let keys = SigningKeys::generate().unwrap();
        for (tenant, algorithm) in [
            (Tenant::Oidc, Algorithm::Es256),
            (Tenant::Entra, Algorithm::Rs256),
        ] {
            let signer = keys.signer(tenant).unwrap();
            let kid = signer.public_jwk().kid().unwrap();
            let header = Header::new(signer.algorithm()).with_kid(kid);
            let text = Unsigned::new(&header, b"{}").sign(signer).unwrap();
            let parse = || Unverified::parse(&text).unwrap();
            let verified = parse().verify(&keys.public(tenant).unwrap()).unwrap();
            assert_eq!(verified.algorithm(), algorithm);
            let other = if tenant == Tenant::Oidc {
                Tenant::Entra
            } else {
                Tenant::Oidc
            };
            assert!(parse().verify(&keys.public(other).unwrap()).is_err());
        }
    }
}
