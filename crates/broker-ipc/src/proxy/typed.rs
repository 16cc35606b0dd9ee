//! Calls of `dev.keyward.Broker1`, over whichever connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use zbus::message::{Flags, Message};
use zbus::{Connection, DynamicType};

use keyward_client::account::AccountInfo;
use keyward_client::error::AcquireTokenError;
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::ports::{BrokerStatus, SignOutRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_client::result::AuthenticationResult;

use crate::names::keyward::{INTERFACE, PATH};
use crate::reconnect::Reconnecting;
use crate::service::Caller;
use crate::wire::bearer::{Answer, LastAbout};
use crate::wire::dict::{Dict, Entries};
use crate::wire::{self, WireError};

use super::failure;

/// A broker that speaks the typed interface.
#[derive(Clone)]
pub(super) struct Typed {
    inner: Arc<Inner>,
    /// For whom the requests are, if not for ourselves.
    on_behalf_of: Option<Caller>,
}

struct Inner {
    connection: Reconnecting,
    destination: Option<&'static str>,
    next: AtomicU64,
    last_about: LastAbout,
}

/// Whether a call may be made again after the connection broke.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Never,
}

impl Typed {
    pub(super) fn new(connection: Reconnecting, destination: Option<&'static str>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection,
                destination,
                next: AtomicU64::new(1),
                last_about: LastAbout::default(),
            }),
            on_behalf_of: None,
        }
    }

    pub(super) fn on_behalf_of(&self, caller: &Caller) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            on_behalf_of: Some(caller.clone()),
        }
    }

    /// The open connection, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, AcquireTokenError> {
        self.inner.connection.connection().await
    }

    pub(super) async fn acquire_token_silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let id = self.next_id();
        let caller = self.on_behalf_of.as_ref();
        if let Some(text) = wire::bearer::write(&request, &id, caller) {
            let reply = self
                .send("AcquireBearerTokenSilent", &id, &text, Repeat::Once)
                .await?;
            let body = reply.body();
            let answer: Answer<'_> = body
                .deserialize()
                .map_err(|_| WireError::Body("sss").in_response())?;
            let result = answer.read(request.token.correlation_id, &self.inner.last_about);
            return result.map_err(|error| error.in_response());
        }
        let entries = wire::request::write_silent(&request);
        let reply = self
            .call("AcquireTokenSilent", entries, Repeat::Once)
            .await?;
        read(&reply, wire::result::read)
    }

    pub(super) async fn acquire_token_interactive(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let entries = wire::request::write_interactive(&request);
        // A person does not want to sign in twice.
        let reply = self
            .call("AcquireTokenInteractive", entries, Repeat::Never)
            .await?;
        read(&reply, wire::result::read)
    }

    pub(super) async fn accounts(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let entries = wire::request::write_accounts(client_id);
        let reply = self.call("Accounts", entries, Repeat::Once).await?;
        read(&reply, wire::status::read_accounts)
    }

    pub(super) async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError> {
        let entries = wire::request::write_sign_out(&request);
        self.call("SignOut", entries, Repeat::Once).await.map(drop)
    }

    pub(super) async fn dpop_proof(
        &self,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        let entries = wire::request::write_dpop_proof(&request);
        let reply = self.call("DpopProof", entries, Repeat::Once).await?;
        read(&reply, |dict| {
            dict.require_text("dpop_proof").map(str::to_owned)
        })
    }

    pub(super) async fn status(&self) -> Result<BrokerStatus, AcquireTokenError> {
        let reply = self.call("Status", Entries::new(), Repeat::Once).await?;
        read(&reply, wire::status::read)
    }

    pub(super) async fn manage(
        &self,
        request: ManageRequest,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let entries = wire::manage::write_request(&request);
        // What changes something is not done twice.
        let reply = self.call("Manage", entries, Repeat::Never).await?;
        read(&reply, wire::manage::read_answer)
    }

    async fn call(
        &self,
        method: &'static str,
        mut entries: Entries<'_>,
        repeat: Repeat,
    ) -> Result<Message, AcquireTokenError> {
        let id = self.next_id();
        entries.owned_text("request_id", id.clone());
        if let Some(caller) = &self.on_behalf_of {
            wire::caller::write(caller, &mut entries);
        }
        self.send(method, &id, &entries, repeat).await
    }

    fn next_id(&self) -> String {
        self.inner.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    async fn send<B>(
        &self,
        method: &'static str,
        id: &str,
        body: &B,
        repeat: Repeat,
    ) -> Result<Message, AcquireTokenError>
    where
        B: Serialize + DynamicType,
    {
        let mut repeated = false;
        loop {
            let connection = self.connection().await?;
            let mut cancel = CancelOnDrop {
                connection: Some(&connection),
                destination: self.inner.destination,
                id,
            };
            let outcome = connection
                .call_method(self.inner.destination, PATH, Some(INTERFACE), method, body)
                .await;
            cancel.connection = None;
            drop(cancel);
            match outcome {
                Ok(reply) => return Ok(reply),
                Err(error)
                    if !repeated
                        && (repeat == Repeat::Once && failure::is_broken(&error)
                            || failure::was_not_sent(&error)) =>
                {
                    tracing::debug!(%error, method, "the connection broke: asking again");
                    repeated = true;
                    // A connection that failed to write may not have noticed that it is closed.
                    let _ = connection.close().await;
                }
                Err(error) => return Err(failure::of_call(&error)),
            }
        }
    }
}

