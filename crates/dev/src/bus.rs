//! The session bus the broker's names are on: the current one, or a private one where there is
//! none.

use std::io::{self, Write as _};
use std::process::Stdio;

use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::diagnostics::{self, Owners};
use keyward_broker_ipc::{Owner, names};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::DevError;
use crate::place::Place;
use crate::process;

/// A bus for the life of a session.
#[derive(Debug)]
pub struct Bus {
    address: String,
    /// The daemon, if the bus is ours.
    daemon: Option<Child>,
}

impl Bus {
    /// The current session bus if it can be reached, else one of our own.
    ///
    /// # Errors
    ///
    /// When the current bus has another broker, or may start one, and `take_over` is not set;
    /// when a private bus cannot be started.
    pub async fn current_or_private(place: &Place, take_over: bool) -> Result<Self, DevError> {
        let Ok(address) = BusAddress::session() else {
            return Self::instead_of("there is no session bus", place).await;
        };
        let (owners, activatable) = match look(&address).await {
            Ok(found) => found,
            Err(error) => return Self::instead_of(&error, place).await,
        };
        if !take_over {
            free(&owners, &activatable)?;
        }
        Ok(Self {
            address: address.as_str().to_owned(),
            daemon: None,
        })
    }

    /// A private bus, said aloud: nothing of the user's session is on it.
    async fn instead_of(reason: &str, place: &Place) -> Result<Self, DevError> {
        let _ = writeln!(io::stderr(), "keyward-dev: {reason}; using a private one");
        Self::private(place).await
    }

    /// Whether the bus is one of our own.
    pub fn is_private(&self) -> bool {
        self.daemon.is_some()
    }

    /// Checks that the broker's names belong to this process.
    ///
    /// # Errors
    ///
    /// When they belong to another: it did not let go of them.
    pub async fn check_owner(&self, process: Option<u32>) -> Result<(), DevError> {
        let environment = |error: String| DevError::Environment(error);
        let address = BusAddress::parse(&self.address, None)
            .map_err(|error| environment(error.to_string()))?;
        let owners = diagnostics::owners(&address).await.map_err(environment)?;
        for (name, owner) in by_name(&owners) {
            let owner = owner.and_then(|owner| owner.pid);
            if owner != process {
                let owner =
                    owner.map_or_else(|| "nobody".to_owned(), |pid| format!("process {pid}"));
                return Err(DevError::Environment(format!(
                    "{name} belongs to {owner} and not to this session's broker; end that broker \
                     first"
                )));
            }
        }
        Ok(())
    }

    /// A bus of our own.
    ///
    /// # Errors
    ///
    /// When dbus-daemon cannot be started.
    pub async fn private(place: &Place) -> Result<Self, DevError> {
        let config = place.path().join("bus.conf");
        std::fs::write(&config, configuration(place)).map_err(DevError::io("configure a bus"))?;
        let mut daemon = process::attached(&place.program("keyward-dev"), "dbus-daemon")
            .arg("--nofork")
            .arg("--nopidfile")
            .arg("--print-address=1")
            .arg(format!("--config-file={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(DevError::io("start dbus-daemon"))?;
        let mut address = String::new();
        if let Some(stdout) = daemon.stdout.take() {
            let mut lines = BufReader::new(stdout);
            lines
                .read_line(&mut address)
                .await
                .map_err(DevError::io("start dbus-daemon"))?;
        }
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err(DevError::Environment(
                "dbus-daemon did not start (is the package dbus installed?)".to_owned(),
            ));
        }
        Ok(Self {
            address,
            daemon: Some(daemon),
        })
    }

    /// The bus's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the bus if it is ours.
    pub async fn stop(self) {
        if let Some(mut daemon) = self.daemon
            && let Err(error) = daemon.kill().await
        {
            tracing::debug!(%error, "the bus was gone already");
        }
    }
}

/// Asks the bus alone, never another broker, which may hang.
async fn look(address: &BusAddress) -> Result<(Owners, Vec<&'static str>), String> {
    Ok((
        diagnostics::owners(address).await?,
        diagnostics::activatable(address).await?,
    ))
}

fn by_name(owners: &Owners) -> [(&'static str, Option<&Owner>); 2] {
    [
        (names::microsoft::BUS_NAME, owners.microsoft.as_ref()),
        (names::keyward::BUS_NAME, owners.keyward.as_ref()),
    ]
}

/// Checks that nobody owns the broker's names, and nobody would be started for them.
fn free(owners: &Owners, activatable: &[&str]) -> Result<(), DevError> {
    for (name, owner) in by_name(owners) {
        let taken = match owner {
            Some(Owner { pid: Some(pid), .. }) => format!("process {pid} owns {name}"),
            Some(_) => format!("{name} is owned already"),
            None if activatable.contains(&name) => {
                format!("the bus may start another broker for {name}")
            }
            None => continue,
        };
        return Err(DevError::Environment(format!(
            "{taken} on this session bus; run in a private bus (dbus-run-session -- \
             keyward-dev session …), or pass --take-over, for a broker that lets itself be replaced"
        )));
    }
    Ok(())
}

/// A session bus without activation: nothing is on it but what the session brings.
fn configuration(place: &Place) -> String {
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n\
         <type>session</type>\n<listen>unix:path={}</listen>\n<auth>EXTERNAL</auth>\n\
         <policy context=\"default\">\n<allow send_destination=\"*\" eavesdrop=\"true\"/>\n\
         <allow eavesdrop=\"true\"/>\n<allow own=\"*\"/>\n</policy>\n</busconfig>\n",
        place.run().join("bus").display()
    )
}
