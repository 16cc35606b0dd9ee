//! A recording of every message on a bus, to search afterwards.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::bus::{Caller, SessionBus};
use crate::login::Login;
use crate::process::Process;
use crate::wait;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running recording of a bus: dbus-monitor, writing the messages' own bytes.
#[derive(Debug)]
pub struct Recording {
    monitor: Process,
    file: PathBuf,
}

impl Recording {
    /// Starts recording, and waits until messages are in fact recorded.
    pub fn start(login: &Login, bus: &SessionBus) -> Self {
        let mut command = login.command("dbus-monitor");
        command.args(["--address", bus.address(), "--pcap"]);
        let monitor = Process::start("dbus-monitor", &mut command, &login.logs());
        let recording = Self {
            monitor,
            file: login.logs().join("dbus-monitor.out"),
        };
        recording.mark(&bus.connect(), "start");
        recording
    }

    /// Ends the recording; everything sent before is in it.
    pub fn finish(mut self, bus: &SessionBus) -> Vec<u8> {
        self.mark(&bus.connect(), "end");
        self.monitor.stop();
        self.bytes()
    }

    /// Asks the bus something nobody else asks until it is in the recording.
    fn mark(&self, caller: &Caller, what: &str) {
        let connection = caller.unique_name().replace([':', '.'], "_");
        let marker = format!("test.recording.{what}.{connection}");
        wait::until("a recorded message", READY_WITHIN, || {
            caller.has_owner(&marker);
            contains(&self.bytes(), marker.as_bytes()).then_some(())
        });
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap_or_default()
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::DRIVER;

    #[test]
    fn what_is_said_on_the_bus_is_in_the_recording() {
        let login = Login::new();
        let bus = SessionBus::start(&login, &[]);
        let recording = Recording::start(&login, &bus);
        let secret = "s3cret-that-went-over-the-bus";
        let _ = bus
            .connect()
            .call(DRIVER, "NameHasOwner", &(format!("test.{secret}"),));
        let bytes = recording.finish(&bus);
        assert!(contains(&bytes, secret.as_bytes()));
        assert!(!contains(&bytes, b"s3cret-that-did-not"));
    }
}
