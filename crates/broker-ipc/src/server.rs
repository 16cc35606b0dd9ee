//! The broker's end of its socket: `dev.keyward.Broker1`, peer to peer.
//!
//! The kernel says who is at the other end (`SO_PEERCRED`), and the service which users it serves:
//! its own, or in the system form every local one. What connections share, they share with those
//! of the same user alone. Everything that is done for a connection ends with it.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use zbus::message::Message;
use zbus::{Connection, MessageStream};

use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::transport::{ShowOptions, Sitting, UserAgent, UserAgentError};

use crate::agent::remote::RemoteAgent;
use crate::agent::{AgentScope, OwnConsent};
use crate::broker1::{self, Envelope, Job, Method};
use crate::dispatch::{self, Call, Handler};
use crate::in_flight::InFlight;
use crate::link;
use crate::names::keyward::PATH;
use crate::program::{Encoded, Pinned};
use crate::quiet::Quiet;
use crate::service::{BrokerService, Caller, Via};
use crate::share::{Seat, Shares};
use crate::wire::WireError;
use crate::wire::dict::Entries;

pub use crate::in_flight::Limits;
pub use crate::program::Lookup;
pub use crate::quiet::Idle;

/// How long a new connection may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted because file descriptors ran out.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How long after the start a user agent may still come, before it is said that there is none.
const ARRIVING: Duration = Duration::from_secs(3);
/// Calls beyond the limit that may wait for their refusal.
const REFUSALS: usize = 32;
/// How many users may each have all the connections a user may have.
const USERS_AT_ONCE: usize = 4;

/// Serves callers on `listener` until `shutdown` is ready, then ends every request.
///
/// Where only one user is served, the listener's socket should have mode 0600 in a folder of mode
/// 0700: who cannot connect need not be refused.
///
/// # Errors
///
/// When the listener itself breaks. What single connections do is no error.
pub async fn serve(
    listener: UnixListener,
    service: Arc<dyn BrokerService>,
    limits: Limits,
    shutdown: impl Future,
) -> io::Result<()> {
    let terms = Terms {
        limits,
        ..Terms::default()
    };
    serve_with(listener, service, terms, shutdown)
        .await
        .map(drop)
}

/// How callers are served.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// How much they may ask for at once.
    pub limits: Limits,
    /// Where their programs are looked up.
    pub lookup: Lookup,
    /// When to end because nobody asks. `None`: never.
    pub idle: Option<Idle>,
}

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to: what was asked for is given up.
    Told,
    /// Nobody has asked for a while: whoever asked in the last moment has their answer.
    Idle,
}

/// [`serve`], on these terms.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_with(
    listener: UnixListener,
    service: Arc<dyn BrokerService>,
    terms: Terms,
    shutdown: impl Future,
) -> io::Result<Ended> {
    let Terms {
        limits,
        lookup,
        idle,
    } = terms;
    let server = Arc::new(Server {
        shares: Shares::new(limits),
        service,
        limits,
        lookup,
        quiet: Quiet::new(),
        started: Instant::now(),
        next: AtomicU64::new(0),
    });
    let most = limits.connections.saturating_mul(USERS_AT_ONCE);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            _ = &mut shutdown => break,
            () = server.quiet.ended(idle) => {
                if idle.is_none_or(|idle| !idle.socket_stays) {
                    // Refused from now on, so that callers start the next broker.
                    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Read);
                }
                drop(listener);
                let answered = async { while connections.join_next().await.is_some() {} };
                tokio::select! {
                    _ = &mut shutdown => {}
                    () = answered => return Ok(Ended::Idle),
                }
                break;
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < most => match server.admit(&stream) {
                    Ok((end, seat)) => {
                        connections.spawn(Arc::clone(&server).connection(stream, end, seat));
                    }
                    Err(error) => tracing::warn!(%error, "refused a connection"),
                },
                Ok(_) => tracing::warn!("refused a connection: too many are open"),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            },
        }
    }
    connections.shutdown().await;
    Ok(Ended::Told)
}

fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// What all connections share.
struct Server {
    service: Arc<dyn BrokerService>,
    limits: Limits,
    lookup: Lookup,
    shares: Shares,
    quiet: Arc<Quiet>,
    started: Instant,
    next: AtomicU64,
}

impl Server {
    /// Serves one connection until it ends.
    async fn connection(self: Arc<Self>, stream: UnixStream, end: OtherEnd, seat: Seat) {
        let _connected = self.quiet.connection(&stream);
        // Boxed, so that what it needed is not kept with the connection.
        let accepting = Box::pin(link::accept(stream, end.caller.uid));
        let accepted = tokio::time::timeout(HANDSHAKE, accepting).await;
        let incoming = match accepted {
            Ok(Ok(incoming)) => incoming,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection did not get through the handshake");
                return;
            }
            Err(_) => {
                tracing::debug!("a connection did not finish the handshake in time");
                return;
            }
        };
        let peer = Arc::new(Peer::new(self, end, seat, &incoming));
        let (number, agents) = (peer.number, Arc::clone(peer.seat.agents()));
        dispatch::run(incoming, peer).await;
        agents.withdraw(number);
    }

    /// Who is at the other end, if it is a user who is served, and the place kept for the
    /// connection among that user's.
    fn admit(&self, stream: &UnixStream) -> io::Result<(OtherEnd, Seat)> {
        let credentials = stream.peer_cred()?;
        let uid = credentials.uid();
        if !self.service.serves(uid) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it belongs to uid {uid}, who is not served here"),
            ));
        }
        let seat = self.shares.seat(uid)?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
        let end = OtherEnd {
            caller: Caller::new(uid, pid, Via::Socket),
            // Now, while it is the process that connected.
            process: pid.map(|pid| Arc::new(Pinned::peer(stream, pid, uid))),
            known: OnceCell::new(),
        };
        Ok((end, seat))
    }
}

