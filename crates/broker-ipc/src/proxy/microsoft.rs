//! Somebody else's broker behind Microsoft's contract: Microsoft's own, Himmelblau's.
//!
//! What its contract cannot say is a typed error here, never left out in silence: a prompt, DPoP,
//! and signing out (which no client of that contract can do). It also has no "force refresh":
//! a cached token is fetched first and then named as the one to renew. The identity in each reply
//! is compared with the account that was asked for.

mod reply;
mod request;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zbus::Connection;
use zbus::message::{Flags, Message};

use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::{BrokerStatus, SignOutRequest, TokenBroker};
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, DpopProofRequest, InteractiveRequest, Prompt, SilentRequest,
    TokenRequest,
};
use keyward_client::result::AuthenticationResult;

use crate::address::BusAddress;
use crate::names::microsoft::{BUS_NAME, INTERFACE, PATH, PROTOCOL_VERSION};
use crate::reconnect::Reconnecting;
use crate::wire::request::new_correlation_id;

use super::{bus, failure};
use request::{Subject, Token};

/// How long Microsoft's clients wait for any answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a client sends to cancel (`linux-broker-dbus.md` 5.7).
const CANCEL: &str = r#"{"error":{"context":"The interactive request was cancelled","diagnostics":null,"errorCode":0,"status":7,"subStatus":0,"tag":0}}"#;

/// `com.microsoft.identity.broker1` on a bus, whoever owns it.
pub struct MicrosoftBroker {
    connection: Reconnecting,
    /// Accounts seen, because requests have to carry the whole account.
    known: Mutex<HashMap<HomeAccountId, AccountInfo>>,
}

impl MicrosoftBroker {
    /// A proxy; connects with the first call.
    pub fn new(address: BusAddress) -> Self {
        Self {
            connection: bus::reconnecting(address),
            known: Mutex::default(),
        }
    }

    /// One call. `method`s of this contract take and give back one text.
    async fn call(
        &self,
        method: &'static str,
        correlation_id: CorrelationId,
        json: &str,
    ) -> Result<String, AcquireTokenError> {
        let connection = self.connection.connection().await?;
        let correlation_id = correlation_id.to_string();
        let arguments = (PROTOCOL_VERSION, correlation_id.as_str(), json);
        let call =
            connection.call_method(Some(BUS_NAME), PATH, Some(INTERFACE), method, &arguments);
        let reply = tokio::time::timeout(PATIENCE, call)
            .await
            .map_err(|_| {
                AcquireTokenError::new(
                    ErrorKind::BrokerUnavailable,
                    format!("the broker behind {BUS_NAME} does not answer"),
                )
            })?
            .map_err(|error| failure::of_call(&error))?;
        let body = reply.body();
        body.deserialize()
            .map_err(|_| reply::misunderstood("the answer is no text"))
    }

    /// The account to put into a request.
    async fn subject(
        &self,
        client_id: &ClientId,
        account: Option<&AccountSelector>,
        hint: Option<&str>,
    ) -> Result<Subject, AcquireTokenError> {
        let Some(selector) = account else {
            return Ok(Subject::Hint(hint.unwrap_or_default().to_owned()));
        };
        if let AccountSelector::Home(id) = selector
            && let Some(known) = self.known().get(id)
        {
            return Ok(Subject::Account(known.clone()));
        }
        let accounts = self.accounts(client_id).await?;
        match selector {
            AccountSelector::Home(id) => accounts
                .into_iter()
                .find(|account| account.home_account_id == *id)
                .map(Subject::Account)
                .ok_or_else(|| {
                    AcquireTokenError::new(
                        ErrorKind::InteractionRequired,
                        "this broker does not know the account: sign in",
                    )
                }),
            AccountSelector::Username(name) => Ok(accounts
                .into_iter()
                .find(|account| account.username.eq_ignore_ascii_case(name))
                .map_or_else(|| Subject::Hint(name.clone()), Subject::Account)),
            // As Microsoft's own runtime does: one account is named, else the broker chooses.
            AccountSelector::Only => {
                let only = (accounts.len() == 1).then(|| accounts.into_iter().next());
                Ok(only
                    .flatten()
                    .map_or_else(|| Subject::Hint(String::new()), Subject::Account))
            }
        }
    }

    async fn silent_once(
        &self,
        token: &TokenRequest,
        subject: &Subject,
        renew: Option<&AccessToken>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let json = request::silent(&Token {
            request: token,
            subject,
            renew: renew.map(AccessToken::expose_secret),
        });
        let reply = self
            .call("acquireTokenSilently", token.correlation_id, &json)
            .await?;
        reply::token(&reply, token)
    }

