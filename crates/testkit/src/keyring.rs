//! The Secret Service with an unlocked `login` collection, as after a graphical login.

use std::time::Duration;

use crate::bus::{Caller, Destination, SessionBus};
use crate::login::Login;
use crate::process::Process;
use crate::wait;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A question that reaches gnome-keyring (42.1 was seen) in the first milliseconds, before it is
/// ready to be asked, makes it abort. It is started again then, as a bus would, this often.
const STARTS: u32 = 5;

/// A running gnome-keyring-daemon.
#[derive(Debug)]
pub struct Keyring {
    _daemon: Process,
}

impl Keyring {
    /// Starts it on the login's bus, makes the `login` collection and unlocks it.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub fn start(login: &Login, bus: &SessionBus) -> Self {
        let caller = bus.connect();
        let mut output = String::new();
        for _ in 0..STARTS {
            match Self::start_once(login, &caller) {
                Ok(keyring) => return keyring,
                Err(said) => output = said,
            }
        }
        panic!("gnome-keyring-daemon ended {STARTS} times before it was ready: {output}");
    }

    /// What it said, if it ended before it was ready.
    fn start_once(login: &Login, caller: &Caller) -> Result<Self, String> {
        let mut command = login.command("gnome-keyring-daemon");
        command.args(["--foreground", "--unlock", "--components=secrets"]);
        // The password comes on standard input.
        let mut daemon =
            Process::start_with_input("gnome-keyring-daemon", &mut command, &login.logs(), b"pw");
        wait::until("an unlocked login collection", READY_WITHIN, || {
            if !daemon.is_running() {
                return Some(Err(daemon.output()));
            }
            login_is_unlocked(caller).then_some(Ok(()))
        })?;
        Ok(Self { _daemon: daemon })
    }
}

fn login_is_unlocked(caller: &Caller) -> bool {
    let collection = Destination {
        name: Some("org.freedesktop.secrets"),
        path: "/org/freedesktop/secrets/collection/login",
        interface: "org.freedesktop.DBus.Properties",
    };
    let question = ("org.freedesktop.Secret.Collection", "Locked");
    let Ok(answer) = caller.call(collection, "Get", &question) else {
        return false;
    };
    let locked: Result<zbus::zvariant::OwnedVariant, _> = answer.body().deserialize();
    locked.is_ok_and(|value| bool::try_from(value).is_ok_and(|locked| !locked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_collection_is_there_and_unlocked() {
        let login = Login::new();
        let bus = SessionBus::start(&login, &[]);
        let keyring = Keyring::start(&login, &bus);
        assert!(bus.connect().has_owner("org.freedesktop.secrets"));
        drop(keyring);
    }
}