/// Who is at the other end of a connection.
struct OtherEnd {
    /// As the kernel says; its program has not been looked up.
    caller: Caller,
    process: Option<Arc<Pinned>>,
    /// The caller with its program. Looked up for the first request, and then kept: it costs more
    /// than an answer from the cache.
    known: OnceCell<Caller>,
}

impl OtherEnd {
    async fn known(&self, lookup: &Lookup) -> &Caller {
        let find = || async {
            let mut caller = self.caller.clone();
            if let Some(process) = &self.process {
                caller.program = lookup.program(Arc::clone(process)).await;
            }
            caller
        };
        self.known.get_or_init(find).await
    }
}

/// One connection.
struct Peer {
    server: Arc<Server>,
    seat: Seat,
    number: u64,
    end: OtherEnd,
    /// The programs it speaks for.
    programs: Encoded,
    connection: Connection,
    in_flight: Arc<InFlight>,
    /// The agent offered on this connection.
    agent: Mutex<Option<Arc<dyn UserAgent>>>,
}

impl Peer {
    fn new(server: Arc<Server>, end: OtherEnd, seat: Seat, incoming: &MessageStream) -> Self {
        Self {
            number: server.next.fetch_add(1, Ordering::Relaxed),
            connection: incoming.into(),
            in_flight: InFlight::new(server.limits, Arc::clone(seat.total())),
            seat,
            agent: Mutex::default(),
            programs: Encoded::default(),
            end,
            server,
        }
    }

    async fn answer(&self, call: &Call) -> zbus::Result<Message> {
        if call.header().path().is_none_or(|path| *path != PATH) {
            return call.fail_standard("UnknownObject", "there is no such object");
        }
        let Some(method) = Method::of(call) else {
            return call.unknown_method();
        };
        match method {
            Method::Cancel => {
                return match broker1::cancelled_id(call) {
                    Ok(id) => {
                        self.in_flight.cancel(None, &id);
                        call.reply(&())
                    }
                    Err(error) => call.fail(&error.in_request()),
                };
            }
            Method::Version => return broker1::version(call),
            _ => {}
        }
        let peer = self.end.known(&self.server.lookup).await;
        let envelope = match Envelope::open(method, call, peer, &self.programs) {
            Ok(envelope) => envelope,
            Err(error) => return call.fail(&error.in_request()),
        };
        let Some(request) = envelope.request else {
            let offered = self.offer(&envelope, peer);
            return match offered {
                Ok(()) => call.reply(&Entries::new()),
                Err(error) => call.fail(&error),
            };
        };
        let caller = envelope.on_behalf_of.as_ref().unwrap_or(peer);
        let job = Job {
            service: &*self.server.service,
            in_flight: &self.in_flight,
            caller,
            counted_as: match &caller.via {
                Via::Socket => "",
                Via::Bus { unique_name } => unique_name,
            },
            id: envelope.id.as_deref(),
            agent: &|| self.agent(),
        };
        job.run(call, request).await
    }

    /// The agent for a request of this connection: its own, else the newest that is for everyone
    /// of its user.
    fn agent(&self) -> Arc<dyn UserAgent> {
        let own = {
            let offered = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
            offered.clone()
        };
        own.or_else(|| self.seat.agents().newest())
            .unwrap_or_else(|| {
                let until = self.server.started + ARRIVING;
                self.seat.agents().expected(until)
            })
    }

    fn offer(&self, envelope: &Envelope, peer: &Caller) -> Result<(), AcquireTokenError> {
        let scope = envelope.offered_for.as_deref();
        let scope = scope
            .ok_or(WireError::Missing("for"))
            .and_then(|text| {
                AgentScope::parse(text)
                    .ok_or_else(|| WireError::value("for", "is no scope of a user agent"))
            })
            .map_err(|error| error.in_request())?;
        let agent = Arc::new(RemoteAgent::new(self.connection.clone()));
        let sandboxed = peer.program.sandbox.is_some();
        let own: Arc<dyn UserAgent> = match scope {
            AgentScope::Everyone if sandboxed => {
                return Err(AcquireTokenError::new(
                    ErrorKind::NotSupported,
                    "a sandboxed program shows sign-ins of its own only",
                ));
            }
            AgentScope::Everyone => {
                self.seat.agents().offer(self.number, Arc::clone(&agent));
                if envelope.offers_secrets {
                    let secrets = Arc::clone(&agent);
                    self.server.service.secrets_offered(peer.uid, secrets);
                }
                agent
            }
            AgentScope::OwnRequests => self.seat.agents().own(
                agent,
                if sandboxed {
                    OwnConsent::LeavesToOthers
                } else {
                    OwnConsent::Asks
                },
            ),
        };
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
        Ok(())
    }
}

impl Handler for Peer {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, zbus::Result<Message>> {
        let asking = self.server.quiet.call();
        Box::pin(async move {
            let _asking = asking;
            self.answer(&call).await
        })
    }

    fn finishes(&self) -> bool {
        self.server.quiet.is_ending()
    }

    fn objects(&self) -> &'static [(&'static str, &'static str)] {
        &[(PATH, broker1::XML)]
    }

    fn capacity(&self) -> usize {
        // A connection that forwards for others may use all there is.
        self.server.limits.total + REFUSALS
    }
}

/// Stands where nobody offered to show sign-ins.
pub(crate) struct NoAgent;

#[async_trait]
impl UserAgent for NoAgent {
    async fn prepare(&self, _show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        Err(UserAgentError::Unavailable(
            "no user agent is connected: keyward-session is not running, and the caller offered \
             none"
                .to_owned(),
        ))
    }
}
