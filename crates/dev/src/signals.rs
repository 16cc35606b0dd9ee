//! The signals that end a program, and what they mean here.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::DevError;

/// Waits for the signals that would otherwise end this process without cleaning up.
pub struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ctrl-C, which the terminal sends to the command as well.
    Interrupt,
    /// Ctrl-\, likewise.
    Quit,
    /// `kill`.
    Terminate,
    /// The terminal is gone.
    Hangup,
}

impl Signals {
    /// From now on these signals are ours.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn listen() -> Result<Self, DevError> {
        let of = |kind| signal(kind).map_err(DevError::io("watch for signals"));
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            quit: of(SignalKind::quit())?,
            terminate: of(SignalKind::terminate())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Interrupt,
            _ = self.quit.recv() => Ending::Quit,
            _ = self.terminate.recv() => Ending::Terminate,
            _ = self.hangup.recv() => Ending::Hangup,
        }
    }
}

impl Ending {
    /// The exit status of a program that ended because of it, as shells count.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Quit => 131,
            Self::Terminate => 143,
        })
    }
}
