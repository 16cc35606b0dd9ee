//! Which broker there is. Decided once, by what is there, and never changed after a failure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::TokenBroker;

use crate::AgentScope;
use crate::address::BusAddress;
use crate::bus::Bus;
use crate::names;
use crate::proxy::{BusBroker, MicrosoftBroker, SocketBroker, SocketOptions, Starter};

/// How long Microsoft's runtime waits for the answer to its first ping.
const PING: Duration = Duration::from_secs(5);

/// Where to look for a broker.
#[derive(Clone, Default)]
pub struct Options {
    /// The socket of our broker.
    pub socket: Option<PathBuf>,
    /// Whether that one is to be used whatever it answers: a broker of the system form is installed
    /// for everybody, and one that does not run is no reason to use another.
    pub decided: bool,
    /// The session bus.
    pub bus: Option<BusAddress>,
    /// Shows sign-ins, for brokers that have no user agent of their own (on the socket only).
    pub agent: Option<(Arc<dyn UserAgent>, AgentScope)>,
    /// Starts our broker when nobody listens on the socket.
    pub starter: Option<Arc<dyn Starter>>,
}

/// The kinds of broker, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, on its socket.
    Socket,
    /// Ours, behind its name on the session bus.
    KeywardBus,
    /// Whoever owns `com.microsoft.identity.broker1`.
    Microsoft,
}

impl Kind {
    /// For status output and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::KeywardBus => "bus",
            Self::Microsoft => "microsoft",
        }
    }
}

/// The broker that was found.
#[derive(Clone)]
pub struct Connected {
    /// The broker. Reconnects by itself, always to the same kind.
    pub broker: Arc<dyn TokenBroker>,
    /// What it is.
    pub kind: Kind,
}

/// Whether there is a broker, and why not.
#[derive(Clone, Debug)]
pub struct Availability {
    /// The kind there is.
    pub kind: Option<Kind>,
    /// Why there is none, or which one there is, in plain words.
    pub reason: String,
}

/// Finds the broker: our socket, else our name on the session bus, else
/// `com.microsoft.identity.broker1`, whoever owns it. Starts what the bus can start.
///
/// # Errors
///
/// [`ErrorKind::BrokerUnavailable`] when there is none, and whatever is wrong with the one there
/// is: a broker that fails is not passed over for the next.
pub async fn connect(options: &Options) -> Result<Connected, AcquireTokenError> {
    let mut absent = Vec::new();
    if let Some(connected) = socket(options, &mut absent).await? {
        return Ok(connected);
    }
    let Some(address) = &options.bus else {
        absent.push("there is no session bus".to_owned());
        return Err(none(&absent));
    };
    let bus = match Bus::for_calls(address).await {
        Ok(bus) => bus,
        Err(error) => {
            absent.push(format!("the session bus cannot be reached: {error}"));
            return Err(none(&absent));
        }
    };
    if is_offered(&bus, names::keyward::BUS_NAME).await? {
        return keyward(options, address).await;
    }
    absent.push(format!("nobody owns {}", names::keyward::BUS_NAME));
    if is_offered(&bus, names::microsoft::BUS_NAME).await? {
        ping(&bus).await?;
        return Ok(Connected {
            broker: Arc::new(MicrosoftBroker::new(address.clone())),
            kind: Kind::Microsoft,
        });
    }
    absent.push(format!("nobody owns {}", names::microsoft::BUS_NAME));
    Err(none(&absent))
}

/// Whether there is a broker, with the reason.
pub async fn availability(options: &Options) -> Availability {
    match connect(options).await {
        Ok(connected) => Availability {
            kind: Some(connected.kind),
            reason: match connected.kind {
                Kind::Socket => "keywardd answers on its socket".to_owned(),
                Kind::KeywardBus => {
                    format!("keyward-session answers as {}", names::keyward::BUS_NAME)
                }
                Kind::Microsoft => {
                    format!("another broker owns {}", names::microsoft::BUS_NAME)
                }
            },
        },
        Err(error) => Availability {
            kind: None,
            reason: error.message().to_owned(),
        },
    }
}

/// Our broker on its socket. `None`: nobody listens there.
async fn socket(
    options: &Options,
    absent: &mut Vec<String>,
) -> Result<Option<Connected>, AcquireTokenError> {
    let Some(path) = &options.socket else {
        return Ok(None);
    };
    let mut socket = SocketOptions::new(path);
    socket.agent.clone_from(&options.agent);
    socket.starter.clone_from(&options.starter);
    let broker = SocketBroker::new(socket);
    match broker.connect().await {
        Ok(()) => Ok(Some(Connected {
            broker: Arc::new(broker),
            kind: Kind::Socket,
        })),
        Err(error) if error.kind() == ErrorKind::BrokerUnavailable && !options.decided => {
            absent.push(error.message().to_owned());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Our broker behind its bus name. Being asked something, it starts keywardd, and then the socket
/// is the better way.
async fn keyward(options: &Options, address: &BusAddress) -> Result<Connected, AcquireTokenError> {
    let broker = BusBroker::new(address.clone());
    match broker.status().await {
        // Whatever is wrong behind it, requests will say so; but it has to be there.
        Err(error) if error.kind() == ErrorKind::BrokerUnavailable => return Err(error),
        _ => {}
    }
    if let Some(connected) = socket(options, &mut Vec::new()).await? {
        return Ok(connected);
    }
    Ok(Connected {
        broker: Arc::new(broker),
        kind: Kind::KeywardBus,
    })
}

/// Whether somebody owns the name, or would be started for it.
async fn is_offered(bus: &Bus, name: &str) -> Result<bool, AcquireTokenError> {
    let offered = async {
        Ok::<_, zbus::Error>(bus.owner(name).await?.is_some() || bus.is_activatable(name).await?)
    };
    offered.await.map_err(|error| {
        AcquireTokenError::new(
            ErrorKind::BrokerUnavailable,
            format!("the session bus does not say who owns {name}: {error}"),
        )
    })
}

async fn ping(bus: &Bus) -> Result<(), AcquireTokenError> {
    let name = names::microsoft::BUS_NAME;
    let failed = |why: String| {
        AcquireTokenError::new(
            ErrorKind::BrokerUnavailable,
            format!("the broker that owns {name} does not answer: {why}"),
        )
    };
    let ping = bus.ping(name, names::microsoft::PATH);
    match tokio::time::timeout(PING, ping).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", PING.as_secs()))),
    }
}

fn none(absent: &[String]) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::BrokerUnavailable,
        format!(
            "there is no broker: {}; start keyward-session, or install its D-Bus activation files",
            absent.join(", and ")
        ),
    )
}
