//! The engine: what all flows share, and its public face.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::time::UnixTime;
use keyward_oauth::transport::UserAgent;

use crate::account::AccountInfo;
use crate::acquisition::RequestIdentity;
use crate::authority::AuthorityRules;
use crate::authority::names::Names;
use crate::authority_metadata::AuthorityMetadata;
use crate::cache::key::GrantKey;
use crate::demands::Demanded;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::interactive::{
    Attention, OpenGate, PromptGate, PromptKind, PromptStatus, Replacements, Screen, SignIn,
};
use crate::manage::BoundAccount;
use crate::nonces::Nonces;
use crate::ports::{BrokerStatus, Ports, SignOutRequest, StoreError};
use crate::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use crate::result::AuthenticationResult;
use crate::silent::{Acquired, Renewal};
use crate::single_flight::{Abandoned, SingleFlight};
use crate::throttle::Throttle;
use crate::turns::Turns;
use crate::vault::Vault;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities applications may name beside the well-known ones.
    pub authorities: AuthorityRules,
    /// How long a sign-in may take when the request does not say.
    pub interactive_deadline: Duration,
    /// The version to report.
    pub version: String,
    /// The form to report: `session` or `system`.
    pub form: String,
    /// What the administrator demands of every request.
    pub demanded: Demanded,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authorities: AuthorityRules::default(),
            // Microsoft's runtime gives up after 300 s (`linux-broker-dbus.md` 0).
            interactive_deadline: Duration::from_secs(285),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            form: "session".to_owned(),
            demanded: Demanded::default(),
        }
    }
}

/// Acquires tokens and keeps what renews them. Cheap to clone; every future may be dropped, which
/// cancels what it asked for. Runs on a Tokio runtime.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl Engine {
    /// An engine that knows nothing yet; see [`open`](Self::open).
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self(Arc::new(Shared::new(ports, settings)))
    }

    /// Reads the vault. Until this has succeeded every request is answered with
    /// [`ErrorKind::Storage`]. A record that cannot be read does not stop the others;
    /// [`status`](Self::status) names it.
    ///
    /// # Errors
    ///
    /// When the vault cannot be read at all.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.0.vault.open().await
    }

    /// A token without interaction. Never signs anybody in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InteractionRequired`] when only a person can help.
    pub async fn silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.0.silent(request).await
    }

    /// The answer to a silent request for which nothing has to be waited for: a bearer token that
    /// is kept and lasts. `None` for everything else; [`silent`](Self::silent) answers that.
    pub fn at_hand(&self, request: &SilentRequest) -> Option<AuthenticationResult> {
        self.0.at_hand(request)
    }

    /// A token, with a sign-in shown by `agent`. One sign-in is shown at a time: a request for the
    /// same as one that is under way joins it, any other waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserCanceled`], [`ErrorKind::DeadlineExceeded`] and whatever the authority
    /// says.
    pub async fn interactive(
        &self,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let gate = Arc::new(OpenGate);
        self.0.interactive(request, agent, gate).await
    }

    /// [`interactive`](Self::interactive), with a say in whether a sign-in may be shown.
    ///
    /// # Errors
    ///
    /// As [`interactive`](Self::interactive), and what the gate says.
    pub async fn interactive_through(
        &self,
        gate: Arc<dyn PromptGate>,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.0.interactive(request, agent, gate).await
    }

    /// Waits for the person's attention, in the queue in which sign-ins wait for it.
    ///
    /// # Errors
    ///
    /// When there is none to be had any more.
    pub async fn attention(
        &self,
        kind: PromptKind,
        client_id: Option<&ClientId>,
    ) -> Result<Attention, AcquireTokenError> {
        let place = self.0.screen.queue.place(kind, client_id);
        self.0.attention(place.at_once()).await
    }

    /// What is shown to the person, and what waits to be, in this order.
    pub fn prompts(&self) -> Vec<PromptStatus> {
        self.0.screen.queue.status()
    }

    /// Every account in the vault, as this client names its environment.
    ///
    /// # Errors
    ///
    /// When the vault is not open.
    pub fn accounts(&self, client_id: &ClientId) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.0.accounts(client_id)
    }

    /// Removes an account for every client, with its tokens and keys, and then asks the authority
    /// to revoke its refresh tokens. Unknown accounts are no error, nor is an authority that
    /// cannot be reached.
    ///
    /// # Errors
    ///
    /// When the vault cannot be written.
    pub async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError> {
        self.0.sign_out(request).await
    }

    /// One more DPoP proof for an access token that was issued to this client from here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for any other token.
    pub async fn dpop_proof(&self, request: DpopProofRequest) -> Result<String, AcquireTokenError> {
        self.0.dpop_proof(request).await
    }

    /// Every refresh token, without itself: whose it is, what binds it, and to which key.
    pub fn bound_accounts(&self) -> Vec<BoundAccount> {
        self.0.bound_accounts()
    }

    /// Moves what is bound so to where new keys are made: by a new sign-in shown by `agent`, where
    /// a refresh token is bound to its key. What has moved already is no error.
    ///
    /// # Errors
    ///
    /// When the sign-in does not come about; everything is as it was then.
    pub async fn rebind(
        &self,
        bound: &BoundAccount,
        agent: Arc<dyn UserAgent>,
    ) -> Result<(), AcquireTokenError> {
        self.0.rebind(bound, agent).await
    }

    /// Whether moving what is bound so takes a sign-in.
    pub fn moves_by_sign_in(&self, bound: &BoundAccount) -> bool {
        self.0.moves_by_sign_in(bound)
    }

    /// Seals what is about no key where new keys are made, after everything else has moved there.
    ///
    /// # Errors
    ///
    /// When the vault cannot be written, or earlier copies of it may still pass.
    pub async fn reseal(&self) -> Result<(), AcquireTokenError> {
        self.0.reseal().await
    }

    /// Removes every account with its tokens and keys, as a sign-out of each does, and every
    /// record that cannot be read: nothing returns with a device that is away.
    ///
    /// # Errors
    ///
    /// When the vault cannot be written.
    pub async fn forget(&self) -> Result<(), AcquireTokenError> {
        self.0.forget().await
    }

    /// What is signed in, what binds it, and what is wrong with the vault.
    pub fn status(&self) -> BrokerStatus {
        self.0.status()
    }
}