/// Offers the other end a user agent at ours.
pub(super) async fn offer_user_agent(
    connection: &Connection,
    scope: &str,
    secrets: bool,
) -> Result<(), AcquireTokenError> {
    let mut entries = Entries::new();
    entries.text("for", scope).flag("secrets", secrets);
    connection
        .call_method(
            None::<&str>,
            PATH,
            Some(INTERFACE),
            "OfferUserAgent",
            &entries,
        )
        .await
        .map(drop)
        .map_err(|error| failure::of_call(&error))
}

fn read<T>(
    reply: &Message,
    read: impl FnOnce(&Dict<'_>) -> Result<T, WireError>,
) -> Result<T, AcquireTokenError> {
    let body = reply.body();
    let dict = body
        .deserialize()
        .map_err(|_| WireError::Body("a{sv}").in_response())?;
    read(&dict).map_err(|error| error.in_response())
}

/// Tells the broker that nobody waits for a request any more.
struct CancelOnDrop<'a> {
    connection: Option<&'a Connection>,
    destination: Option<&'static str>,
    id: &'a str,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection else {
            return;
        };
        let mut cancel = Message::method_call(PATH, "Cancel")
            .interface(INTERFACE)
            .with_flags(Flags::NO_REPLY_EXPECTED | Flags::NO_AUTO_START);
        if let Some(destination) = self.destination {
            cancel = cancel.destination(destination);
        }
        let connection = connection.clone();
        if let (Ok(cancel), Ok(runtime)) = (
            cancel.build(&self.id),
            tokio::runtime::Handle::try_current(),
        ) {
            runtime.spawn(async move {
                // When it cannot be told, the connection is gone, and the request with it.
                let _ = connection.send(&cancel).await;
            });
        }
    }
}

/// Makes a type with a field `typed` a [`TokenBroker`](keyward_client::ports::TokenBroker).
macro_rules! typed_broker {
    ($broker:ty) => {
        #[async_trait::async_trait]
        impl keyward_client::ports::TokenBroker for $broker {
            async fn acquire_token_silent(
                &self,
                request: keyward_client::request::SilentRequest,
            ) -> Result<
                keyward_client::result::AuthenticationResult,
                keyward_client::error::AcquireTokenError,
            > {
                self.typed.acquire_token_silent(request).await
            }

            async fn acquire_token_interactive(
                &self,
                request: keyward_client::request::InteractiveRequest,
            ) -> Result<
                keyward_client::result::AuthenticationResult,
                keyward_client::error::AcquireTokenError,
            > {
                self.typed.acquire_token_interactive(request).await
            }

            async fn accounts(
                &self,
                client_id: &keyward_client::oauth::identifiers::ClientId,
            ) -> Result<
                Vec<keyward_client::account::AccountInfo>,
                keyward_client::error::AcquireTokenError,
            > {
                self.typed.accounts(client_id).await
            }

            async fn sign_out(
                &self,
                request: keyward_client::ports::SignOutRequest,
            ) -> Result<(), keyward_client::error::AcquireTokenError> {
                self.typed.sign_out(request).await
            }

            async fn dpop_proof(
                &self,
                request: keyward_client::request::DpopProofRequest,
            ) -> Result<String, keyward_client::error::AcquireTokenError> {
                self.typed.dpop_proof(request).await
            }

            async fn status(
                &self,
            ) -> Result<
                keyward_client::ports::BrokerStatus,
                keyward_client::error::AcquireTokenError,
            > {
                self.typed.status().await
            }

            async fn manage(
                &self,
                request: keyward_client::manage::ManageRequest,
            ) -> Result<
                keyward_client::manage::ManageAnswer,
                keyward_client::error::AcquireTokenError,
            > {
                self.typed.manage(request).await
            }
        }
    };
}
pub(super) use typed_broker;
