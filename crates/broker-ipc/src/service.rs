//! What the holder of the tokens offers to callers: the seam between this crate, which speaks
//! D-Bus, and the broker, which does not.

use std::sync::Arc;

use async_trait::async_trait;

use keyward_client::account::AccountInfo;
use keyward_client::error::AcquireTokenError;
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, SignOutRequest, unmanageable};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_client::result::AuthenticationResult;

use crate::program::Program;
use crate::secret_service::SecretStore;

/// Who asks. Comes from the transport, never from the arguments of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user, vouched for by the kernel.
    pub uid: u32,
    /// The process, where the transport names it. Informs a person; proves nothing, because any
    /// code of this user could have become that process.
    pub pid: Option<u32>,
    /// How the request came in.
    pub via: Via,
    /// What that process runs, as far as it is known.
    pub program: Arc<Program>,
    /// The program that passed the request on, where it is not the caller's own.
    pub forwarder: Option<Arc<Program>>,
}

impl Caller {
    /// A caller of whom no more than this is known.
    pub fn new(uid: u32, pid: Option<u32>, via: Via) -> Self {
        Self {
            uid,
            pid,
            via,
            program: Program::unknown(),
            forwarder: None,
        }
    }
}

/// How a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// From the process at the other end of the socket.
    Socket,
    /// From a bus, passed on by keyward-session, whose word it is.
    Bus {
        /// The caller's unique name on that bus.
        unique_name: String,
    },
}

/// The broker as its callers see it: [`TokenBroker`](keyward_client::ports::TokenBroker) with a
/// caller. The server drops a future when its caller cancels or goes away.
#[async_trait]
pub trait BrokerService: Send + Sync + 'static {
    /// Whether requests of this user are taken at all: its own user's, unless it says otherwise.
    /// Other users' connections are closed before anything is read from them.
    fn serves(&self, uid: u32) -> bool {
        uid == rustix::process::getuid().as_raw()
    }

    /// A request was refused before it reached any other method here, because its caller has too
    /// many already.
    fn refused(&self, caller: &Caller, operation: &'static str, error: &AcquireTokenError) {
        let _ = (caller, operation, error);
    }

    /// Takes note that a process of this user's session offers to keep secrets in its keyring. The
    /// newest offer is the one to use; one whose process is gone fails.
    fn secrets_offered(&self, uid: u32, secrets: Arc<dyn SecretStore>) {
        let _ = (uid, secrets);
    }

    /// A token without interaction. Never signs anybody in.
    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError>;

    /// A token, with a sign-in shown by `agent` if one is needed.
    async fn acquire_token_interactive(
        &self,
        caller: &Caller,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError>;

    /// The accounts signed in here, as this client may see them.
    async fn accounts(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError>;

    /// Removes an account and everything kept for it. Unknown accounts are no error.
    async fn sign_out(
        &self,
        caller: &Caller,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError>;

    /// One more DPoP proof for a token that was issued from here.
    async fn dpop_proof(
        &self,
        caller: &Caller,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError>;

    /// What is running, what is bound to what, and why.
    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError>;

    /// Sees or changes what the broker itself holds, with a sign-in shown by `agent` if one is
    /// needed.
    async fn manage(
        &self,
        caller: &Caller,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let _ = (caller, request, agent);
        Err(unmanageable())
    }
}
