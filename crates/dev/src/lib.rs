//! Keyward for development: the embedded authority, the demo, and private sessions.
//!
//! One binary holds every process: started under the name `keywardd`, `keyward-session` or
//! `keyward` it is that program. Unlike those programs' own binaries it lets its configuration
//! send the well-known Microsoft authorities elsewhere, namely to the authority it runs itself on
//! loopback (invariant 8 of `ARCHITECTURE.md`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use keyward_config::Environment;

pub mod api;
pub mod args;
pub mod authority;
pub mod bus;
pub mod command;
pub mod demo;
pub mod kept;
pub mod keyring;
pub mod mapping;
pub mod place;
pub mod process;
pub mod session;
pub mod sign_in;
pub mod signals;
pub mod thief;
pub mod tpm;
pub mod trust;

use args::{Arguments, Command};

/// Runs the program named by the first argument.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments
        .first()
        .and_then(|path| Path::new(path).file_name());
    match name.and_then(OsStr::to_str) {
        Some("keywardd") => {
            process::end_with_parent();
            keyward_broker::main(mapping::broker_options(arguments))
        }
        Some("keyward-session") => {
            process::end_with_parent();
            keyward_session::main(arguments, private_environment())
        }
        Some("keyward") => keyward_cli::run(arguments),
        Some(process::ATTACHED) => process::become_attached(&arguments),
        _ => run(Arguments::parse_from(arguments)),
    }
}

/// This process's environment without this machine's administrator, whose policy is for real
/// brokers.
fn private_environment() -> Environment {
    Environment::of_process().with_system_file(None)
}

fn run(arguments: Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Demo(arguments) => demo::run(&arguments).await,
            Command::Session(arguments) => session::run(&arguments).await,
            Command::Authority(arguments) => authority::run(&arguments).await,
            Command::SignIn(arguments) => sign_in::run(&arguments).await,
        }
    });
    outcome.unwrap_or_else(|error| fail(&error.to_string()))
}

fn fail(message: &str) -> ExitCode {
    eprintln!("keyward-dev: {message}");
    ExitCode::FAILURE
}

/// Why `keyward-dev` could not do what it was asked. The text is all a person needs.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Something on this machine is not as it must be; says what and how to mend it.
    #[error("{0}")]
    Environment(String),
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, as a verb with its object.
        action: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The broker refused.
    #[error("{0}")]
    Broker(#[from] keyward_client::error::AcquireTokenError),
    /// The authority's pages were not as expected.
    #[error("the sign-in did not work: {0}")]
    SignIn(String),
    /// Something that must be refused was not, or the other way round.
    #[error("{0}")]
    Demonstration(String),
}

impl DevError {
    /// Wraps an I/O error with what was being done.
    pub fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
