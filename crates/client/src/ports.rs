//! The engine's ports: every permission it needs, named by role.

use std::sync::Arc;

use async_trait::async_trait;

use keyward_oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_oauth::time::UnixTime;
use keyward_oauth::transport::HttpClient;

use crate::account::AccountInfo;
use crate::binding::{Binding, KeyProtection};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::manage::{ManageAnswer, ManageRequest};
use crate::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use crate::result::AuthenticationResult;

mod keys;
mod records;

pub use keys::{BindingKey, BindingKeys, KeyError, KeyRef, PinRefused, PinWanted};
pub use records::{Change, Record, RecordKey, RecordKind, RecordStore, StoreError};

/// Everything the engine reaches the outside through.
#[derive(Clone)]
pub struct Ports {
    /// The back channel to authorities.
    pub http: Arc<dyn HttpClient>,
    /// The vault.
    pub records: Arc<dyn RecordStore>,
    /// The keys refresh tokens are bound to.
    pub keys: Arc<dyn BindingKeys>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
}

impl Ports {
    /// Random octets.
    pub(crate) fn draw<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.random.fill(&mut octets);
        octets
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now. May jump, forwards and backwards.
    fn now(&self) -> UnixTime;
}

/// Draws randomness.
pub trait Random: Send + Sync {
    /// Fills `bytes` from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}

/// Something that keeps refresh tokens and answers with access tokens: the broker's engine, or a
/// proxy to a broker. Every future may be dropped; that cancels the request.
#[async_trait]
pub trait TokenBroker: Send + Sync {
    /// A token without interaction. Never signs anybody in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InteractionRequired`](crate::error::ErrorKind) when only a person can help.
    async fn acquire_token_silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError>;

    /// A token, with a sign-in if one is needed.
    async fn acquire_token_interactive(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError>;

    /// The accounts signed in here, as this client may see them.
    async fn accounts(&self, client_id: &ClientId) -> Result<Vec<AccountInfo>, AcquireTokenError>;

    /// Removes an account and everything kept for it. Unknown accounts are no error.
    async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError>;

    /// One more DPoP proof for a token that was issued from here.
    async fn dpop_proof(&self, request: DpopProofRequest) -> Result<String, AcquireTokenError>;

    /// What is running, what is bound to what, and why.
    async fn status(&self) -> Result<BrokerStatus, AcquireTokenError>;

    /// Sees or changes what the broker itself holds. Somebody else's broker cannot be asked.
    async fn manage(&self, request: ManageRequest) -> Result<ManageAnswer, AcquireTokenError> {
        let _ = request;
        Err(unmanageable())
    }
}

/// The answer of a broker that cannot be managed.
pub fn unmanageable() -> AcquireTokenError {
    let message = "this broker cannot be managed with Keyward's commands";
    AcquireTokenError::new(ErrorKind::NotSupported, message)
}

/// Removes an account.
#[derive(Clone, Debug)]
pub struct SignOutRequest {
    /// Who asks.
    pub client_id: ClientId,
    /// The account to remove.
    pub account: HomeAccountId,
    /// Ties logs together.
    pub correlation_id: CorrelationId,
}

/// What a broker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerStatus {
    /// The broker's version.
    pub version: String,
    /// `session` or `system`; `foreign` for somebody else's broker.
    pub form: String,
    /// Where new binding keys are made. `None`: this broker does not say.
    pub key_protection: Option<KeyProtection>,
    /// Every account in the vault. A foreign broker tells each application its own only, here none.
    pub accounts: Vec<AccountStatus>,
    /// What the kernel keeps the broker from, in plain words. Empty: it does not say.
    pub hardening: Vec<String>,
    /// What is wrong with the configuration or the vault, in plain words.
    pub problems: Vec<String>,
    /// Why the broker does not work by the configuration as it is written by now, and what to do.
    /// `None`: it does, or it does not say.
    pub outdated: Option<String>,
}

impl BrokerStatus {
    /// The [`form`](Self::form) of somebody else's broker.
    pub const FOREIGN: &str = "foreign";

    /// Whether this is somebody else's broker, which does not say who is signed in.
    pub fn is_foreign(&self) -> bool {
        self.form == Self::FOREIGN
    }
}

/// What ties one account to this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// The account. Its environment is the host by which the applications that use it name the
    /// authority, if they agree, and the issuer's own else.
    pub account: AccountInfo,
    /// The weakest binding among its refresh tokens.
    pub binding: Binding,
    /// Where the keys live.
    pub key_protection: KeyProtection,
    /// Issuer of the authority.
    pub authority: String,
}
