//! The same commands as the key store gives, and nothing else.

use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::SessionType;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, Private, Public, PublicBuilder,
    PublicEccParameters, PublicEccParametersBuilder, SignatureScheme, SymmetricDefinition,
    SymmetricDefinitionObject,
};
use tss_esapi::tss2_esys::{TPM2B_DIGEST, TPMT_TK_HASHCHECK};
use tss_esapi::{Context, Error, Result};

/// A connection with a storage key, a session and a key of its own.
pub struct Bare {
    context: Context,
    parent: KeyHandle,
    private: Private,
    public: Public,
}

impl Bare {
    pub fn connect(tcti: &str) -> Result<Self> {
        let mut context = Context::new(tcti.parse()?)?;
        let storage = PublicEccParametersBuilder::new_restricted_decryption_key(
            SymmetricDefinitionObject::AES_128_CFB,
            EccCurve::NistP256,
        );
        let template = public(Use::Storage, storage.build()?)?;
        context.set_sessions((Some(AuthSession::Password), None, None));
        let made = context.create_primary(Hierarchy::Owner, template, None, None, None, None)?;
        let parent = made.key_handle;
        context.clear_sessions();
        let session = salted_session(&mut context, parent)?;
        context.set_sessions((Some(session), None, None));

        let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
        let signing =
            PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256);
        let template = public(Use::Sign, signing.build()?)?;
        let key = context.create(parent, template, None, None, None, None)?;
        Ok(Self {
            context,
            parent,
            private: key.out_private,
            public: key.out_public,
        })
    }

    /// Loads the key, signs and flushes it.
    pub fn sign(&mut self, digest: &[u8; 32]) -> Result<()> {
        let digest = Digest::try_from(digest.as_slice())?;
        let key = self
            .context
            .load(self.parent, self.private.clone(), self.public.clone())?;
        let scheme = SignatureScheme::EcDsa {
            hash_scheme: HashScheme::new(HashingAlgorithm::Sha256),
        };
        let ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
            tag: TPM2_ST_HASHCHECK,
            hierarchy: TPM2_RH_NULL,
            digest: TPM2B_DIGEST::default(),
        })?;
        self.context.sign(key, digest, scheme, ticket)?;
        self.context.flush_context(key.into())
    }
}

fn salted_session(context: &mut Context, parent: KeyHandle) -> Result<AuthSession> {
    let session = context.start_auth_session(
        Some(parent),
        None,
        None,
        SessionType::Hmac,
        SymmetricDefinition::AES_128_CFB,
        HashingAlgorithm::Sha256,
    )?;
    let session = session.ok_or(Error::WrapperError(
        tss_esapi::WrapperErrorKind::WrongValueFromTpm,
    ))?;
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_continue_session(true)
        .with_decrypt(true)
        .with_encrypt(true)
        .build();
    context.tr_sess_set_attributes(session, attributes, mask)?;
    Ok(session)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Storage,
    Sign,
}

fn public(purpose: Use, parameters: PublicEccParameters) -> Result<Public> {
    let storage = purpose == Use::Storage;
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(storage)
        .with_decrypt(storage)
        .with_sign_encrypt(!storage)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}
