//! What callers may ask for. Every method is the same three steps: who asks (the server says),
//! may they, do it.

use std::sync::Arc;

use async_trait::async_trait;
use keyward_broker_ipc::service::{BrokerService, Caller};
use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, SignOutRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_client::result::AuthenticationResult;

use crate::holdings::Holdings;
use crate::opening::Open;
use crate::outcome::{self, Call};

/// The broker, as its server sees it.
pub(crate) struct Service {
    holdings: Holdings,
    uid: u32,
}

impl Service {
    /// For the user this runs as.
    pub(crate) fn new(holdings: Holdings) -> Self {
        Self::for_user(rustix::process::geteuid().as_raw(), holdings)
    }

    /// For this user and nobody else.
    pub(crate) fn for_user(uid: u32, holdings: Holdings) -> Self {
        Self { holdings, uid }
    }

    /// Whether this caller is served at all. The server refuses other users' connections before;
    /// this holds whatever the transport is.
    fn admit(&self, caller: &Caller) -> Result<(), AcquireTokenError> {
        if caller.uid == self.uid {
            return Ok(());
        }
        Err(AcquireTokenError::new(
            ErrorKind::InvalidRequest,
            format!(
                "this broker serves uid {}, not uid {}",
                self.uid, caller.uid
            ),
        ))
    }

    /// What can be handed out without waiting for anything, to whom all of it is allowed.
    fn at_hand(&self, caller: &Caller, request: &SilentRequest) -> Option<AuthenticationResult> {
        self.admit(caller).ok()?;
        let open = self.holdings.peek().ok()?;
        let requirements = &open.requirements;
        requirements
            .admit(&request.token, open.providers.choice())
            .ok()?;
        let result = open.engine.at_hand(request)?;
        requirements.check(&result).ok()?;
        Some(result)
    }

    async fn admitted(&self, caller: &Caller) -> Result<Arc<Open>, AcquireTokenError> {
        self.admit(caller)?;
        self.holdings.get().await
    }
}

#[async_trait]
impl BrokerService for Service {
    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        if let Some(result) = self.at_hand(caller, &request) {
            outcome::at_hand(caller, &request.token, &result);
            return Ok(result);
        }
        let call = Call::acquisition("acquire_token_silent", caller, &request.token);
        let work = async {
            let open = self.admitted(caller).await?;
            open.requirements
                .admit(&request.token, open.providers.choice())?;
            let result = open.engine.silent(request).await?;
            open.requirements.check(&result)?;
            Ok(result)
        };
        // Boxed, so that what most requests need stays small.
        Box::pin(call.observe(work)).await
    }

    async fn acquire_token_interactive(
        &self,
        caller: &Caller,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let call = Call::acquisition("acquire_token_interactive", caller, &request.token);
        let work = async {
            let open = self.admitted(caller).await?;
            open.requirements
                .admit(&request.token, open.providers.choice())?;
            let result = open.engine.interactive(request, agent).await?;
            open.requirements.check(&result)?;
            Ok(result)
        };
        Box::pin(call.observe(work)).await
    }

    async fn accounts(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let call = Call::new("accounts", caller, Some(client_id), None);
        let work = async { self.admitted(caller).await?.engine.accounts(client_id) };
        call.observe(work).await
    }

    async fn sign_out(
        &self,
        caller: &Caller,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        let client_id = request.client_id.clone();
        let correlation_id = Some(request.correlation_id);
        let call = Call::new("sign_out", caller, Some(&client_id), correlation_id);
        let work = async { self.admitted(caller).await?.engine.sign_out(request).await };
        call.observe(work).await
    }

    async fn dpop_proof(
        &self,
        caller: &Caller,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        let client_id = request.client_id.clone();
        let call = Call::new("dpop_proof", caller, Some(&client_id), None);
        let work = async {
            self.admitted(caller)
                .await?
                .engine
                .dpop_proof(request)
                .await
        };
        call.observe(work).await
    }

    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError> {
        self.admit(caller)?;
        Ok(self.holdings.status().await)
    }

    async fn manage(
        &self,
        caller: &Caller,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let call = Call::new("manage", caller, None, None);
        let work = async { self.admitted(caller).await?.manage(request, agent).await };
        Box::pin(call.observe(work)).await
    }
}
