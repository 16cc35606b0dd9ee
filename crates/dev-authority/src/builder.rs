//! How an authority is to be, before it starts.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::StrictClient;
use crate::clock::{Clock, SystemClock};
use crate::keys::{KeptKeys, NothingKept, SigningKeys};
use crate::listen::listen;
use crate::server::{Running, Stopped};
use crate::settings::{OidcMode, Settings};
use crate::state::State;

/// The development authority. See the [crate](crate) documentation.
#[derive(Clone, Copy, Debug)]
pub struct Authority;

impl Authority {
    /// An authority on a free port of 127.0.0.1 and \[::1\] that knows every GUID as a client.
    pub fn builder() -> Builder {
        Builder {
            address: None,
            port: 0,
            or_any_port: false,
            kept_keys: Arc::new(NothingKept),
            clients: Vec::new(),
            settings: Settings::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// How an authority is to be.
#[must_use = "an authority does nothing until it is started"]
pub struct Builder {
    address: Option<IpAddr>,
    port: u16,
    or_any_port: bool,
    kept_keys: Arc<dyn KeptKeys>,
    clients: Vec<StrictClient>,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Builder {
    /// The port; 0, the default, picks a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The port if nobody has it, else a free one. The issuers name it, and everything derived from
    /// them, so one that stays the same is worth having.
    pub fn preferred_port(mut self, port: u16) -> Self {
        self.port = port;
        self.or_any_port = true;
        self
    }

    /// Where the signing keys are kept; by default every authority makes its own.
    pub fn kept_keys(mut self, kept: Arc<dyn KeptKeys>) -> Self {
        self.kept_keys = kept;
        self
    }

    /// Listens on this address only. [`start`](Self::start) refuses any but 127.0.0.1 and \[::1\].
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// What the OpenID tenant binds; the refresh token only by default.
    pub fn mode(mut self, mode: OidcMode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Knows only these clients. Without any, every GUID is a public client and any scope is
    /// granted.
    pub fn strict_clients<I>(mut self, clients: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<StrictClient>,
    {
        self.clients = clients.into_iter().map(Into::into).collect();
        self
    }

    /// The clock; the machine's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long access tokens live; 4799 s by default.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = lifetime;
        self
    }

    /// How long a refresh token lives after it was issued; 90 days by default.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = lifetime;
        self
    }

    /// How long a nonce for proofs and signed requests is good; 300 s by default.
    pub fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.nonce_lifetime = lifetime;
        self
    }

    /// How long a device has to wait between two polls; 5 s by default.
    pub fn device_interval(mut self, interval: Duration) -> Self {
        self.settings.device_interval = interval;
        self
    }

    /// The demo API accepts signed requests only with a nonce it gave out. By default a nonce the
    /// client made up, or none, will do.
    pub fn require_pop_nonce(mut self) -> Self {
        self.settings.pop_nonce_required = true;
        self
    }

    /// Starts listening. Must be called on a tokio runtime, which then serves.
    ///
    /// # Errors
    ///
    /// When the address is not loopback, the port is taken, or no signing key can be made.
    pub async fn start(self) -> io::Result<Running> {
        let listeners = match listen(self.address, self.port).await {
            Err(error) if self.or_any_port && error.kind() == io::ErrorKind::AddrInUse => {
                listen(self.address, 0).await?
            }
            listeners => listeners?,
        };
        let port = listeners
            .first()
            .map_or(Ok(0), |l| l.local_addr().map(|a| a.port()))?;
        let keys = SigningKeys::new(self.kept_keys).map_err(io::Error::other)?;
        let state = State::new(self.clock, self.settings, keys, (self.clients, port))
            .map_err(io::Error::other)?;
        Stopped::new(Arc::new(state), self.address).serve(listeners)
    }
}
