//! `dev.keyward.Broker1`: a call becomes a request, an outcome becomes its reply. The same for
//! the socket and for a bus; who calls and who shows sign-ins differs, and is the caller's part.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::Abortable;
use zbus::message::Message;

use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, SignOutRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_client::result::AuthenticationResult;

use crate::dispatch::Call;
use crate::in_flight::InFlight;
use crate::names::keyward::INTERFACE;
use crate::program::Encoded;
use crate::service::{BrokerService, Caller};
use crate::wire::bearer::{Answer, Asked};
use crate::wire::dict::{Dict, Entries};
use crate::wire::{self, WireError};

/// The introspection data.
pub(crate) const XML: &str = include_str!("../interfaces/dev.keyward.Broker1.xml");

/// The version of this interface. Raised when something is added.
const PROTOCOL: u64 = 1;

/// A method of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    AcquireBearerTokenSilent,
    AcquireTokenSilent,
    AcquireTokenInteractive,
    Accounts,
    SignOut,
    DpopProof,
    Status,
    Manage,
    Version,
    OfferUserAgent,
    Cancel,
}

impl Method {
    const ALL: [(&'static str, Self); 11] = [
        ("AcquireBearerTokenSilent", Self::AcquireBearerTokenSilent),
        ("AcquireTokenSilent", Self::AcquireTokenSilent),
        ("AcquireTokenInteractive", Self::AcquireTokenInteractive),
        ("Accounts", Self::Accounts),
        ("SignOut", Self::SignOut),
        ("DpopProof", Self::DpopProof),
        ("Status", Self::Status),
        ("Manage", Self::Manage),
        ("Version", Self::Version),
        ("OfferUserAgent", Self::OfferUserAgent),
        ("Cancel", Self::Cancel),
    ];

    /// The method a call is for, if it is one of this interface.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let header = call.header();
        if header
            .interface()
            .is_some_and(|interface| *interface != INTERFACE)
        {
            return None;
        }
        let member = header.member()?;
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == member.as_str())
            .map(|(_, method)| method)
    }
}

/// A request of a method that reaches the broker.
pub(crate) enum Request {
    Bearer(Box<SilentRequest>),
    Silent(Box<SilentRequest>),
    Interactive(Box<InteractiveRequest>),
    Accounts(ClientId),
    SignOut(SignOutRequest),
    DpopProof(DpopProofRequest),
    Status,
    Manage(ManageRequest),
}

enum Outcome {
    Bearer(Box<AuthenticationResult>),
    Token(Box<AuthenticationResult>),
    Accounts(Vec<AccountInfo>),
    SignedOut,
    Proof(String),
    Status(BrokerStatus),
    Managed(ManageAnswer),
}

impl Request {
    /// Reads the dictionary of a method; `None` for the methods that are about the connection.
    fn read(method: Method, dict: &Dict<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match method {
            Method::AcquireTokenSilent => Self::Silent(Box::new(wire::request::read_silent(dict)?)),
            Method::AcquireTokenInteractive => {
                Self::Interactive(Box::new(wire::request::read_interactive(dict)?))
            }
            Method::Accounts => Self::Accounts(wire::request::read_client_id(dict)?),
            Method::SignOut => Self::SignOut(wire::request::read_sign_out(dict)?),
            Method::DpopProof => Self::DpopProof(wire::request::read_dpop_proof(dict)?),
            Method::Status => Self::Status,
            Method::Manage => Self::Manage(wire::manage::read_request(dict)?),
            Method::AcquireBearerTokenSilent
            | Method::Version
            | Method::OfferUserAgent
            | Method::Cancel => return Ok(None),
        }))
    }

    /// Its name in records of outcomes.
    fn operation(&self) -> &'static str {
        match self {
            Self::Bearer(_) | Self::Silent(_) => "acquire_token_silent",
            Self::Interactive(_) => "acquire_token_interactive",
            Self::Accounts(_) => "accounts",
            Self::SignOut(_) => "sign_out",
            Self::DpopProof(_) => "dpop_proof",
            Self::Status => "status",
            Self::Manage(_) => "manage",
        }
    }

    async fn perform(
        self,
        service: &dyn BrokerService,
        caller: &Caller,
        agent: &(dyn Fn() -> Arc<dyn UserAgent> + Send + Sync),
    ) -> Result<Outcome, AcquireTokenError> {
        Ok(match self {
            Self::Bearer(request) => {
                let result = service.acquire_token_silent(caller, *request).await?;
                Outcome::Bearer(Box::new(result))
            }
            Self::Silent(request) => {
                let result = service.acquire_token_silent(caller, *request).await?;
                Outcome::Token(Box::new(result))
            }
            Self::Interactive(request) => {
                let result = service
                    .acquire_token_interactive(caller, *request, agent())
                    .await?;
                Outcome::Token(Box::new(result))
            }
            Self::Accounts(client_id) => {
                Outcome::Accounts(service.accounts(caller, &client_id).await?)
            }
            Self::SignOut(request) => {
                service.sign_out(caller, request).await?;
                Outcome::SignedOut
            }
            Self::DpopProof(request) => Outcome::Proof(service.dpop_proof(caller, request).await?),
            Self::Status => Outcome::Status(service.status(caller).await?),
            Self::Manage(request) => {
                Outcome::Managed(service.manage(caller, request, agent()).await?)
            }
        })
    }
}

