//! Our broker behind its socket: nobody can listen in, and the kernel vouches for both ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixStream;
use zbus::Connection;

use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::transport::UserAgent;

use crate::agent::AgentScope;
use crate::agent::offer::Offer;
use crate::dispatch;
use crate::link::{self, lock_of};
use crate::reconnect::{Opened, Reconnecting, Serving};
use crate::secret_service::SecretStore;
use crate::service::Caller;

use super::place::SafePlace;
use super::typed::{self, Typed, typed_broker};

/// Starts a broker that is not running.
#[async_trait]
pub trait Starter: Send + Sync {
    /// Returns when the broker accepts connections.
    ///
    /// # Errors
    ///
    /// When it cannot be started; the text says why and what to do.
    async fn start(&self) -> Result<(), AcquireTokenError>;
}

/// How the broker's socket is used.
#[derive(Clone)]
pub struct SocketOptions {
    /// The socket.
    pub path: PathBuf,
    /// Shows sign-ins, for whom.
    pub agent: Option<(Arc<dyn UserAgent>, AgentScope)>,
    /// Keeps secrets for the broker; goes with an agent for everyone.
    pub secrets: Option<Arc<dyn SecretStore>>,
    /// Starts the broker when nobody listens on the socket.
    pub starter: Option<Arc<dyn Starter>>,
}

impl SocketOptions {
    /// Only calls, and only to a broker that is running.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            agent: None,
            secrets: None,
            starter: None,
        }
    }

    /// Offers to show sign-ins.
    #[must_use]
    pub fn with_agent(mut self, agent: Arc<dyn UserAgent>, scope: AgentScope) -> Self {
        self.agent = Some((agent, scope));
        self
    }

    /// Offers to keep secrets.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn SecretStore>) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Starts the broker on demand.
    #[must_use]
    pub fn with_starter(mut self, starter: Arc<dyn Starter>) -> Self {
        self.starter = Some(starter);
        self
    }
}

/// The broker on a socket.
#[derive(Clone)]
pub struct SocketBroker {
    typed: Typed,
    path: Arc<Path>,
}

impl SocketBroker {
    /// A proxy; connects with the first call.
    pub fn new(options: SocketOptions) -> Self {
        let path = Arc::from(options.path.as_path());
        let options = Arc::new(options);
        let connection = Reconnecting::new(move || {
            let options = Arc::clone(&options);
            Box::pin(async move { open(&options).await })
        });
        Self {
            typed: Typed::new(connection, None),
            path,
        }
    }

    /// Whether a broker is behind the socket. Starts nobody, and so does not connect where a service
    /// manager would start one for that.
    pub async fn is_running(&self) -> bool {
        !is_unlocked(&lock_of(&self.path)) && UnixStream::connect(&*self.path).await.is_ok()
    }

    /// Connects now, unless a connection is open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BrokerUnavailable`] when nobody listens, [`ErrorKind::IncorrectConfiguration`]
    /// when the socket is not safe to use.
    pub async fn connect(&self) -> Result<(), AcquireTokenError> {
        self.typed.connection().await.map(drop)
    }

    /// Waits until the connection is closed, opening one first if none is open.
    pub async fn closed(&self) -> Result<(), AcquireTokenError> {
        self.typed.connection().await?.closed().await;
        Ok(())
    }

    /// The same broker and connection, for the requests of a caller on a bus: they are passed on
    /// with its name.
    #[must_use]
    pub fn on_behalf_of(&self, caller: &Caller) -> Self {
        Self {
            typed: self.typed.on_behalf_of(caller),
            path: Arc::clone(&self.path),
        }
    }
}

typed_broker!(SocketBroker);

/// Whether nobody has this lock. One we may not look at says nothing.
fn is_unlocked(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else {
        return false;
    };
    // Given up at once, when the file is closed.
    flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
}

/// A broker that was about to end does not greet those who come too late for it.
async fn open(options: &SocketOptions) -> Result<Opened, AcquireTokenError> {
    match open_once(options).await {
        Err(Failed::Greeting(_)) => open_once(options).await,
        outcome => outcome,
    }
    .map_err(|failed| match failed {
        Failed::Greeting(error) => unavailable(&options.path, &error),
        Failed::Otherwise(error) => error,
    })
}

/// Why there is no connection.
enum Failed {
    /// The other end is gone.
    Greeting(io::Error),
    Otherwise(AcquireTokenError),
}

impl From<AcquireTokenError> for Failed {
    fn from(error: AcquireTokenError) -> Self {
        Self::Otherwise(error)
    }
}

async fn open_once(options: &SocketOptions) -> Result<Opened, Failed> {
    let stream = match connect(&options.path).await {
        Ok(stream) => stream,
        Err(error) => match &options.starter {
            Some(starter) if error.kind() == ErrorKind::BrokerUnavailable => {
                starter.start().await?;
                connect(&options.path).await?
            }
            _ => return Err(error.into()),
        },
    };
    let uid = rustix::process::getuid().as_raw();
    let incoming = link::join(stream, uid)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Failed::Greeting(error),
            _ => unavailable(&options.path, &error).into(),
        })?;
    let connection = Connection::from(&incoming);
    let mut serving = None;
    if let Some((agent, scope)) = &options.agent {
        let offer = Offer::new(Arc::clone(agent), options.secrets.clone());
        serving = Some(Serving(tokio::spawn(dispatch::run(incoming, offer))));
        let secrets = options.secrets.is_some();
        typed::offer_user_agent(&connection, scope.as_str(), secrets).await?;
    }
    Ok(Opened {
        connection,
        _serving: serving,
    })
}

/// Connects to a socket after making sure that nobody else can have put it there.
async fn connect(path: &Path) -> Result<UnixStream, AcquireTokenError> {
    let place = SafePlace::check(path)?;
    let stream = UnixStream::connect(&place.path)
        .await
        .map_err(|error| unavailable(path, &error))?;
    let peer = stream
        .peer_cred()
        .map_err(|error| unavailable(path, &error))?
        .uid();
    place.check_peer(peer)?;
    Ok(stream)
}

pub(super) fn unavailable(path: &Path, error: &io::Error) -> AcquireTokenError {
    let why = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "keywardd is not running".to_owned()
        }
        _ => error.to_string(),
    };
    AcquireTokenError::new(
        ErrorKind::BrokerUnavailable,
        format!("no broker answers at {}: {why}", path.display()),
    )
}

pub(super) fn unsafe_place(message: String) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
}