#[cfg(test)]
impl Engine {
    /// Renewals and sign-ins that are under way, and turns that are taken.
    pub(crate) fn renewals_in_progress(&self) -> usize {
        self.0.renewals.len() + self.0.sign_ins.len() + self.0.turns.len()
    }
}

/// What all flows share.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) vault: Arc<Vault>,
    pub(crate) names: Names,
    pub(crate) metadata: AuthorityMetadata,
    pub(crate) nonces: Arc<Nonces>,
    /// When the name of an authority was written last, in seconds since the epoch.
    pub(crate) environment_written: AtomicU64,
    pub(crate) renewals: SingleFlight<Renewal, Result<Acquired, AcquireTokenError>>,
    /// One renewal per grant at a time: refresh tokens rotate.
    pub(crate) turns: Turns<GrantKey>,
    pub(crate) throttle: Throttle<RequestIdentity>,
    pub(crate) sign_ins: SingleFlight<SignIn, Result<Acquired, AcquireTokenError>>,
    pub(crate) screen: Screen,
    pub(crate) replacements: Replacements,
}

impl Shared {
    fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            vault: Arc::new(Vault::new(ports.clone())),
            ports,
            settings,
            names: Names::default(),
            metadata: AuthorityMetadata::default(),
            nonces: Arc::default(),
            environment_written: AtomicU64::new(0),
            renewals: SingleFlight::new(Abandoned::Finish),
            turns: Turns::default(),
            throttle: Throttle::default(),
            sign_ins: SingleFlight::new(Abandoned::Cancel),
            screen: Screen::default(),
            replacements: Replacements::default(),
        }
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.ports.clock.now()
    }
}

/// A fault of ours.
pub(crate) fn panicked(what: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::Unexpected,
        format!("{what} panicked; this is a bug, please report it"),
    )
}
