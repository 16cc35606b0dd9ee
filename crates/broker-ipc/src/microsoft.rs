//! Microsoft's broker contract, `com.microsoft.identity.Broker1`: JSON in, JSON out
//! (`linux-broker-dbus.md`).
//!
//! Every method takes protocol version, correlation id and a request, and gives back one text.
//! Whatever is wrong, the reply is a normal one with an error object in it: its clients turn each
//! D-Bus error into "Unexpected" and, at start-up, into a fallback for ever.

pub(crate) mod account;
mod error;
pub(crate) mod id_token;
pub(crate) mod lenient;
mod reply;
mod request;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Abortable;
use zbus::message::Message;

use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::CorrelationId;

use crate::broker1::cancelled;
use crate::dispatch::Call;
use crate::in_flight::InFlight;
use crate::names::MAX_PAYLOAD;
use crate::names::microsoft::INTERFACE;
use crate::server::NoAgent;
use crate::service::{BrokerService, Caller};
use crate::wire::WireError;
use crate::wire::request::new_correlation_id;

/// The introspection data.
pub(crate) const XML: &str = include_str!("../interfaces/com.microsoft.identity.Broker1.xml");

/// The id under which interactive requests are in flight. No id of `dev.keyward.Broker1` can be
/// the same: D-Bus texts hold no NUL.
const INTERACTIVE: &str = "\0interactive";

/// A method of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    AcquireTokenSilently,
    AcquireTokenInteractively,
    GetAccounts,
    RemoveAccount,
    SignOutSilently,
    AcquirePrtSsoCookie,
    GenerateSignedHttpRequest,
    CancelInteractiveFlow,
    GetLinuxBrokerVersion,
}

impl Method {
    const ALL: [(&'static str, Self); 9] = [
        ("acquireTokenSilently", Self::AcquireTokenSilently),
        ("acquireTokenInteractively", Self::AcquireTokenInteractively),
        ("getAccounts", Self::GetAccounts),
        ("removeAccount", Self::RemoveAccount),
        ("signOutSilently", Self::SignOutSilently),
        ("acquirePrtSsoCookie", Self::AcquirePrtSsoCookie),
        ("generateSignedHttpRequest", Self::GenerateSignedHttpRequest),
        ("cancelInteractiveFlow", Self::CancelInteractiveFlow),
        ("getLinuxBrokerVersion", Self::GetLinuxBrokerVersion),
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

    /// The reply that carries an error.
    fn fail(self, error: &AcquireTokenError) -> String {
        match self {
            Self::AcquireTokenSilently | Self::AcquireTokenInteractively => {
                error::of_token_call(error)
            }
            // Clients stop asking for two minutes after an error; an empty list is the truth, too.
            Self::GetAccounts => reply::accounts(&[]),
            _ => error::plain(error),
        }
    }
}

/// One call of the interface.
pub(crate) struct Work<'a> {
    pub(crate) service: &'a dyn BrokerService,
    pub(crate) in_flight: &'a Arc<InFlight>,
    /// Who asks; or why nobody may know.
    pub(crate) caller: Result<Arc<Caller>, AcquireTokenError>,
    /// The caller's unique name.
    pub(crate) sender: &'a str,
}

impl Work<'_> {
    /// Answers the call. Never with a D-Bus error.
    pub(crate) async fn answer(self, method: Method, call: &Call) -> zbus::Result<Message> {
        let work = AssertUnwindSafe(self.perform(method, call));
        let outcome = work.catch_unwind().await.unwrap_or_else(|_| {
            Err(AcquireTokenError::new(
                ErrorKind::Unexpected,
                "the broker made a mistake on this request; its log says more",
            ))
        });
        let text = outcome.unwrap_or_else(|error| {
            tracing::info!(?method, kind = error.kind().row().name, "request failed");
            method.fail(&error)
        });
        call.reply(&text)
    }

    async fn perform(self, method: Method, call: &Call) -> Result<String, AcquireTokenError> {
        let body = call.message().body();
        let (correlation_id, json) = arguments(call, &body)?;
        let caller = self.caller?;
        let id = match method {
            Method::CancelInteractiveFlow => {
                self.in_flight.cancel(Some(self.sender), INTERACTIVE);
                return Ok("{}".to_owned());
            }
            Method::GetLinuxBrokerVersion => return Ok(reply::version()),
            Method::AcquirePrtSsoCookie | Method::GenerateSignedHttpRequest => {
                return Err(AcquireTokenError::new(
                    ErrorKind::NotSupported,
                    "this broker does not support this request yet",
                ));
            }
            Method::AcquireTokenInteractively => Some(INTERACTIVE),
            _ => None,
        };
        let (_ticket, registration) = self.in_flight.admit(self.sender, id, call.size())?;
        let work = forward(self.service, &caller, method, correlation_id, json);
        Abortable::new(work, registration)
            .await
            .unwrap_or_else(|_| Err(cancelled()))
    }
}

/// Reads the request, has it answered, and writes the reply.
async fn forward(
    service: &dyn BrokerService,
    caller: &Caller,
    method: Method,
    correlation_id: CorrelationId,
    json: &str,
) -> Result<String, AcquireTokenError> {
    match method {
        Method::AcquireTokenSilently => {
            let request = request::silent(json, correlation_id)?;
            let asked = reply::Asked::of(&request.token);
            let result = service.acquire_token_silent(caller, request).await?;
            reply::token(&result, &asked)
        }
        Method::AcquireTokenInteractively => {
            let request = request::interactive(json, correlation_id)?;
            let asked = reply::Asked::of(&request.token);
            let result = service
                .acquire_token_interactive(caller, request, Arc::new(NoAgent))
                .await?;
            reply::token(&result, &asked)
        }
        Method::GetAccounts => {
            let client_id = request::client_id(json)?;
            Ok(reply::accounts(
                &service.accounts(caller, &client_id).await?,
            ))
        }
        Method::RemoveAccount | Method::SignOutSilently => {
            let request = request::sign_out(json, correlation_id)?;
            service.sign_out(caller, request).await?;
            Ok(reply::signed_out())
        }
        Method::AcquirePrtSsoCookie
        | Method::GenerateSignedHttpRequest
        | Method::CancelInteractiveFlow
        | Method::GetLinuxBrokerVersion => Err(AcquireTokenError::new(
            ErrorKind::Unexpected,
            "this request is not for the broker behind this face",
        )),
    }
}

/// Reads a text as each of the requests it could be.
#[cfg(fuzzing)]
pub(crate) fn read_any(json: &str, correlation_id: CorrelationId) {
    let _ = request::silent(json, correlation_id);
    let _ = request::interactive(json, correlation_id);
    let _ = request::client_id(json);
    let _ = request::sign_out(json, correlation_id);
}

/// Correlation id and request of a call.
fn arguments<'b>(
    call: &Call,
    body: &'b zbus::message::Body,
) -> Result<(CorrelationId, &'b str), AcquireTokenError> {
    let (_, correlation_id, json): (&str, &str, &str) = body.deserialize().map_err(|_| {
        if call.is_too_large() {
            WireError::TooLarge.in_request()
        } else {
            WireError::Body("sss").in_request()
        }
    })?;
    if json.len() > MAX_PAYLOAD {
        return Err(WireError::TooLarge.in_request());
    }
    let correlation_id = CorrelationId::parse(correlation_id).unwrap_or_else(new_correlation_id);
    Ok((correlation_id, json))
}
