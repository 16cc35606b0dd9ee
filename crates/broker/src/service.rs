//! What callers may ask for. Every method is the same three steps: who asks (the server says),
//! may they, do it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use keyward_broker_ipc::secret_service::SecretStore;
use keyward_broker_ipc::service::{BrokerService, Caller};
use keyward_client::account::AccountInfo;
use keyward_client::audit::AuditQuery;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, SignOutRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest, TokenRequest};
use keyward_client::result::AuthenticationResult;

use crate::audit::Decision;
use crate::holdings::Holdings;
use crate::opening::Open;
use crate::outcome::{Call, Decided, Ids};

/// The rule that refuses what demands are not met by.
const REQUIREMENTS: &str = "require";

/// The rules about callers, where what they refuse is found out late.
const POLICY: &str = "policy";

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
    fn at_hand(
        &self,
        caller: &Caller,
        request: &SilentRequest,
    ) -> Option<(AuthenticationResult, Decision)> {
        self.admit(caller).ok()?;
        self.holdings.outcomes().audit().admit().ok()?;
        let open = self.holdings.peek().ok()?;
        let requirements = &open.requirements;
        requirements
            .admit(&request.token, open.providers.choice())
            .ok()?;
        if !open.lets_have(caller, request) {
            return None;
        }
        let result = open.engine.at_hand(request)?;
        requirements.check(&result).ok()?;
        if !open.lets_have_this(caller, request, &result) {
            return None;
        }
        let decision = open.ruling(caller, request, &result);
        Some((result, decision))
    }

    /// Reads the record of outcomes. Works whatever else does not.
    async fn audit(
        &self,
        caller: &Caller,
        query: AuditQuery,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let outcomes = self.holdings.outcomes();
        // Whoever follows asks twice a second; the first time is what is worth a record.
        let follows = query.after.is_some() || query.before.is_some();
        let read = async {
            self.admit(caller)?;
            if let Ok(open) = self.holdings.peek() {
                open.admit_reader(caller)?;
            }
            let page = outcomes.audit().page(query).await?;
            Ok(ManageAnswer::Audit(page))
        };
        if follows {
            outcomes.asks(caller, Instant::now())?;
            return read.await;
        }
        let call = Call::new(Arc::clone(&outcomes), "audit", caller, Ids::default());
        let admitted = call.in_bounds();
        let work = async {
            admitted?;
            read.await
        };
        call.observe(work).await
    }

    async fn admitted(
        &self,
        caller: &Caller,
        decided: &Decided,
    ) -> Result<Arc<Open>, AcquireTokenError> {
        decided.unless_denied("uid", self.admit(caller))?;
        self.holdings.get().await
    }

    /// What is held, for a token that meets what is demanded.
    async fn admitted_for(
        &self,
        caller: &Caller,
        request: &TokenRequest,
        decided: &Decided,
    ) -> Result<Arc<Open>, AcquireTokenError> {
        let open = self.admitted(caller, decided).await?;
        let meets = open.requirements.admit(request, open.providers.choice());
        decided.unless_denied(REQUIREMENTS, meets)?;
        Ok(open)
    }
}

#[async_trait]
impl BrokerService for Service {
    fn secrets_offered(&self, uid: u32, secrets: Arc<dyn SecretStore>) {
        if uid == self.uid {
            self.holdings.keyring_offered(secrets);
        }
    }

    fn refused(&self, caller: &Caller, operation: &'static str, error: &AcquireTokenError) {
        self.holdings.outcomes().refused(caller, operation, error);
    }

    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let (outcomes, started) = (self.holdings.outcomes(), Instant::now());
        let asked = outcomes.asks(caller, started);
        if asked.is_ok()
            && let Some((result, decision)) = self.at_hand(caller, &request)
        {
            outcomes.at_hand(caller, &request, &result, (started, decision));
            return Ok(result);
        }
        let call = Call::silent(outcomes, caller, &request, asked);
        let (decided, admitted) = (call.decided(), call.admit_to_network());
        let work = async {
            admitted?;
            let open = self.admitted_for(caller, &request.token, &decided).await?;
            open.admit_silent(caller, &request, &decided)?;
            let (client_id, scopes) = (
                request.token.client_id.clone(),
                request.token.scopes.clone(),
            );
            let result = open.engine.silent(request).await?;
            decided.unless_denied(REQUIREMENTS, open.requirements.check(&result))?;
            let admitted = open.admit_answer(caller, (&client_id, &scopes), &result);
            decided.unless_denied(POLICY, admitted)?;
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
        let call = Call::interactive(self.holdings.outcomes(), caller, &request);
        let (decided, admitted) = (call.decided(), call.admit_to_network());
        let work = async {
            admitted?;
            let open = self.admitted_for(caller, &request.token, &decided).await?;
            let result = open.interactive(caller, request, agent, &decided).await?;
            decided.unless_denied(REQUIREMENTS, open.requirements.check(&result))?;
            Ok(result)
        };
        Box::pin(call.observe(work)).await
    }

    async fn accounts(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let ids = Ids::client(client_id);
        let call = Call::new(self.holdings.outcomes(), "accounts", caller, ids);
        let (decided, admitted) = (call.decided(), call.admit());
        let work = async {
            admitted?;
            let open = self.admitted(caller, &decided).await?;
            open.accounts_for(caller, client_id)
        };
        call.observe(work).await
    }

    async fn sign_out(
        &self,
        caller: &Caller,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        let ids = Ids {
            client_id: Some(&request.client_id),
            correlation_id: Some(request.correlation_id),
        };
        let call = Call::new(self.holdings.outcomes(), "sign_out", caller, ids)
            .for_account(&request.account);
        let (decided, admitted) = (call.decided(), call.admit());
        let work = async {
            admitted?;
            let open = self.admitted(caller, &decided).await?;
            let account = Some(&request.account);
            open.admit_client(caller, &request.client_id, account, &decided)?;
            open.engine.sign_out(request).await
        };
        call.observe(work).await
    }

    async fn dpop_proof(
        &self,
        caller: &Caller,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        let ids = Ids::client(&request.client_id);
        let call = Call::new(self.holdings.outcomes(), "dpop_proof", caller, ids);
        let (decided, admitted) = (call.decided(), call.admit());
        let work = async {
            admitted?;
            let open = self.admitted(caller, &decided).await?;
            open.admit_client(caller, &request.client_id, None, &decided)?;
            open.engine.dpop_proof(request).await
        };
        call.observe(work).await
    }

    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError> {
        let call = Call::new(self.holdings.outcomes(), "status", caller, Ids::default());
        // Also where nothing can be recorded: it is what says so.
        let (decided, admitted) = (call.decided(), call.in_bounds());
        let work = async {
            admitted?;
            decided.unless_denied("uid", self.admit(caller))?;
            let mut status = self.holdings.status().await;
            let open = self.holdings.peek();
            if open.is_ok_and(|open| open.admit_reader(caller).is_err()) {
                status.accounts.clear();
            }
            Ok(status)
        };
        call.observe(work).await
    }

    async fn manage(
        &self,
        caller: &Caller,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        if let ManageRequest::Audit(query) = request {
            return self.audit(caller, query).await;
        }
        let call = Call::new(self.holdings.outcomes(), "manage", caller, Ids::default());
        let (decided, admitted) = (call.decided(), call.admit());
        let work = async {
            admitted?;
            let open = self.admitted(caller, &decided).await?;
            open.admit_manager(caller, &*agent, &decided).await?;
            open.manage(request, agent).await
        };
        Box::pin(call.observe(work)).await
    }
}
