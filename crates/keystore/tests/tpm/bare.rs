//! The TPM without the key store in between.

use keyward_testkit::SoftwareTpm;
use tss_esapi::Context;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    CapabilityData, EccParameter, EccPoint, EccScheme, KeyDerivationFunctionScheme, Public,
    PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject,
};

/// Whether a primary key is for storage only, as a parent has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Restricted {
    Yes,
    No,
}

pub fn context(tpm: &SoftwareTpm) -> Context {
    Context::new(tpm.tcti().parse().unwrap()).unwrap()
}

/// Makes a primary key, the standard storage key if it is restricted.
pub fn primary(context: &mut Context, restricted: Restricted) -> KeyHandle {
    context.set_sessions((Some(AuthSession::Password), None, None));
    let public = template(restricted);
    let made = context.create_primary(Hierarchy::Owner, public, None, None, None, None);
    context.clear_sessions();
    made.unwrap().key_handle
}

/// What the TPM has of the kind of this first handle.
pub fn handles(tpm: &SoftwareTpm, first: u32) -> Vec<u32> {
    let (found, _) = context(tpm)
        .get_capability(CapabilityType::Handles, first, 10)
        .unwrap();
    let CapabilityData::Handles(handles) = found else {
        panic!("handles were asked for");
    };
    let handles = handles.into_inner().into_iter().map(u32::from);
    handles
        .filter(|handle| handle >> 24 == first >> 24)
        .collect()
}

/// Keeps a primary key where the storage root key is kept by convention.
pub fn persist(tpm: &SoftwareTpm, restricted: Restricted) {
    let mut context = context(tpm);
    let key = primary(&mut context, restricted);
    context.set_sessions((Some(AuthSession::Password), None, None));
    let place = Persistent::Persistent(PersistentTpmHandle::new(0x8100_0001).unwrap());
    let kept = context.evict_control(Provision::Owner, key.into(), place);
    kept.unwrap();
}

/// Removes what [`persist`] kept.
pub fn evict(tpm: &SoftwareTpm) {
    let mut context = context(tpm);
    let handle = PersistentTpmHandle::new(0x8100_0001).unwrap();
    let object = context.tr_from_tpm_public(handle.into()).unwrap();
    context.set_sessions((Some(AuthSession::Password), None, None));
    let place = Persistent::Persistent(handle);
    context
        .evict_control(Provision::Owner, object, place)
        .unwrap();
}

/// The standard template, written down once more.
fn template(restricted: Restricted) -> Public {
    let restricted = restricted == Restricted::Yes;
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(restricted)
        .with_decrypt(true)
        .build();
    let parameters = if restricted {
        let symmetric = SymmetricDefinitionObject::AES_128_CFB;
        PublicEccParametersBuilder::new_restricted_decryption_key(symmetric, EccCurve::NistP256)
    } else {
        PublicEccParametersBuilder::new()
            .with_ecc_scheme(EccScheme::Null)
            .with_curve(EccCurve::NistP256)
            .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
            .with_is_decryption_key(true)
    };
    let zero = || EccParameter::try_from(vec![0; 32]).unwrap();
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.unwrap())
        .with_ecc_parameters(parameters.build().unwrap())
        .with_ecc_unique_identifier(EccPoint::new(zero(), zero()))
        .build()
        .unwrap()
}
