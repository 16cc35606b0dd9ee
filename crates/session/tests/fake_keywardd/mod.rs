//! A keywardd that answers what it is asked, in this process.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use keyward_broker_ipc::client::account::AccountInfo;
use keyward_broker_ipc::client::binding::{Binding, KeyProtection};
use keyward_broker_ipc::client::error::{AcquireTokenError, ErrorKind};
use keyward_broker_ipc::client::oauth::identifiers::{ClientId, HomeAccountId};
use keyward_broker_ipc::client::oauth::question::{Answer, Question};
use keyward_broker_ipc::client::oauth::secret::AccessToken;
use keyward_broker_ipc::client::oauth::time::UnixTime;
use keyward_broker_ipc::client::oauth::transport::{ShowOptions, UserAgent};
use keyward_broker_ipc::client::ports::{BrokerStatus, SignOutRequest};
use keyward_broker_ipc::client::request::{
    DpopProofRequest, InteractiveRequest, SilentRequest, TokenRequest,
};
use keyward_broker_ipc::client::result::{AuthenticationResult, TokenSource, TokenType};
use keyward_broker_ipc::server::{self, Limits};
use keyward_broker_ipc::service::{BrokerService, Caller};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use url::Url;

/// What it was asked, by whom.
#[derive(Default)]
pub struct Asked {
    pub callers: Mutex<Vec<Caller>>,
    /// The question to ask before a sign-in, if any.
    pub question: Mutex<Option<Question>>,
    /// Redirects that came back from the user agent.
    pub redirects: Mutex<Vec<Url>>,
}

/// Serves a socket until it is dropped.
pub struct FakeKeywardd {
    pub asked: Arc<Asked>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeKeywardd {
    pub fn serve(socket: &Path) -> Self {
        let asked = Arc::new(Asked::default());
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(socket.parent().unwrap())
            .unwrap();
        let _ = fs::remove_file(socket);
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service(Arc::clone(&asked)));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                server::serve(listener, service, Limits::default(), stopped)
                    .await
                    .unwrap();
            });
        });
        Self {
            asked,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for FakeKeywardd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Service(Arc<Asked>);

impl Service {
    fn note(&self, caller: &Caller) {
        self.0.callers.lock().unwrap().push(caller.clone());
    }
}

fn alice() -> AccountInfo {
    let id = |digit: &str| {
        format!(
            "{0}-{1}-{1}-{1}-{2}",
            digit.repeat(8),
            digit.repeat(4),
            digit.repeat(12)
        )
    };
    AccountInfo {
        home_account_id: HomeAccountId::new(&id("1"), &id("2")),
        environment: "login.microsoftonline.com".to_owned(),
        tenant_id: id("2"),
        local_account_id: id("1"),
        username: "alice@dev.test".to_owned(),
        name: None,
        given_name: None,
        family_name: None,
    }
}

fn token(request: &TokenRequest) -> AuthenticationResult {
    AuthenticationResult {
        access_token: AccessToken::new("access-token".to_owned()),
        token_type: TokenType::Bearer,
        scopes: request.scopes.clone(),
        expires_on: UnixTime::from_secs(4_000_000_000),
        ext_expires_on: None,
        refresh_on: None,
        account: alice(),
        id_token: None,
        authority: "https://idp.example".to_owned(),
        token_source: TokenSource::Cache,
        binding: Some(Binding::Dpop),
        key_protection: Some(KeyProtection::Software),
        dpop_proof: None,
        correlation_id: request.correlation_id,
    }
}

fn refused(error: impl std::fmt::Display) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::UserCanceled, error.to_string())
}

#[async_trait]
impl BrokerService for Service {
    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.note(caller);
        Ok(token(&request.token))
    }

    async fn acquire_token_interactive(
        &self,
        caller: &Caller,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.note(caller);
        let question = self.0.question.lock().unwrap().take();
        if let Some(question) = question {
            let answer = agent.ask(question).await.map_err(refused)?;
            assert!(matches!(answer, Answer::Allow), "{answer:?}");
            return Ok(token(&request.token));
        }
        let sitting = agent
            .prepare(ShowOptions::default())
            .await
            .map_err(refused)?;
        let mut url = Url::parse("https://idp.example/authorize").unwrap();
        url.query_pairs_mut()
            .append_pair("redirect_uri", sitting.redirect_uri().as_str());
        let redirect = sitting.show(url).await.map_err(refused)?;
        self.0.redirects.lock().unwrap().push(redirect.url);
        Ok(token(&request.token))
    }

    async fn accounts(
        &self,
        caller: &Caller,
        _client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.note(caller);
        Ok(vec![alice()])
    }

    async fn sign_out(
        &self,
        caller: &Caller,
        _request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        self.note(caller);
        Ok(())
    }

    async fn dpop_proof(
        &self,
        caller: &Caller,
        _request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        self.note(caller);
        Ok("proof".to_owned())
    }

    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError> {
        self.note(caller);
        Ok(BrokerStatus {
            version: "9.9".to_owned(),
            form: "session".to_owned(),
            key_protection: Some(KeyProtection::Software),
            accounts: Vec::new(),
            problems: vec!["one of keywardd's".to_owned()],
            hardening: Vec::new(),
            outdated: None,
        })
    }
}
