//! The faces on the session bus: both bus names, answered by one connection.
//!
//! Who asks is what the bus says about the sender, asked once per sender and forgotten when it
//! leaves. Leaving also ends everything the sender waited for.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use zbus::message::Message;
use zbus::{MessageStream, ObjectPath};

use keyward_client::error::{AcquireTokenError, ErrorKind};

use crate::address::BusAddress;
use crate::broker1::{self, Envelope, Job};
use crate::bus::{Bus, Owner, Taking, departed, has_no_owner};
use crate::dispatch::{self, Call, Handler};
use crate::in_flight::{InFlight, Limits};
use crate::microsoft;
use crate::names;
use crate::program::{Encoded, Lookup, Pinned, Program};
use crate::server::NoAgent;
use crate::service::{BrokerService, Caller, Via};

/// Calls beyond the limit that may wait for their refusal.
const REFUSALS: usize = 64;

/// The faces, joined to a bus and not serving yet.
pub struct Faces {
    bus: Bus,
    incoming: MessageStream,
    taking: Taking,
}

/// Whom one of the names belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Us.
    Ours,
    /// Somebody else. We go on without it, and do not fight.
    Theirs(Option<Owner>),
}

/// Whom the names belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `com.microsoft.identity.broker1`
    pub microsoft: Ownership,
    /// `dev.keyward.Broker`
    pub keyward: Ownership,
}

impl Faces {
    /// Joins the bus.
    ///
    /// # Errors
    ///
    /// When there is no bus at this address, or it does not let us in.
    pub async fn join(address: &BusAddress) -> io::Result<Self> {
        let (bus, incoming) = Bus::join(address).await?;
        Ok(Self {
            bus,
            incoming,
            taking: Taking::Free,
        })
    }

    /// Takes the names also from an owner that lets itself be replaced.
    #[must_use]
    pub fn taking_over(mut self) -> Self {
        self.taking = Taking::Replaceable;
        self
    }

    /// Takes the names that are free and answers calls until the bus goes away. `on_names` learns
    /// whom the names belong to.
    pub async fn serve(
        self,
        service: Arc<dyn BrokerService>,
        limits: Limits,
        on_names: impl FnOnce(Names),
    ) {
        let handler = Arc::new(BusHandler {
            bus: self.bus.clone(),
            service,
            in_flight: InFlight::new(limits, Arc::new(AtomicUsize::new(0))),
            limits,
            uid: rustix::process::getuid().as_raw(),
            callers: Mutex::default(),
        });
        // Calls are answered while the names are being asked for: they come with the first name.
        let answering = dispatch::run(self.incoming, handler);
        let naming = async {
            match take_names(&self.bus, self.taking).await {
                Ok(names) => on_names(names),
                Err(error) => tracing::warn!(%error, "the bus does not give out names"),
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = answering => {}
            () = naming => {}
        }
    }
}

async fn take_names(bus: &Bus, taking: Taking) -> zbus::Result<Names> {
    // Before the names, so that no caller's departure can be missed.
    bus.watch_departures().await?;
    let microsoft = take_name(bus, names::microsoft::BUS_NAME, taking).await?;
    let keyward = take_name(bus, names::keyward::BUS_NAME, taking).await?;
    Ok(Names { microsoft, keyward })
}

async fn take_name(bus: &Bus, name: &str, taking: Taking) -> zbus::Result<Ownership> {
    if bus.own(name, taking).await? {
        return Ok(Ownership::Ours);
    }
    Ok(Ownership::Theirs(bus.owner(name).await?))
}

/// Answers the calls of a bus connection.
struct BusHandler {
    bus: Bus,
    service: Arc<dyn BrokerService>,
    in_flight: Arc<InFlight>,
    limits: Limits,
    uid: u32,
    /// What the bus said about senders, by unique name. Unique names are never used twice.
    callers: Mutex<HashMap<String, Arc<Caller>>>,
}

impl BusHandler {
    async fn answer(&self, call: &Call) -> zbus::Result<Message> {
        let header = call.header();
        let Some(sender) = header.sender() else {
            return call.fail_standard("AccessDenied", "the call has no sender");
        };
        let (path, sender) = (header.path().map(ObjectPath::as_str), sender.as_str());
        match path {
            Some(names::microsoft::PATH) => match microsoft::Method::of(call) {
                Some(method) => self.microsoft(method, call, sender).await,
                None => call.unknown_method(),
            },
            Some(names::keyward::PATH) => match broker1::Method::of(call) {
                Some(method) => self.keyward(method, call, sender).await,
                None => call.unknown_method(),
            },
            _ => call.fail_standard("UnknownObject", "there is no such object"),
        }
    }

