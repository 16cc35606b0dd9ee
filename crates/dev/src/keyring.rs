//! A Secret Service for a private bus: Microsoft's runtime keeps its accounts there and finds none
//! without. It is gnome-keyring's, if that is installed, with a keyring of the session's own.

use std::process::Stdio;
use std::time::Duration;

use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::diagnostics::{self, Secrets};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;

use crate::place::Place;
use crate::process;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait between two looks: nobody announces that a collection is unlocked.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A question that reaches gnome-keyring (42.1 was seen) in the first milliseconds, before it is
/// ready to be asked, makes it abort. It is started again then, this often.
const STARTS: u32 = 5;

/// A running Secret Service with an unlocked collection `login`. It is killed when dropped.
#[derive(Debug)]
pub struct Keyring(Child);

impl Keyring {
    /// Starts it on a bus and waits until it can be used.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not get ready in time, in a person's words.
    pub async fn start(place: &Place, bus: &str) -> Result<Self, String> {
        let address = BusAddress::parse(bus, None).map_err(|error| error.to_string())?;
        for _ in 0..STARTS {
            if let Some(keyring) = Self::start_once(place, bus, &address).await? {
                return Ok(keyring);
            }
        }
        Err(
            "gnome-keyring-daemon ended before it was ready: is gnome-keyring installed?"
                .to_owned(),
        )
    }

    /// `None`: it ended before it was ready.
    async fn start_once(
        place: &Place,
        bus: &str,
        address: &BusAddress,
    ) -> Result<Option<Self>, String> {
        let mut daemon = process::attached(&place.program("keyward-dev"), "gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env("DBUS_SESSION_BUS_ADDRESS", bus)
            .env("HOME", place.run())
            .env("XDG_DATA_HOME", place.run())
            .env("XDG_CACHE_HOME", place.run())
            .env("XDG_RUNTIME_DIR", place.run())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let Some(mut password) = daemon.stdin.take() {
            // One that ended already is noticed below.
            let _ = password.write_all(b"pw").await;
        }
        tokio::select! {
            () = unlocked(address) => Ok(Some(Self(daemon))),
            _ = daemon.wait() => Ok(None),
            () = tokio::time::sleep(READY_WITHIN) => {
                Err(format!("gnome-keyring was not ready within {} s", READY_WITHIN.as_secs()))
            }
        }
    }

    /// Ends it and waits until it is gone.
    pub async fn stop(mut self) {
        if let Err(error) = self.0.kill().await {
            tracing::debug!(%error, "the keyring was gone already");
        }
    }
}

async fn unlocked(bus: &BusAddress) {
    loop {
        let report = diagnostics::inspect(bus).await;
        if report.is_ok_and(|report| matches!(report.secrets, Secrets::Unlocked)) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
