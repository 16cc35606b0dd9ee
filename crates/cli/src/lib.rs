//! `keyward`, the command line: types in, types out, no rule of its own.
//!
//! Data goes to stdout, everything else to stderr; exit codes are those of the one table of
//! errors.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod account;
mod agent;
mod args;
mod commands;
mod console;
mod defaults;
mod doctor;
mod explain;
mod failure;
mod logging;
mod shapes;
mod table;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::Parser as _;
use keyward::ErrorKind;
use keyward_config::Environment;

use crate::args::{Cli, Command, ConfigCommand};
use crate::commands::{
    accounts, apps, audit, config_check, device, login, logout, manual, migrate, status, token,
    vault,
};
use crate::console::Console;
use crate::failure::Failure;

/// Runs the command these arguments name, the first of them being the program's own name, with
/// this process's environment, output and signals.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let environment = Environment::of_process();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let person = err.is_terminal();
    let console = Console::plain(&mut out, &mut err).for_a_person(person);
    ExitCode::from(executed(arguments, &environment, console))
}

/// Runs the command these arguments name, with this environment, and returns the exit code.
pub fn execute(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    executed(arguments, environment, Console::plain(out, err))
}

fn executed(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    console: Console<'_>,
) -> u8 {
    let mut console = console.colored_for(environment);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => return answer_of_parser(&answer, &mut console),
    };
    logging::start(cli.verbose, environment);
    let done = dispatch(cli.command, environment, &mut console);
    match done.and_then(|()| console.flush()) {
        Ok(()) => 0,
        Err(failure) => console.fail(&failure),
    }
}

/// Help and version are data; complaints are not.
fn answer_of_parser(answer: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = answer.render().to_string();
    if answer.use_stderr() {
        console.say(text.trim_end());
    } else {
        // Nobody is left to tell when even this cannot be written.
        let _ = console.data(text.as_bytes()).and_then(|()| console.flush());
    }
    u8::try_from(answer.exit_code()).unwrap_or(failure::USAGE)
}

fn dispatch(
    command: Command,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match command {
        Command::Login(arguments) => wait(login::run(arguments, environment, console)),
        Command::Token(arguments) => wait(token::run(arguments, environment, console)),
        Command::Accounts(arguments) => wait(accounts::run(arguments, environment, console)),
        Command::Logout(arguments) => wait(logout::run(arguments, environment, console)),
        Command::Status(arguments) => wait(status::run(&arguments, environment, console)),
        Command::Audit(arguments) => wait(audit::run(&arguments, environment, console)),
        Command::Apps(arguments) => wait(apps::run(arguments, environment, console)),
        Command::Device(command) => wait(device::run(command, environment, console)),
        Command::Vault(command) => wait(vault::run(command, environment, console)),
        Command::Doctor(arguments) => wait(doctor::run(&arguments, environment, console)),
        Command::Config(ConfigCommand::Check { json }) => {
            wait(config_check::run(json, environment, console))
        }
        Command::Migrate(arguments) => wait(migrate::run(&arguments, environment, console)),
        Command::Completions { shell } => manual::completions(shell, console),
        Command::Man { directory } => manual::pages(&directory, console),
    }
}

/// Runs a command that talks to the broker. Only those pay for a runtime.
fn wait(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                ErrorKind::Unexpected,
                format!("the event loop cannot be started: {error}"),
            )
        })?;
    let done = runtime.block_on(command);
    let exit_code = done
        .as_ref()
        .map_or_else(|failure| failure.exit_code, |()| 0);
    tracing::trace!(exit_code, "the broker was asked");
    done
}