impl Outcome {
    fn reply(&self, call: &Call) -> zbus::Result<Message> {
        let mut entries = Entries::new();
        match self {
            Self::Bearer(result) => {
                return match Answer::write(result) {
                    Ok(answer) => call.reply(&answer),
                    Err(error) => call.fail(&error),
                };
            }
            Self::Token(result) => return call.reply(&wire::result::write(result)),
            Self::Accounts(accounts) => return call.reply(&wire::status::write_accounts(accounts)),
            Self::Status(status) => return call.reply(&wire::status::write(status)),
            Self::Managed(answer) => return call.reply(&wire::manage::write_answer(answer)),
            Self::SignedOut => {}
            Self::Proof(proof) => {
                entries.text("dpop_proof", proof);
            }
        }
        call.reply(&entries)
    }
}

/// What every call of this interface carries.
pub(crate) struct Envelope {
    /// The request; `None` for the methods that are about the connection.
    pub(crate) request: Option<Request>,
    /// The caller's name for the request.
    pub(crate) id: Option<String>,
    /// The caller behind the peer.
    pub(crate) on_behalf_of: Option<Caller>,
    /// For whom a user agent is offered.
    pub(crate) offered_for: Option<String>,
    /// Whether that process also keeps secrets for the broker.
    pub(crate) offers_secrets: bool,
}

impl Envelope {
    /// Reads a call from `peer`, which may speak for the `programs` it has named.
    pub(crate) fn open(
        method: Method,
        call: &Call,
        peer: &Caller,
        programs: &Encoded,
    ) -> Result<Self, WireError> {
        let body = call.message().body();
        let malformed = |expected| {
            if call.is_too_large() {
                WireError::TooLarge
            } else {
                WireError::Body(expected)
            }
        };
        if method == Method::AcquireBearerTokenSilent {
            let asked = Asked::parse(body.deserialize().map_err(|_| malformed("s"))?)?;
            return Ok(Self {
                request: Some(Request::Bearer(Box::new(asked.request()?))),
                on_behalf_of: asked.caller(peer, programs)?,
                id: asked.request_id.map(Cow::into_owned),
                offered_for: None,
                offers_secrets: false,
            });
        }
        let dict: Dict<'_> = body.deserialize().map_err(|_| malformed("a{sv}"))?;
        Ok(Self {
            request: Request::read(method, &dict)?,
            id: dict.owned_text("request_id")?,
            on_behalf_of: wire::caller::read(&dict, peer, programs)?,
            offered_for: dict.owned_text("for")?,
            offers_secrets: dict.flag("secrets")?,
        })
    }
}

/// Somebody's request, ready to be worked on.
pub(crate) struct Job<'a> {
    pub(crate) service: &'a dyn BrokerService,
    pub(crate) in_flight: &'a Arc<InFlight>,
    pub(crate) caller: &'a Caller,
    /// The name under which requests are counted and cancelled together.
    pub(crate) counted_as: &'a str,
    pub(crate) id: Option<&'a str>,
    /// Who shows sign-ins.
    pub(crate) agent: &'a (dyn Fn() -> Arc<dyn UserAgent> + Send + Sync),
}

impl Job<'_> {
    /// Admits the request, works on it until it is done or cancelled, and writes the reply.
    pub(crate) async fn run(self, call: &Call, request: Request) -> zbus::Result<Message> {
        let admitted = self.in_flight.admit(self.counted_as, self.id, call.size());
        let (_ticket, registration) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let operation = request.operation();
                self.service.refused(self.caller, operation, &error);
                return call.fail(&error);
            }
        };
        let work = request.perform(self.service, self.caller, self.agent);
        match Abortable::new(work, registration).await {
            Ok(Ok(outcome)) => outcome.reply(call),
            Ok(Err(error)) => call.fail(&error),
            Err(_) => call.fail(&cancelled()),
        }
    }
}

/// The reply to `Version`.
pub(crate) fn version(call: &Call) -> zbus::Result<Message> {
    let mut entries = Entries::new();
    entries
        .text("version", env!("CARGO_PKG_VERSION"))
        .number("protocol", PROTOCOL);
    call.reply(&entries)
}

/// The id in a call of `Cancel`.
pub(crate) fn cancelled_id(call: &Call) -> Result<String, WireError> {
    call.message()
        .body()
        .deserialize()
        .map_err(|_| WireError::Body("s"))
}

pub(crate) fn cancelled() -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::ApplicationCanceled,
        "the application cancelled the request",
    )
}

#[cfg(test)]
mod tests;