    /// Compares the identity in a reply with the one asked for, and remembers the account.
    fn check(
        &self,
        result: AuthenticationResult,
        asked: &Subject,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let account = &result.account;
        let same = match asked {
            Subject::Account(asked) => asked.home_account_id == account.home_account_id,
            Subject::Hint(hint) => hint.is_empty() || hint.eq_ignore_ascii_case(&account.username),
        };
        if !same {
            return Err(AcquireTokenError::new(
                ErrorKind::AccountSwitch,
                "the broker answered for another account than was asked for",
            ));
        }
        self.known()
            .insert(account.home_account_id.clone(), account.clone());
        Ok(result)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<HomeAccountId, AccountInfo>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenBroker for MicrosoftBroker {
    async fn acquire_token_silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let token = &request.token;
        supported(token)?;
        let subject = self
            .subject(&token.client_id, Some(&request.account), None)
            .await?;
        let renew = match &request.cache {
            CachePolicy::UseCache => None,
            CachePolicy::Renew(renew) => Some(renew.clone()),
            CachePolicy::ForceRefresh => {
                let cached = self.silent_once(token, &subject, None).await?;
                Some(self.check(cached, &subject)?.access_token)
            }
        };
        let result = self.silent_once(token, &subject, renew.as_ref()).await?;
        self.check(result, &subject)
    }

    async fn acquire_token_interactive(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let token = &request.token;
        supported(token)?;
        match request.prompt {
            None => {}
            Some(Prompt::None) => {
                return Err(AcquireTokenError::new(
                    ErrorKind::InvalidRequest,
                    "prompt none contradicts an interactive request: make a silent one",
                ));
            }
            Some(prompt) => {
                return Err(not_supported(&format!("prompt {}", prompt.as_str())));
            }
        }
        let subject = self
            .subject(
                &token.client_id,
                request.account.as_ref(),
                request.login_hint.as_deref(),
            )
            .await?;
        let json = request::interactive(
            &Token {
                request: token,
                subject: &subject,
                renew: None,
            },
            &request.window,
        );
        let mut cancel = CancelOnDrop(Some(self.connection.connection().await?));
        let call = self.call("acquireTokenInteractively", token.correlation_id, &json);
        let deadline = request.deadline.unwrap_or(PATIENCE);
        let Ok(reply) = tokio::time::timeout(deadline, call).await else {
            return Err(AcquireTokenError::new(
                ErrorKind::DeadlineExceeded,
                format!("nobody signed in within {} s", deadline.as_secs()),
            ));
        };
        cancel.0 = None;
        let result = reply::token(&reply?, token)?;
        // A hint is a proposal to the person, who may sign in as somebody else.
        let asked = match &request.account {
            Some(_) => subject,
            None => Subject::Hint(String::new()),
        };
        self.check(result, &asked)
    }

    async fn accounts(&self, client_id: &ClientId) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let json = request::accounts(client_id);
        let reply = self
            .call("getAccounts", new_correlation_id(), &json)
            .await?;
        let accounts = reply::accounts(&reply)?;
        let mut known = self.known();
        for account in &accounts {
            known.insert(account.home_account_id.clone(), account.clone());
        }
        Ok(accounts)
    }

    async fn sign_out(&self, _request: SignOutRequest) -> Result<(), AcquireTokenError> {
        Err(not_supported("signing out"))
    }

    async fn dpop_proof(&self, _request: DpopProofRequest) -> Result<String, AcquireTokenError> {
        Err(not_supported("DPoP"))
    }

    async fn status(&self) -> Result<BrokerStatus, AcquireTokenError> {
        let reply = self
            .call(
                "getLinuxBrokerVersion",
                new_correlation_id(),
                r#"{"msalCppVersion":""}"#,
            )
            .await?;
        Ok(BrokerStatus {
            version: reply::version(&reply),
            form: BrokerStatus::FOREIGN.to_owned(),
            key_protection: None,
            accounts: Vec::new(),
            problems: vec![
                "this broker is not Keyward's: it does not say what its tokens are bound to, and \
                 whom it has signed in only to each application"
                    .to_owned(),
            ],
            hardening: Vec::new(),
            outdated: None,
        })
    }
}

/// What this contract cannot express.
fn supported(token: &TokenRequest) -> Result<(), AcquireTokenError> {
    if !token.demands.is_empty() {
        return Err(AcquireTokenError::new(
            ErrorKind::IncorrectConfiguration,
            format!(
                "the application demands a binding or a key protection, and the broker that owns \
                 {BUS_NAME} says nothing of either: use Keyward's broker (`keyward doctor` says \
                 why it is not found), or withdraw the demand"
            ),
        ));
    }
    match token.scheme {
        AuthenticationScheme::Dpop(_) => Err(not_supported("DPoP")),
        AuthenticationScheme::Bearer | AuthenticationScheme::Pop(_) => Ok(()),
    }
}

fn not_supported(what: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::NotSupported,
        format!("{what} is not supported by the broker that owns {BUS_NAME}"),
    )
}

/// Tells the broker that nobody waits for the person any more. It can tell which request is meant
/// by the sender only.
struct CancelOnDrop(Option<Connection>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else {
            return;
        };
        let correlation_id = new_correlation_id().to_string();
        let cancel = Message::method_call(PATH, "cancelInteractiveFlow")
            .interface(INTERFACE)
            .destination(BUS_NAME)
            .with_flags(Flags::NO_REPLY_EXPECTED | Flags::NO_AUTO_START)
            .build(&(PROTOCOL_VERSION, correlation_id.as_str(), CANCEL));
        if let (Ok(cancel), Ok(runtime)) = (cancel, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // When it cannot be told, the connection is gone, and the request with it.
                let _ = connection.send(&cancel).await;
            });
        }
    }
}
