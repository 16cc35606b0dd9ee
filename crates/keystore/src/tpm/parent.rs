//! The storage key under which every key of ours is made.

use tss_esapi::Context;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccParameter, EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, PublicKeyRsa,
    PublicRsaParametersBuilder, RsaExponent, SymmetricDefinitionObject,
};

use super::context::is_there;
use super::fault::{Fault, code};
use crate::error::KeyStoreError;

/// Where the storage root key is kept by convention (TCG TPM v2.0 Provisioning Guidance §7.8).
const STORAGE_ROOT_KEY: u32 = 0x8100_0001;

/// Length of a coordinate of P-256.
const COORDINATE: usize = 32;

/// How a parent is come by. The numbers are those in key files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// What is kept persistently as the storage root key.
    Persistent = 1,
    /// A primary key from the standard template with P-256.
    P256 = 2,
    /// A primary key from the standard template with RSA-2048.
    Rsa2048 = 3,
}

impl Template {
    const ALL: [Self; 3] = [Self::Persistent, Self::P256, Self::Rsa2048];

    /// The template of this number.
    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|template| *template as u8 == number)
    }
}

/// Which parent a key was made under: how it was come by, and its Name, which is a digest of its
/// public area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParentId {
    pub(super) template: Template,
    pub(super) name: Vec<u8>,
}

/// A parent that can be used now.
pub(super) struct Parent {
    pub(super) id: ParentId,
    pub(super) handle: KeyHandle,
}

impl Parent {
    /// The parent for new keys: the persistent one if it is what it should be, else a primary key.
    pub(super) fn choose(context: &mut Context) -> Result<Self, Fault> {
        if let Some(parent) = persistent(context)? {
            return Ok(parent);
        }
        match primary(context, Template::P256) {
            Err(fault) if fault.is(code::CURVE) || fault.is(code::VALUE) => {
                primary(context, Template::Rsa2048)
            }
            made => made,
        }
    }

    /// The parent of a key, come by as it was then, or else in another way.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Lost`] when the TPM has no such parent in any way: it was cleared, or is
    /// another one.
    pub(super) fn find(context: &mut Context, wanted: &ParentId) -> Result<Self, Fault> {
        let others = Template::ALL
            .into_iter()
            .filter(|template| *template != wanted.template);
        for template in std::iter::once(wanted.template).chain(others) {
            let found = match template {
                Template::Persistent => persistent(context)?,
                primary_template => Some(primary(context, primary_template)?),
            };
            let Some(found) = found else { continue };
            if found.id.name == wanted.name {
                return Ok(found);
            }
            found.release(context)?;
        }
        Err(Fault::Final(KeyStoreError::Lost(
            "the TPM was cleared, or is another one than the key was made in".to_owned(),
        )))
    }

    /// Gives back what it takes up in the TPM. What is persistent stays.
    pub(super) fn release(self, context: &mut Context) -> Result<(), Fault> {
        let mut object = ObjectHandle::from(self.handle);
        match self.id.template {
            Template::Persistent => context.tr_close(&mut object)?,
            Template::P256 | Template::Rsa2048 => context.flush_context(object)?,
        }
        Ok(())
    }
}

/// The persistent storage root key, if there is one that is fit to be a parent.
fn persistent(context: &mut Context) -> Result<Option<Parent>, Fault> {
    let handle = TpmHandle::Persistent(PersistentTpmHandle::new(STORAGE_ROOT_KEY)?);
    if !is_there(context, handle)? {
        return Ok(None);
    }
    let mut object = context.tr_from_tpm_public(handle)?;
    let (public, name, _) = context.read_public(object.into())?;
    if !is_storage_key(&public) {
        context.tr_close(&mut object)?;
        return Ok(None);
    }
    Ok(Some(Parent {
        id: ParentId {
            template: Template::Persistent,
            name: name.value().to_vec(),
        },
        handle: object.into(),
    }))
}

/// Whether a key may be the parent of ours: made in this TPM and fixed to it, for storage only,
/// usable with an authorization value, and strong enough.
pub(super) fn is_storage_key(public: &Public) -> bool {
    let attributes = public.object_attributes();
    let right = attributes.restricted()
        && attributes.decrypt()
        && !attributes.sign_encrypt()
        && attributes.fixed_tpm()
        && attributes.fixed_parent()
        && attributes.sensitive_data_origin()
        && attributes.user_with_auth();
    let strong = match public {
        Public::Ecc { parameters, .. } => parameters.ecc_curve() == EccCurve::NistP256,
        Public::Rsa { parameters, .. } => parameters.key_bits() == RsaKeyBits::Rsa2048,
        Public::KeyedHash { .. } | Public::SymCipher { .. } => false,
    };
    right
        && strong
        && public.name_hashing_algorithm() == HashingAlgorithm::Sha256
        && public.symmetric_algorithm() == Some(SymmetricDefinitionObject::AES_128_CFB)
}

/// Makes a primary key, which is the same each time.
fn primary(context: &mut Context, template: Template) -> Result<Parent, Fault> {
    let public = template_of(template)?;
    // The only secret is the owner's authorization value, which is empty or not known to us.
    let session = Some(AuthSession::Password);
    let made = context.execute_with_session(session, |context| {
        context.create_primary(Hierarchy::Owner, public, None, None, None, None)
    })?;
    let name = context.tr_get_name(made.key_handle.into())?;
    Ok(Parent {
        id: ParentId {
            template,
            name: name.value().to_vec(),
        },
        handle: made.key_handle,
    })
}

/// The standard template of a storage root key (TCG TPM v2.0 Provisioning Guidance §7.5.1, TCG EK
/// Credential Profile, templates L-1 and L-2 with the authorization of a storage root key).
fn template_of(template: Template) -> Result<Public, Fault> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let builder = PublicBuilder::new()
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes);
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let builder = if template == Template::Rsa2048 {
        let parameters = PublicRsaParametersBuilder::new_restricted_decryption_key(
            symmetric,
            RsaKeyBits::Rsa2048,
            RsaExponent::default(),
        );
        builder
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_rsa_parameters(parameters.build()?)
            .with_rsa_unique_identifier(PublicKeyRsa::new_empty_with_size(RsaKeyBits::Rsa2048))
    } else {
        let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
            symmetric,
            EccCurve::NistP256,
        );
        let zero = || EccParameter::try_from(vec![0; COORDINATE]);
        builder
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_ecc_parameters(parameters.build()?)
            .with_ecc_unique_identifier(EccPoint::new(zero()?, zero()?))
    };
    Ok(builder.build()?)
}
