//! Start-up, in this order: harden, read, bind, open, serve.

use std::future::Future;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use keyward_broker_ipc::server::{self, Limits};
use keyward_client::error::ErrorKind;
use keyward_config::Places;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Options;
use crate::holdings::Holdings;
use crate::service::Service;
use crate::socket::{Socket, SocketError};
use crate::{log, process};

/// How long work that outlives its callers may take at the end.
const FINISHING: Duration = Duration::from_secs(10);

/// Why there is no broker. Anything short of this is an answer to callers instead.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartupError {
    kind: ErrorKind,
    message: String,
}

impl StartupError {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The exit status, from the table of errors.
    pub fn exit_code(&self) -> u8 {
        self.kind.row().exit_code
    }
}

/// The program: hardens the process, serves until SIGTERM, SIGINT or SIGHUP, and cleans up.
pub fn main(options: Options) -> ExitCode {
    match harden_and_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without anybody to read it, the exit status has to do.
            let _ = writeln!(io::stderr(), "keywardd: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn harden_and_run(options: Options) -> Result<(), StartupError> {
    process::harden().map_err(|errno| {
        let message = format!("the process cannot be protected from others: {errno}");
        StartupError::new(ErrorKind::Unexpected, message)
    })?;
    // One thread answers everybody; the vault has one of its own. More would cost memory and
    // wake-ups, and nothing here computes for long.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| StartupError::new(ErrorKind::Unexpected, error.to_string()))?;
    runtime.block_on(async {
        let stopped = Signals::listen()
            .map_err(|error| StartupError::new(ErrorKind::Unexpected, error.to_string()))?
            .stopped();
        run(options, stopped).await
    })
}

/// Serves until `shutdown` is ready. Leaves the process as it is: [`main`] hardens it first.
///
/// # Errors
///
/// When there is no socket to serve: no place for it, another broker on it, or a folder that is
/// not the user's own.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), StartupError> {
    let config = keyward_config::load(&options.environment, options.permit);
    let directives = config
        .as_ref()
        .map_or(log::DEFAULT, |config| &config.log.value);
    if let Err(message) = log::start(directives) {
        tracing::warn!(message);
    }
    let place = Places::socket(&options.environment)
        .map_err(|error| StartupError::new(ErrorKind::IncorrectConfiguration, error.to_string()))?;
    let socket = Socket::open(&place.value).await.map_err(|error| {
        let kind = match error {
            SocketError::InUse(_) => ErrorKind::Storage,
            _ => ErrorKind::IncorrectConfiguration,
        };
        StartupError::new(kind, error.to_string())
    })?;
    let broken = |error: io::Error| StartupError::new(ErrorKind::Unexpected, error.to_string());
    let listener = waitable(socket.listener).map_err(broken)?;
    let holdings = Holdings::open(options, config).await;
    if let Err(error) = keyward_config::supervisor::ready() {
        tracing::warn!(%error, "whoever started this cannot be told that it serves");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
    let finished = holdings.finished();
    let service = Arc::new(Service::new(holdings));
    let served = server::serve(listener, service, Limits::default(), shutdown).await;
    // Nobody can ask any more. A renewal that is under way has rotated a refresh token, or may
    // have: its successor is still to be kept.
    if tokio::time::timeout(FINISHING, finished).await.is_err() {
        tracing::warn!("stopped although something was not finished");
    }
    tracing::info!("stopped");
    drop(socket.place);
    served.map_err(broken)
}

fn waitable(listener: UnixListener) -> io::Result<tokio::net::UnixListener> {
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// The signals that end a broker cleanly.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn stopped(self) {
        let [mut terminate, mut interrupt, mut hangup] = self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
