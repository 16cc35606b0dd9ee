//! The authority's own signing keys. They sign nothing of value; they live as long as the process
//! unless the starter keeps them ([`KeptKeys`]).

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use keyward_jose::{Algorithm, Jwk, JwkSet, Signer, SignerError};

use crate::tenant::Tenant;

/// Where an authority finds the signing keys of the one before it, so that what it issued stays
/// good: Microsoft's runtime hands out cached tokens for as long as they live.
pub trait KeptKeys: Send + Sync {
    /// The key of this name, in PKCS#8; `None` if there is none.
    fn load(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps a new key under a name. The key works also where it cannot be kept.
    fn keep(&self, name: &str, pkcs8: &[u8]);
}

/// Every authority has keys of its own.
pub(crate) struct NothingKept;

impl KeptKeys for NothingKept {
    fn load(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn keep(&self, _: &str, _: &[u8]) {}
}

/// One key per tenant: RS256 for the Entra-shaped one, as Entra has it, ES256 for the other.
/// RSA keys cost tens to hundreds of milliseconds, so that one is made when first needed.
pub(crate) struct SigningKeys {
    es256: Es256Key,
    rs256: OnceLock<Rs256Key>,
    kept: Arc<dyn KeptKeys>,
}

impl SigningKeys {
    /// Finds or makes the keys that are cheap.
    pub(crate) fn new(kept: Arc<dyn KeptKeys>) -> Result<Self, SignerError> {
        Ok(Self {
            es256: Es256Key::find_or_make(&*kept)?,
            rs256: OnceLock::new(),
            kept,
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
        let key = Rs256Key::find_or_make(&*self.kept)?;
        Ok(self.rs256.get_or_init(|| key))
    }
}

struct Es256Key {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl Es256Key {
    const NAME: &'static str = "es256";

    fn find_or_make(kept: &dyn KeptKeys) -> Result<Self, SignerError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let found = kept.load(Self::NAME);
        let found = found.and_then(|key| EcdsaKeyPair::from_pkcs8(algorithm, &key).ok());
        let pair = if let Some(pair) = found {
            pair
        } else {
            let pair = EcdsaKeyPair::generate(algorithm).map_err(unavailable)?;
            kept.keep(Self::NAME, pair.to_pkcs8v1().map_err(unavailable)?.as_ref());
            pair
        };
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
    const NAME: &'static str = "rs256";

    fn find_or_make(kept: &dyn KeptKeys) -> Result<Self, SignerError> {
        let found = kept.load(Self::NAME);
        let found = found.and_then(|key| RsaKeyPair::from_pkcs8(&key).ok());
        let pair = if let Some(pair) = found {
            pair
        } else {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unavailable)?;
            let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(unavailable)?;
            kept.keep(Self::NAME, pkcs8.as_ref());
            pair
        };
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
    use std::collections::HashMap;
    use std::sync::Mutex;

    use keyward_jose::jws::{Header, Unsigned, Unverified};

    use super::*;

    #[derive(Default)]
    struct Drawer(Mutex<HashMap<String, Vec<u8>>>);

    impl KeptKeys for Drawer {
        fn load(&self, name: &str) -> Option<Vec<u8>> {
            self.0.lock().unwrap().get(name).cloned()
        }

        fn keep(&self, name: &str, pkcs8: &[u8]) {
            let mut keys = self.0.lock().unwrap();
            keys.insert(name.to_owned(), pkcs8.to_vec());
        }
    }

    #[test]
    fn the_next_authority_finds_the_keys_of_the_one_before() {
        let drawer = Arc::new(Drawer::default());
        let public = |tenant| {
            let keys = SigningKeys::new(Arc::clone(&drawer) as Arc<dyn KeptKeys>).unwrap();
            keys.public(tenant).unwrap()
        };
        for tenant in [Tenant::Oidc, Tenant::Entra] {
            let first = public(tenant);
            assert_eq!(public(tenant), first);
        }
        // What cannot be read is replaced.
        drawer.keep(Es256Key::NAME, b"no key");
        let replaced = public(Tenant::Oidc);
        assert_eq!(public(Tenant::Oidc), replaced);
    }

    #[test]
    fn each_tenant_signs_with_the_key_it_publishes() {
        let keys = SigningKeys::new(Arc::new(NothingKept)).unwrap();
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
