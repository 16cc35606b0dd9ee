//! The command of a session: run with its variables, and its exit status passed on.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::DevError;
use crate::signals::{Ending, Signals};

/// Runs the command to its end. Ctrl-C is the command's own affair, since the terminal sends it
/// to both; the other signals that would end us are passed on to it.
///
/// # Errors
///
/// When it cannot be waited for. That it cannot be run is an exit status, as in shells.
pub async fn run(
    command: &[OsString],
    environment: &[(&str, OsString)],
    signals: &mut Signals,
) -> Result<ExitCode, DevError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(DevError::Environment("no command was given".to_owned()));
    };
    let name = program.to_string_lossy();
    let spawned = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .env_remove(crate::mapping::VARIABLE)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("keyward-dev: cannot run {name}: {error}");
            return Ok(not_run(&error));
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => {
                return Ok(exit_code(status.map_err(DevError::io(format!("wait for {name}")))?));
            }
            ending = signals.next() => match ending {
                Ending::Interrupt | Ending::Quit => {}
                Ending::Terminate => pass_on(&child, Signal::TERM),
                Ending::Hangup => pass_on(&child, Signal::HUP),
            },
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::debug!(%error, "the command is gone already");
    }
}

/// 127 for a command that is not there, 126 for one that cannot be run.
fn not_run(error: &io::Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    })
}

/// The command's own exit status; 128 and the signal's number if one ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}
