//! Which broker there is on this device. Decided by presence alone, in a fixed order.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::address::{BusAddress, InvalidAddress};
use keyward_broker_ipc::discovery::{self, Kind, Options};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::transport::UserAgent;
use keyward_config::{Environment, PlaceError, Places};

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
    let (socket, bus) = match place {
        Place::Socket(path) => (Ok(path.clone()), None),
        Place::Environment(environment) => places(environment)?,
        Place::Process => places(&Environment::of_process())?,
    };
    let agent = user_agent.map(|agent| (Arc::clone(agent), AgentScope::OwnRequestsIfNoOther));
    let options = Options {
        socket: socket.as_ref().ok().cloned(),
        bus,
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

/// A place there is, or why there is none.
type Maybe<T> = Result<T, PlaceError>;

/// The socket and the session bus. That there is no folder for sockets here is no fault; that one
/// was named which cannot be used, is.
fn places(
    environment: &Environment,
) -> Result<(Maybe<PathBuf>, Option<BusAddress>), AcquireTokenError> {
    let socket = match Places::socket(environment) {
        Err(error @ (PlaceError::Relative { .. } | PlaceError::SocketPathTooLong(_))) => {
            return Err(AcquireTokenError::new(
                ErrorKind::IncorrectConfiguration,
                error.to_string(),
            ));
        }
        found => found.map(|place| place.value),
    };
    Ok((socket, bus_address(environment).ok()))
}

/// The session bus: `$DBUS_SESSION_BUS_ADDRESS`, else `$XDG_RUNTIME_DIR/bus`.
pub(crate) fn bus_address(environment: &Environment) -> Result<BusAddress, InvalidAddress> {
    let address = environment
        .variable("DBUS_SESSION_BUS_ADDRESS")
        .and_then(|address| address.to_str())
        .unwrap_or("unix:runtime=yes");
    BusAddress::parse(address, environment.variable("XDG_RUNTIME_DIR"))
}