    async fn microsoft(
        &self,
        method: microsoft::Method,
        call: &Call,
        sender: &str,
    ) -> zbus::Result<Message> {
        let work = microsoft::Work {
            service: &*self.service,
            in_flight: &self.in_flight,
            caller: self.caller(sender).await,
            sender,
        };
        work.answer(method, call).await
    }

    async fn keyward(
        &self,
        method: broker1::Method,
        call: &Call,
        sender: &str,
    ) -> zbus::Result<Message> {
        match method {
            broker1::Method::Version => return broker1::version(call),
            broker1::Method::Cancel => {
                return match broker1::cancelled_id(call) {
                    Ok(id) => {
                        self.in_flight.cancel(Some(sender), &id);
                        call.reply(&())
                    }
                    Err(error) => call.fail(&error.in_request()),
                };
            }
            _ => {}
        }
        let caller = match self.caller(sender).await {
            Ok(caller) => caller,
            Err(error) => return call.fail(&error),
        };
        let envelope = match Envelope::open(method, call, &caller, &Encoded::default()) {
            Ok(envelope) => envelope,
            Err(error) => return call.fail(&error.in_request()),
        };
        let Some(request) = envelope.request else {
            return call.fail(&AcquireTokenError::new(
                ErrorKind::NotSupported,
                "a user agent can be offered on the broker's socket only",
            ));
        };
        // Whoever is on the bus speaks for itself only.
        let job = Job {
            service: &*self.service,
            in_flight: &self.in_flight,
            caller: &caller,
            counted_as: sender,
            id: envelope.id.as_deref(),
            agent: &|| Arc::new(NoAgent),
        };
        job.run(call, request).await
    }

    /// Who a sender is.
    async fn caller(&self, sender: &str) -> Result<Arc<Caller>, AcquireTokenError> {
        if let Some(caller) = self.callers().get(sender) {
            return Ok(Arc::clone(caller));
        }
        let credentials = self.bus.credentials(sender).await;
        let (uid, pid) = credentials.map_err(|error| unknown_caller(&error))?;
        if uid != Some(self.uid) {
            return Err(AcquireTokenError::new(
                ErrorKind::InvalidRequest,
                "the caller is another user: each user has a broker of its own",
            ));
        }
        let unique_name = sender.to_owned();
        let mut caller = Caller::new(self.uid, pid, Via::Bus { unique_name });
        if let Some(pid) = pid {
            caller.program = self.program(sender, pid).await;
        }
        let caller = Arc::new(caller);
        self.callers()
            .insert(sender.to_owned(), Arc::clone(&caller));
        Ok(caller)
    }

    /// What a sender runs. The bus names a number, which is pinned, looked at, and asked for once
    /// more: if it is still the sender's and its process lives, it was the sender's all the time.
    async fn program(&self, sender: &str, pid: u32) -> Arc<Program> {
        let process = Arc::new(Pinned::process(pid, self.uid));
        let program = Lookup::here().program(Arc::clone(&process)).await;
        let again = self.bus.credentials(sender).await;
        let same = again.is_ok_and(|(_, again)| again == Some(pid));
        if same && process.is_alive() {
            return program;
        }
        let why = "its process could not be told from others on the bus";
        Arc::new(Program::unknown_because(why))
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<String, Arc<Caller>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for BusHandler {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, zbus::Result<Message>> {
        Box::pin(async move { self.answer(&call).await })
    }

    fn signal(&self, signal: &Message) {
        if let Some(name) = departed(signal)
            && self.callers().remove(&name).is_some()
            && self.in_flight.cancel_all(&name)
        {
            tracing::debug!(caller = name, "a caller left: its requests are cancelled");
        }
    }

    fn objects(&self) -> &'static [(&'static str, &'static str)] {
        &[
            (names::microsoft::PATH, microsoft::XML),
            (names::keyward::PATH, broker1::XML),
        ]
    }

    fn capacity(&self) -> usize {
        self.limits.total + REFUSALS
    }
}

fn unknown_caller(error: &zbus::Error) -> AcquireTokenError {
    if has_no_owner(error) {
        return AcquireTokenError::new(ErrorKind::ApplicationCanceled, "the caller left the bus");
    }
    AcquireTokenError::new(
        ErrorKind::Unexpected,
        format!("the bus does not say who the caller is: {error}"),
    )
}
