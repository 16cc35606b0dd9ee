//! Which broker there is on this device. Decided by presence alone, in a fixed order.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::discovery::{self, Kind, Options};
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::transport::UserAgent;
use keyward_config::{BrokerPlace, Environment, Form, PlaceError};

use crate::plugin::Chosen;

/// Which broker was decided on.
///
/// ```
/// use keyward::WhichBroker;
///
/// fn ours(which: &WhichBroker) -> bool {
///     !matches!(which, WhichBroker::Foreign)
/// }
/// # assert!(!ours(&WhichBroker::Foreign));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichBroker {
    /// Keyward's broker, at this socket.
    Socket(PathBuf),
    /// Keyward's broker, under its name on the session bus.
    Bus,
    /// Whoever owns `com.microsoft.identity.broker1` on the session bus.
    Foreign,
    /// The one the application brought.
    Given,
}

impl fmt::Display for WhichBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "keyward's broker at {}", path.display()),
            Self::Bus => f.write_str("keyward's broker on the session bus"),
            Self::Foreign => f.write_str("the owner of com.microsoft.identity.broker1"),
            Self::Given => f.write_str("the application's own broker"),
        }
    }
}

/// Where to look for a broker.
#[derive(Clone)]
pub(crate) enum Place {
    /// Where this process's environment says.
    Process,
    /// Where this environment says.
    Environment(Box<Environment>),
    /// At this socket, and nowhere else.
    Socket(PathBuf),
}

/// Looks for a broker, and decides on the one there is.
pub(crate) async fn discover(
    place: &Place,
    user_agent: Option<&Arc<dyn UserAgent>>,
) -> Result<Chosen, AcquireTokenError> {
    let agent = user_agent.map(|agent| (Arc::clone(agent), AgentScope::OwnRequests));
    match place {
        Place::Socket(path) => at_socket(path, agent).await,
        Place::Environment(environment) => anywhere(environment, agent).await,
        Place::Process => anywhere(&Environment::of_process(), agent).await,
    }
}

type Agent = (Arc<dyn UserAgent>, AgentScope);

async fn at_socket(path: &Path, agent: Option<Agent>) -> Result<Chosen, AcquireTokenError> {
    let mut options = SocketOptions::new(path);
    options.agent = agent;
    let broker = SocketBroker::new(options);
    broker.connect().await?;
    Ok(Chosen {
        broker: Arc::new(broker),
        which: WhichBroker::Socket(path.to_owned()),
    })
}

async fn anywhere(
    environment: &Environment,
    agent: Option<Agent>,
) -> Result<Chosen, AcquireTokenError> {
    let place = place(environment)?;
    let form = place.as_ref().map(|place| place.form).ok();
    let socket = place.map(|place| place.socket.value);
    let options = Options {
        socket: socket.as_ref().ok().cloned(),
        // A broker of the system form is installed for everybody: one that does not run is no
        // reason to use another.
        decided: form == Some(Form::System),
        bus: bus_address(environment).ok(),
        agent,
        starter: None,
    };
    let connected = match (discovery::connect(&options).await, &socket) {
        (Ok(connected), _) => connected,
        (Err(error), Ok(_)) => return Err(error),
        (Err(error), Err(place)) => {
            let message = format!("{}; {place}", error.message());
            return Err(AcquireTokenError::new(error.kind(), message));
        }
    };
    Ok(Chosen {
        broker: connected.broker,
        which: match (connected.kind, socket) {
            (Kind::Socket, Ok(path)) => WhichBroker::Socket(path),
            (Kind::Microsoft, _) => WhichBroker::Foreign,
            (Kind::KeywardBus | Kind::Socket, _) => WhichBroker::Bus,
        },
    })
}

/// The broker's place. That there is no folder for sockets here is no fault; that one was named
/// which cannot be used, is.
fn place(environment: &Environment) -> Result<Result<BrokerPlace, PlaceError>, AcquireTokenError> {
    match BrokerPlace::find(environment) {
        Err(error @ (PlaceError::Relative { .. } | PlaceError::SocketPathTooLong(_))) => Err(
            AcquireTokenError::new(ErrorKind::IncorrectConfiguration, error.to_string()),
        ),
        found => Ok(found),
    }
}

/// The session bus: `$DBUS_SESSION_BUS_ADDRESS`, else `$XDG_RUNTIME_DIR/bus`.
///
/// # Errors
///
/// Why there is none, in plain words.
pub(crate) fn bus_address(environment: &Environment) -> Result<BusAddress, String> {
    let runtime_dir = environment.variable("XDG_RUNTIME_DIR");
    let address = match environment.variable("DBUS_SESSION_BUS_ADDRESS") {
        Some(address) => address
            .to_str()
            .ok_or("the address of the session bus is not UTF-8")?,
        None if runtime_dir.is_some() => "unix:runtime=yes",
        None => {
            return Err(
                "there is no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is \
                 set"
                .to_owned(),
            );
        }
    };
    BusAddress::parse(address, runtime_dir).map_err(|error| error.to_string())
}
