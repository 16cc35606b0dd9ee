//! Private keys of each kind as bytes, before they are sealed and after.

use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use keyward_jose::Jwk;
use zeroize::Zeroizing;

use crate::derivation;
use crate::error::KeyStoreError;
use crate::key::{KeyKind, OaepHash, PublicKey};

/// Length of a P-256 private value; the public point follows it.
pub(super) const PRIVATE: usize = 32;
/// Length of an uncompressed point.
const POINT: usize = 65;

/// A key file's first bytes: what it is, and the version of its format. A newer format has
/// another number, and is refused here.
pub(super) const fn magic(kind: KeyKind) -> [u8; 8] {
    match kind {
        KeyKind::Sign => *b"KWP256\0\x01",
        KeyKind::Agree => *b"KWECDH\0\x01",
        KeyKind::Decrypt => *b"KWRSA\0\0\x01",
        KeyKind::Mac => *b"KWHMAC\0\x01",
    }
}

/// A new private key of this kind.
pub(super) fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    match kind {
        KeyKind::Sign | KeyKind::Agree => p256(),
        KeyKind::Decrypt => rsa(),
        KeyKind::Mac => Err(KeyStoreError::Unsupported(
            "a key for derivation is imported, not made",
        )),
    }
}

fn p256() -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    let refused = |_| KeyStoreError::Crypto("P-256 key generation");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(refused)?;
    let public = pair.public_key().as_ref();
    let mut secret = Zeroizing::new(Vec::with_capacity(PRIVATE + public.len()));
    secret.extend_from_slice(private.as_ref());
    secret.extend_from_slice(public);
    Ok(secret)
}

fn rsa() -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    let refused = |_| KeyStoreError::Crypto("RSA key generation");
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(refused)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(refused)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// The pair of a signing key.
pub(super) fn signing(secret: &[u8]) -> Option<EcdsaKeyPair> {
    let (private, public) = secret.split_at_checked(PRIVATE)?;
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, private, public)
        .ok()
}

/// The public half of a key pair. `None`: the bytes are no such key.
pub(super) fn public(kind: KeyKind, secret: &[u8]) -> Option<PublicKey> {
    match kind {
        KeyKind::Sign | KeyKind::Agree => {
            let pair = signing(secret)?;
            Jwk::p256(pair.public_key().as_ref())
                .ok()
                .map(PublicKey::P256)
        }
        KeyKind::Decrypt => {
            let key = PrivateDecryptingKey::from_pkcs8(secret).ok()?;
            let der: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
            rsa_numbers(der.as_ref())
        }
        KeyKind::Mac => None,
    }
}

/// Modulus and exponent out of the SubjectPublicKeyInfo of a 2048-bit key with exponent 65537
/// (RFC 8017 §A.1.1, RFC 3279 §2.3.1): everything but the modulus is always the same.
fn rsa_numbers(der: &[u8]) -> Option<PublicKey> {
    const BEFORE: usize = 24 + 9;
    const EXPONENT: [u8; 3] = [1, 0, 1];
    let numbers = der.get(BEFORE..)?;
    let (n, rest) = numbers.split_at_checked(256)?;
    let e = rest.strip_prefix(&[2, 3])?;
    (e == EXPONENT && n[0] & 0x80 != 0).then(|| PublicKey::Rsa {
        n: n.to_vec(),
        e: e.to_vec(),
    })
}

/// ECDH with a key of kind [`KeyKind::Agree`].
pub(super) fn agree(secret: &[u8], peer: &[u8; POINT]) -> Option<Zeroizing<[u8; 32]>> {
    let private = secret.get(..PRIVATE)?;
    let key = agreement::PrivateKey::from_private_key(&ECDH_P256, private).ok()?;
    agreement::agree(
        &key,
        UnparsedPublicKey::new(&ECDH_P256, peer),
        (),
        |shared| {
            let mut z = Zeroizing::new([0; 32]);
            if shared.len() != z.len() {
                return Err(());
            }
            z.copy_from_slice(shared);
            Ok(z)
        },
    )
    .ok()
}

/// OAEP with a key of kind [`KeyKind::Decrypt`].
pub(super) fn decrypt(
    secret: &[u8],
    hash: OaepHash,
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateDecryptingKey::from_pkcs8(secret).ok()?;
    let key = OaepPrivateDecryptingKey::new(key).ok()?;
    let algorithm = match hash {
        OaepHash::Sha1 => &OAEP_SHA1_MGF1SHA1,
        OaepHash::Sha256 => &OAEP_SHA256_MGF1SHA256,
    };
    let mut text = Zeroizing::new(vec![0; key.min_output_size()]);
    let length = key
        .decrypt(algorithm, ciphertext, &mut text, None)
        .ok()?
        .len();
    text.truncate(length);
    Some(text)
}

/// SP 800-108 with a key of kind [`KeyKind::Mac`].
pub(super) fn derive(secret: &[u8], label: &[u8], context: &[u8]) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, &derivation::block(label, context));
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(tag.as_ref());
    derived
}
