//! Whoever started this process and watches over it (`sd_notify(3)`, `sd_watchdog_enabled(3)`).

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Says `READY=1` to whoever started this process; does nothing when nobody asked for it.
///
/// # Errors
///
/// When the socket is named but cannot be reached.
pub fn ready() -> io::Result<()> {
    Supervisor::of_process()?.ready()
}

/// The supervisor of this process, if it has one. Connected once, so that it can be told things
/// when new connections are not allowed any more.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one named by `$NOTIFY_SOCKET`, and how often it wants to hear from us:
    /// `$WATCHDOG_USEC`, unless `$WATCHDOG_PID` means another process.
    ///
    /// # Errors
    ///
    /// When the socket is named but cannot be reached.
    pub fn of_process() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self::none());
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let pid = number("WATCHDOG_PID");
        let for_us = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
        let deadline = number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0);
        Ok(Self {
            socket: Some(socket),
            watchdog: deadline.map(Duration::from_micros),
        })
    }

    /// Nobody.
    pub fn none() -> Self {
        Self {
            socket: None,
            watchdog: None,
        }
    }

    /// How often to say [`alive`](Self::alive): twice as often as necessary. `None`: never.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|deadline| deadline / 2)
    }

    /// This process serves now.
    ///
    /// # Errors
    ///
    /// When it cannot be told.
    pub fn ready(&self) -> io::Result<()> {
        self.say(b"READY=1")
    }

    /// This process is not stuck.
    ///
    /// # Errors
    ///
    /// When it cannot be told.
    pub fn alive(&self) -> io::Result<()> {
        self.say(b"WATCHDOG=1")
    }

    /// This process is about to end.
    ///
    /// # Errors
    ///
    /// When it cannot be told.
    pub fn stopping(&self) -> io::Result<()> {
        self.say(b"STOPPING=1")
    }

    fn say(&self, what: &[u8]) -> io::Result<()> {
        match &self.socket {
            Some(socket) => socket.send(what).map(drop),
            None => Ok(()),
        }
    }
}
