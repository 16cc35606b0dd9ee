//! Passing requests on to keywardd.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::client::account::AccountInfo;
use keyward_broker_ipc::client::error::{AcquireTokenError, ErrorKind};
use keyward_broker_ipc::client::manage::{ManageAnswer, ManageRequest};
use keyward_broker_ipc::client::oauth::identifiers::ClientId;
use keyward_broker_ipc::client::oauth::transport::UserAgent;
use keyward_broker_ipc::client::ports::{BrokerStatus, SignOutRequest, TokenBroker as _};
use keyward_broker_ipc::client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_broker_ipc::client::result::AuthenticationResult;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_broker_ipc::secret_service::SecretService;
use keyward_broker_ipc::service::{BrokerService, Caller};
use keyward_config::{BrokerPlace, Config, Environment, Form, Permit};
use keyward_user_agent::{Launcher, SystemBrowser};

use crate::starter::KeywarddStarter;

/// How long to wait before keywardd is looked for again, to offer it a user agent.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

/// The way to keywardd. The configuration may be broken; then each request is answered with what
/// is wrong, and the files are read again for the next one.
pub(crate) struct Forwarder {
    environment: Environment,
    no_start: bool,
    link: Mutex<Result<SocketBroker, AcquireTokenError>>,
    /// What is wrong on the bus, in plain words.
    problems: Mutex<Vec<String>>,
}

impl Forwarder {
    /// A way to keywardd; connects with the first request.
    pub(crate) fn new(environment: Environment, no_start: bool) -> Self {
        let link = Mutex::new(link(&environment, no_start));
        Self {
            environment,
            no_start,
            link,
            problems: Mutex::default(),
        }
    }

    /// Takes note of what is wrong on the bus, to tell whoever asks for the status.
    pub(crate) fn set_problems(&self, problems: Vec<String>) {
        *self.problems.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }

    /// What to log, as far as the configuration can be read.
    pub(crate) fn log_directives(&self) -> String {
        keyward_config::load(&self.environment, Permit::ConfiguredOnly)
            .map_or_else(|_| "info".to_owned(), |config| config.log.value)
    }

    /// Keeps a connection to keywardd while it runs, so that it has a user agent also for those
    /// who call it directly. Never starts it.
    pub(crate) async fn keep_offering(self: Arc<Self>) {
        loop {
            let link = self
                .link
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Ok(link) = link
                && link.is_running().await
                && let Err(error) = link.closed().await
            {
                tracing::debug!(%error, "keywardd takes no user agent at the moment");
            }
            tokio::time::sleep(OFFER_AGAIN).await;
        }
    }

    fn link(&self) -> Result<SocketBroker, AcquireTokenError> {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_err() {
            *current = link(&self.environment, self.no_start);
        }
        current.clone()
    }

    fn link_for(&self, caller: &Caller) -> Result<SocketBroker, AcquireTokenError> {
        tracing::trace!(pid = caller.pid, "passing a request on");
        self.link().map(|link| link.on_behalf_of(caller))
    }
}

/// Reads the configuration and makes the proxy.
fn link(environment: &Environment, no_start: bool) -> Result<SocketBroker, AcquireTokenError> {
    let config =
        keyward_config::load(environment, Permit::ConfiguredOnly).map_err(misconfigured)?;
    // Decided here, once: the system form where it is installed, else the user's own. The system
    // starts its own.
    let BrokerPlace { socket, form } = BrokerPlace::find(environment).map_err(misconfigured)?;
    let socket = socket.value;
    let mut options = SocketOptions::new(&socket)
        .with_agent(Arc::new(user_agent(&config)?), AgentScope::Everyone);
    if let (Form::Session, Ok(bus)) = (form, BusAddress::session()) {
        options = options.with_secrets(Arc::new(SecretService::new(bus)));
    }
    if !no_start && form == Form::Session {
        options = options.with_starter(Arc::new(KeywarddStarter::new(socket)));
    }
    Ok(SocketBroker::new(options))
}

/// The browser the configuration names, else the one of the environment.
fn user_agent(config: &Config) -> Result<impl UserAgent + use<>, AcquireTokenError> {
    let command = config.user_agent_command.value.clone();
    let launcher = if command.is_empty() {
        Launcher::from_environment()
    } else {
        Launcher::command(command).map_err(misconfigured)?
    };
    Ok(SystemBrowser::new(launcher))
}

fn misconfigured(error: impl std::fmt::Display) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, error.to_string())
}

#[async_trait]
impl BrokerService for Forwarder {
    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.link_for(caller)?.acquire_token_silent(request).await
    }

    /// The user agent is the one this process offered with its connection; the one given here is
    /// of no use to keywardd.
    async fn acquire_token_interactive(
        &self,
        caller: &Caller,
        request: InteractiveRequest,
        _agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.link_for(caller)?
            .acquire_token_interactive(request)
            .await
    }

    async fn accounts(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.link_for(caller)?.accounts(client_id).await
    }

    async fn sign_out(
        &self,
        caller: &Caller,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        self.link_for(caller)?.sign_out(request).await
    }

    async fn dpop_proof(
        &self,
        caller: &Caller,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        self.link_for(caller)?.dpop_proof(request).await
    }

    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError> {
        let mut status = self.link_for(caller)?.status().await?;
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        status.problems.extend_from_slice(&problems);
        Ok(status)
    }

    async fn manage(
        &self,
        caller: &Caller,
        request: ManageRequest,
        _agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        self.link_for(caller)?.manage(request).await
    }
}
