//! A broker that behaves: it remembers who signed in, issues tokens, and can be told to fail.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyward::{AccessToken, AccountInfo, AcquireTokenError, AuthenticationResult, Binding};
use keyward::{BrokerStatus, ClientId, ErrorKind, HomeAccountId, KeyProtection, TokenBroker};
use keyward::{CorrelationId, TokenSource, TokenType, UnixTime};
use keyward_client::account::AccountSelector;
use keyward_client::ports::SignOutRequest;
use keyward_client::request::{AuthenticationScheme, CachePolicy, TokenRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use tokio::sync::Notify;

#[derive(Default)]
pub struct FakeBroker {
    accounts: Mutex<Vec<AccountInfo>>,
    issued: AtomicU32,
    /// Answer every request for this account, whoever was asked for.
    pub answers_as: Mutex<Option<AccountInfo>>,
    /// Fail every request so.
    pub broken: Mutex<Option<ErrorKind>>,
    /// Show the sign-in and wait for a person who never comes.
    pub nobody_signs_in: AtomicBool,
    pub showing: Notify,
    pub closed: Arc<Notify>,
}

pub fn account(name: &str) -> AccountInfo {
    AccountInfo {
        home_account_id: HomeAccountId::new(name, "dev"),
        environment: "login.microsoftonline.com".to_owned(),
        tenant_id: "dev".to_owned(),
        local_account_id: name.to_owned(),
        username: format!("{name}@dev.test"),
        name: None,
        given_name: None,
        family_name: None,
    }
}

impl FakeBroker {
    pub fn with_accounts(names: &[&str]) -> Arc<Self> {
        let broker = Self::default();
        *broker.accounts.lock().unwrap() = names.iter().map(|name| account(name)).collect();
        Arc::new(broker)
    }

    fn working(&self) -> Result<(), AcquireTokenError> {
        match *self.broken.lock().unwrap() {
            Some(kind) => Err(AcquireTokenError::new(kind, "as the test wants it")),
            None => Ok(()),
        }
    }

    fn find(&self, selector: &AccountSelector) -> Option<AccountInfo> {
        let accounts = self.accounts.lock().unwrap();
        let fits = |account: &&AccountInfo| match selector {
            AccountSelector::Home(id) => account.home_account_id == *id,
            AccountSelector::Username(name) => account.username.eq_ignore_ascii_case(name),
            AccountSelector::Only => accounts.len() == 1,
        };
        accounts.iter().find(fits).cloned()
    }

    fn answer(
        &self,
        request: TokenRequest,
        account: AccountInfo,
        source: TokenSource,
    ) -> AuthenticationResult {
        let number = match source {
            TokenSource::Cache => self.issued.load(Ordering::SeqCst),
            TokenSource::IdentityProvider => self.issued.fetch_add(1, Ordering::SeqCst) + 1,
        };
        let (token_type, dpop_proof) = match &request.scheme {
            AuthenticationScheme::Bearer => (TokenType::Bearer, None),
            AuthenticationScheme::Pop(_) => (TokenType::Pop, None),
            AuthenticationScheme::Dpop(target) => (
                TokenType::Dpop,
                target.as_ref().map(|t| format!("{} {}", t.method, t.uri)),
            ),
        };
        let answers_as = self.answers_as.lock().unwrap().clone();
        AuthenticationResult {
            access_token: AccessToken::new(format!("token-{number}")),
            token_type,
            scopes: request.scopes,
            expires_on: UnixTime::from_secs(4_000_000_000),
            ext_expires_on: None,
            refresh_on: None,
            account: answers_as.unwrap_or(account),
            id_token: None,
            authority: request.authority,
            token_source: source,
            binding: Some(Binding::Dpop),
            key_protection: Some(KeyProtection::Software),
            dpop_proof,
            correlation_id: request.correlation_id,
        }
    }
}

/// Tells that the sign-in was closed, whichever way its future ended.
struct Shown(Arc<Notify>);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl TokenBroker for FakeBroker {
    async fn acquire_token_silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.working()?;
        let Some(account) = self.find(&request.account) else {
            return Err(AcquireTokenError::new(
                ErrorKind::InteractionRequired,
                "nobody is signed in",
            )
            .with_claims(Some(r#"{"access_token":{}}"#.to_owned())));
        };
        let source = match request.cache {
            CachePolicy::UseCache if self.issued.load(Ordering::SeqCst) > 0 => TokenSource::Cache,
            _ => TokenSource::IdentityProvider,
        };
        Ok(self.answer(request.token, account, source))
    }

    async fn acquire_token_interactive(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.working()?;
        if self.nobody_signs_in.load(Ordering::SeqCst) {
            let _shown = Shown(Arc::clone(&self.closed));
            self.showing.notify_one();
            std::future::pending::<()>().await;
        }
        let hint = request.login_hint.as_deref().unwrap_or("alice@dev.test");
        let name = hint.split('@').next().unwrap_or_default();
        let account = account(name);
        self.accounts.lock().unwrap().push(account.clone());
        Ok(self.answer(request.token, account, TokenSource::IdentityProvider))
    }

    async fn accounts(&self, _: &ClientId) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.working()?;
        Ok(self.accounts.lock().unwrap().clone())
    }

    async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError> {
        self.working()?;
        let mut accounts = self.accounts.lock().unwrap();
        accounts.retain(|account| account.home_account_id != request.account);
        Ok(())
    }

    async fn dpop_proof(&self, request: DpopProofRequest) -> Result<String, AcquireTokenError> {
        self.working()?;
        let resource = request.resource;
        Ok(format!("{} {}", resource.method, resource.uri))
    }

    async fn status(&self) -> Result<BrokerStatus, AcquireTokenError> {
        self.working()?;
        Ok(BrokerStatus {
            version: "1".to_owned(),
            form: "session".to_owned(),
            key_protection: Some(KeyProtection::Software),
            accounts: Vec::new(),
            problems: Vec::new(),
            hardening: Vec::new(),
            outdated: None,
        })
    }
}

/// A correlation id a test can recognise.
pub fn correlation_id() -> CorrelationId {
    CorrelationId::from_random([7; 16])
}
