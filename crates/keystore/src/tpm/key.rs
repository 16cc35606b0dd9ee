//! Keys in the TPM: made under the parent, loaded for one use, and flushed.

use tss_esapi::Context;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Auth, Digest, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, KeyedHashScheme,
    Private, Public, PublicBuilder, PublicEccParametersBuilder, PublicKeyRsa,
    PublicKeyedHashParameters, PublicRsaParametersBuilder, RsaExponent, RsaScheme, SensitiveData,
};
use tss_esapi::traits::{Marshall, UnMarshall};

use super::blob::{Blob, Purpose};
use super::context::Connection;
use super::fault::Fault;
use crate::{KeyKind, Pin};

/// Makes a key that exists in this TPM alone.
pub(super) fn create(
    connection: &mut Connection,
    kind: KeyKind,
    pin: Option<&Pin>,
) -> Result<Blob, Fault> {
    make(connection, Purpose::Key(kind), pin, None)
}

/// Hands a secret over to the TPM, as a key or as something to keep.
pub(super) fn import(
    connection: &mut Connection,
    purpose: Purpose,
    secret: &[u8],
) -> Result<Blob, Fault> {
    let blob = make(connection, purpose, None, Some(secret))?;
    // The library keeps what it was last given in buffers it does not wipe: give it nothing.
    make(connection, purpose, None, Some(&vec![0; secret.len()]))?;
    Ok(blob)
}

fn make(
    connection: &mut Connection,
    purpose: Purpose,
    pin: Option<&Pin>,
    secret: Option<&[u8]>,
) -> Result<Blob, Fault> {
    let parent = connection.under_any()?;
    let template = template(purpose, pin.is_some())?;
    let auth = pin.map(auth_of).transpose()?;
    let secret = secret.map(SensitiveData::try_from).transpose()?;
    let made = connection.in_session(|context, parent| {
        Ok(context.create(parent, template, auth, secret, None, None)?)
    })?;
    Ok(Blob {
        purpose,
        pin: pin.is_some(),
        parent,
        public: made.out_public.marshall()?,
        private: made.out_private.value().to_vec(),
    })
}

/// Loads a key, uses it once in the session and flushes it.
pub(super) fn with_key<T>(
    connection: &mut Connection,
    blob: &Blob,
    pin: Option<&Pin>,
    commands: impl FnOnce(&mut Context, KeyHandle) -> Result<T, Fault>,
) -> Result<T, Fault> {
    connection.under(&blob.parent)?;
    let public = Public::unmarshall(&blob.public).map_err(|_| Fault::Integrity)?;
    let private = Private::try_from(blob.private.as_slice()).map_err(|_| Fault::Integrity)?;
    connection.in_session(|context, parent| {
        let key = context.load(parent, private, public)?;
        let authorized = match pin {
            Some(pin) => context
                .tr_set_auth(key.into(), auth_of(pin)?)
                .map_err(Fault::from),
            None => Ok(()),
        };
        let result = authorized.and_then(|()| commands(context, key));
        let result = result.map_err(|fault| match fault {
            // The session is ours: it has just loaded the key.
            Fault::Unauthorized if pin.is_some() => Fault::WrongPin,
            other => other,
        });
        let flushed = context.flush_context(key.into());
        let value = result?;
        flushed?;
        Ok(value)
    })
}

fn auth_of(pin: &Pin) -> Result<Auth, Fault> {
    Ok(Auth::try_from(pin.expose_secret())?)
}

/// Attributes of everything we have made: it stays in this TPM under this parent. With a PIN the
/// TPM counts wrong ones; without, nothing of ours can lock it.
fn fixed(pin: bool) -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_user_with_auth(true)
        .with_no_da(!pin)
}

fn template(purpose: Purpose, pin: bool) -> Result<Public, Fault> {
    let made_there = fixed(pin).with_sensitive_data_origin(true);
    let public = match purpose {
        Purpose::Key(KeyKind::Sign) => {
            p256(made_there.with_sign_encrypt(true).build()?, Use::Sign)?
        }
        Purpose::Key(KeyKind::Agree) => p256(made_there.with_decrypt(true).build()?, Use::Agree)?,
        Purpose::Key(KeyKind::Decrypt) => rsa(made_there.with_decrypt(true).build()?)?,
        Purpose::Key(KeyKind::Mac) => {
            let scheme = KeyedHashScheme::HMAC_SHA_256;
            keyed_hash(fixed(pin).with_sign_encrypt(true).build()?, scheme)?
        }
        Purpose::Seal => keyed_hash(fixed(pin).build()?, KeyedHashScheme::Null)?,
    };
    Ok(public)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Sign,
    Agree,
}

fn p256(attributes: ObjectAttributes, purpose: Use) -> Result<Public, Fault> {
    let scheme = match purpose {
        Use::Sign => EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)),
        Use::Agree => EccScheme::Null,
    };
    let parameters = PublicEccParametersBuilder::new()
        .with_ecc_scheme(scheme)
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_is_signing_key(purpose == Use::Sign)
        .with_is_decryption_key(purpose == Use::Agree)
        .build()?;
    let builder = public_of(PublicAlgorithm::Ecc, attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default());
    Ok(builder.build()?)
}

/// No scheme is fixed: Entra ID encrypts with SHA-1, others with SHA-256, and each decryption says
/// which.
fn rsa(attributes: ObjectAttributes) -> Result<Public, Fault> {
    let parameters = PublicRsaParametersBuilder::new()
        .with_scheme(RsaScheme::Null)
        .with_key_bits(RsaKeyBits::Rsa2048)
        .with_exponent(RsaExponent::default())
        .with_is_decryption_key(true)
        .build()?;
    let builder = public_of(PublicAlgorithm::Rsa, attributes)
        .with_rsa_parameters(parameters)
        .with_rsa_unique_identifier(PublicKeyRsa::default());
    Ok(builder.build()?)
}

fn keyed_hash(attributes: ObjectAttributes, scheme: KeyedHashScheme) -> Result<Public, Fault> {
    let builder = public_of(PublicAlgorithm::KeyedHash, attributes)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(scheme))
        .with_keyed_hash_unique_identifier(Digest::default());
    Ok(builder.build()?)
}

fn public_of(algorithm: PublicAlgorithm, attributes: ObjectAttributes) -> PublicBuilder {
    PublicBuilder::new()
        .with_public_algorithm(algorithm)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
}
