//! keyward-session: the broker's faces on the session bus.
//!
//! Per user, started by the bus, without a secret of its own: it owns
//! `com.microsoft.identity.broker1` and `dev.keyward.Broker`, passes requests on to keywardd, and
//! is keywardd's user agent: it opens the browser and takes the redirect.
//!
//! It always answers. A client of Microsoft's that cannot ping a broker when it starts uses a
//! browser of its own for ever after; so whatever is wrong, a broken configuration or a missing
//! keywardd, becomes the typed answer to each request instead.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod args;
mod bus;
mod forward;
mod log;
pub mod readiness;
mod starter;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use keyward_broker_ipc::address::InvalidAddress;
use keyward_config::Environment;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use args::Arguments;
use forward::Forwarder;

/// Runs keyward-session until its bus leaves for good or it is asked to end.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    match run(&arguments, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyward-session: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, environment: Environment) -> Result<(), StartError> {
    // Redirects and access tokens pass through this memory.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        eprintln!("keyward-session: this process stays dumpable: {error}");
    }
    let forwarder = Forwarder::new(environment, arguments.no_start);
    log::start(&forwarder.log_directives());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(async {
        let forwarder = Arc::new(forwarder);
        // Whoever calls keywardd directly needs somebody to show the sign-in, too.
        tokio::spawn(Arc::clone(&forwarder).keep_offering());
        tokio::select! {
            outcome = bus::serve(forwarder, arguments) => outcome,
            outcome = asked_to_end() => outcome.map_err(StartError::Runtime),
        }
    })
}

async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Why keyward-session cannot run at all.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("there is no session bus: {0}; start one with `dbus-run-session -- COMMAND`")]
    NoBus(#[from] InvalidAddress),
    #[error("the session bus cannot be reached: {0}")]
    Bus(io::Error),
}
