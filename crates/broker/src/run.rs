//! Start-up, in this order: read, open, restrict, serve.
//!
//! Read: the configuration, and with it everything that decides what this process is. Open: the
//! socket, the folders, the way to the supervisor. Restrict: from here on the kernel keeps this
//! process to them ([`sandbox`]), for good. Serve: keys and vault are opened by whom they serve,
//! on the inside: the files of a vault are read by code that can reach nothing else any more, and
//! the threads they need start confined.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use keyward_broker_ipc::program::Links;
use keyward_client::error::ErrorKind;
use keyward_config::{Config, ConfigError, Form, PlaceError, Places};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Options;
use crate::opened::Opened;
use crate::sandbox::{self, Wanted};
use crate::serve::serve;
use crate::{log, process};

/// A broker that is root gives whoever breaks it the whole machine, and needs nothing root has.
const AS_ROOT: &str = "keywardd --system does not run as root: let systemd start it under a uid of \
                       its own (`systemctl start keywardd`), or use setpriv --reuid UID --regid GID \
                       --clear-groups keywardd --system";

/// Why there is no broker. Anything short of this is an answer to callers instead.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartupError {
    kind: ErrorKind,
    message: String,
}

impl StartupError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
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

impl From<PlaceError> for StartupError {
    fn from(error: PlaceError) -> Self {
        Self::new(ErrorKind::IncorrectConfiguration, error.to_string())
    }
}

impl From<io::Error> for StartupError {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorKind::Unexpected, error.to_string())
    }
}

/// The program: hardens the process, serves until SIGTERM or SIGINT, or until the terminal it was
/// started from is gone, and cleans up.
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
        .build()?;
    runtime.block_on(async {
        let stopped = Signals::listen()?.stopped();
        start(options, Process::Own, stopped).await
    })
}

/// Serves until `shutdown` is ready. Leaves the process as it is, for those who share it: [`main`]
/// hardens and restricts its own.
///
/// # Errors
///
/// When there is no socket to serve: no place for it, another broker on it, or a folder that is
/// not the user's own.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), StartupError> {
    start(options, Process::Shared, shutdown).await
}

/// Whose process this is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Process {
    Own,
    Shared,
}

async fn start(
    options: Options,
    process: Process,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartupError> {
    let config = read(&options)?; // 1. everything that decides what this process is
    let opened = Opened::for_broker(&options, config.as_ref().ok()).await?; // 2. what is kept open
    let links = match process {
        Process::Own => restrict(config.as_ref().ok(), &opened), // 3. no way back
        Process::Shared => Links::here(),
    };
    serve(options, config, opened, links, shutdown).await // 4. only now keys, vault and callers
}

/// Reads the configuration. One that is broken is every caller's answer; only what no broker can
/// be is an error here.
fn read(options: &Options) -> Result<Result<Config, ConfigError>, StartupError> {
    let config = keyward_config::load(&options.environment, options.permit);
    let directives = config
        .as_ref()
        .map_or(log::DEFAULT, |config| &config.log.value);
    if let Err(message) = log::start(directives) {
        tracing::warn!(message);
    }
    let is_system = options.environment.form() == Form::System;
    if is_system && rustix::process::geteuid().is_root() {
        let kind = ErrorKind::IncorrectConfiguration;
        return Err(StartupError::new(kind, AS_ROOT));
    }
    Places::socket(&options.environment)?;
    Ok(config)
}

/// Keeps this process to what it has opened.
fn restrict(config: Option<&Config>, opened: &Opened) -> Links {
    let wanted = Wanted::of(config);
    // Landlock takes looking up what a caller runs for looking into it: one thread stays outside.
    let links = if wanted.landlock {
        Links::beyond(sandbox::only_links)
    } else {
        Links::here()
    };
    sandbox::enter(wanted, &opened.reach).announce();
    links
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
        // Of a program without a terminal, SIGHUP wants files to be opened again. The one there is,
        // the record of outcomes, is opened anew by itself when it was taken away.
        let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        let hung_up = async {
            while hangup.recv().await.is_some() {
                if has_terminal {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up => {}
        }
    }
}
