//! Which TPM keeps the keys of a private broker.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use keyward_keystore::Device;
use keyward_keystore::tpm::{self, Probe};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::DevError;
use crate::place::Place;
use crate::process;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait between two looks: nobody announces that swtpm listens.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Its two ports were free a moment ago; somebody else may have been faster.
const STARTS: u32 = 5;

/// What `--tpm` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This machine's TPM if it can be reached, else software keys.
    Auto,
    /// A software TPM of the session's own.
    Swtpm,
    /// Software keys.
    Off,
    /// The TPM that is reached this way.
    Tcti(String),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "swtpm" => Ok(Self::Swtpm),
            "off" => Ok(Self::Off),
            tcti if tcti.contains(':') => Ok(Self::Tcti(tcti.to_owned())),
            _ => Err("it is auto, swtpm, off or a TCTI such as device:/dev/tpmrm0".to_owned()),
        }
    }
}

/// Where the keys of a private broker are kept.
#[derive(Debug)]
pub struct Tpm {
    /// The configuration's part about it: complete lines, the first ones belonging to no table.
    configuration: String,
    /// The same in a person's words.
    described: String,
    /// Whether they are in a TPM.
    chip: bool,
    /// Ends with this.
    daemon: Option<Child>,
}

impl Tpm {
    /// Finds or starts what was chosen.
    ///
    /// # Errors
    ///
    /// When a TPM was asked for and there is none.
    pub async fn choose(choice: &Choice, place: &Place) -> Result<Self, DevError> {
        match choice {
            Choice::Off => Ok(Self::software("as asked for")),
            Choice::Auto => Ok(match probe(None).await {
                Probe::Reachable(device) => Self::reached(None, &device),
                other => Self::software(&why_not(other)),
            }),
            Choice::Tcti(tcti) => match probe(Some(tcti.clone())).await {
                Probe::Reachable(device) => Ok(Self::reached(Some(tcti), &device)),
                other => Err(DevError::Environment(why_not(other))),
            },
            Choice::Swtpm => Self::start(place).await,
        }
    }

    /// The configuration's part about it: keys of no table come first.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Where keys are, in a person's words.
    pub fn described(&self) -> &str {
        &self.described
    }

    /// What holds keys at another device: a TPM of its own if this one has one, and a file else.
    ///
    /// # Errors
    ///
    /// When there can be no other TPM here.
    pub async fn elsewhere(&self, place: &Place) -> Result<Self, DevError> {
        if self.chip {
            Self::start(place).await
        } else {
            Ok(Self::software("another device's"))
        }
    }

    /// Whether keys are in a TPM.
    pub fn is_tpm(&self) -> bool {
        self.chip
    }

    /// Ends the software TPM, if there is one, and waits until it is gone.
    pub async fn stop(self) {
        if let Some(mut daemon) = self.daemon
            && let Err(error) = daemon.kill().await
        {
            tracing::debug!(%error, "swtpm was gone already");
        }
    }

    fn software(reason: &str) -> Self {
        Self {
            configuration: "key_protection = \"software\"\n".to_owned(),
            described: format!("in files ({reason})"),
            chip: false,
            daemon: None,
        }
    }

    fn reached(tcti: Option<&str>, device: &Device) -> Self {
        let mut configuration = "key_protection = \"tpm\"\n".to_owned();
        if let Some(tcti) = tcti {
            let tcti = serde_json::Value::from(tcti);
            // Writing to a string cannot fail.
            let _ = writeln!(configuration, "tpm.tcti = {tcti}");
        }
        Self {
            configuration,
            described: format!("in a TPM 2.0: {}", name_of(device)),
            chip: true,
            daemon: None,
        }
    }

    async fn start(place: &Place) -> Result<Self, DevError> {
        if let Probe::NotBuilt = probe(None).await {
            return Err(DevError::Environment(why_not(Probe::NotBuilt)));
        }
        let state = place.path().join("tpm");
        std::fs::create_dir(&state).map_err(DevError::io("make a folder for the software TPM"))?;
        for _ in 0..STARTS {
            let port = free_ports().map_err(DevError::io("find two free ports"))?;
            let mut daemon = spawn(place, &state.to_string_lossy(), port)?;
            if !listens(&mut daemon, port).await? {
                continue;
            }
            let tcti = format!("swtpm:host=127.0.0.1,port={port}");
            return match probe(Some(tcti.clone())).await {
                Probe::Reachable(device) => Ok(Self {
                    daemon: Some(daemon),
                    ..Self::reached(Some(&tcti), &device)
                }),
                other => Err(DevError::Environment(why_not(other))),
            };
        }
        Err(DevError::Environment(
            "swtpm ended before it listened; is it installed? apt-get install swtpm".to_owned(),
        ))
    }
}

/// On loopback only, with a state of its own; it goes with this process.
fn spawn(place: &Place, state: &str, port: u16) -> Result<Child, DevError> {
    let listen = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
    process::attached(&place.program("keyward-dev"), "swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={state}")])
        .args(["--server", &format!("{},disconnect", listen(port))])
        .args(["--ctrl", &listen(port + 1)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(DevError::io("start swtpm"))
}

/// `false`: it ended, which it does when somebody else has one of its ports.
async fn listens(daemon: &mut Child, port: u16) -> Result<bool, DevError> {
    let connected = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port + 1))
            .await
            .is_err()
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        () = connected => Ok(true),
        _ = daemon.wait() => Ok(false),
        () = tokio::time::sleep(READY_WITHIN) => Err(DevError::Environment(format!(
            "swtpm was not ready within {} s", READY_WITHIN.as_secs()
        ))),
    }
}

/// The first of two neighbouring ports nobody listens on.
fn free_ports() -> std::io::Result<u16> {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        let Some(next) = port.checked_add(1) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok() {
            return Ok(port);
        }
    }
}

/// A TPM answers within milliseconds, or after many seconds.
async fn probe(tcti: Option<String>) -> Probe {
    let probing = tokio::task::spawn_blocking(move || tpm::probe(tcti.as_deref()));
    probing.await.unwrap_or_else(|error| Probe::Failed {
        reason: error.to_string(),
    })
}

fn why_not(probe: Probe) -> String {
    match probe {
        Probe::Reachable(device) => name_of(&device),
        Probe::NoPermission { device, hint } => format!("{device} may not be opened: {hint}"),
        Probe::Absent { reason } => format!("there is no TPM: {reason}"),
        Probe::Failed { reason } => format!("the TPM does not work: {reason}"),
        Probe::NotBuilt => "this program cannot use a TPM: build it with --features tpm (it needs \
                            libtss2-dev)"
            .to_owned(),
    }
}

fn name_of(device: &Device) -> String {
    let parts = [&device.maker, &device.model, &device.firmware];
    let mut name = parts
        .into_iter()
        .flatten()
        .flat_map(|part| part.split_whitespace())
        .collect::<Vec<_>>()
        .join(" ");
    if name.is_empty() {
        "of an unnamed maker".clone_into(&mut name);
    }
    if device.simulator {
        name += " (a simulator: it shows how, and protects nothing from this computer)";
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_one_of_three_words_or_a_tcti() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("swtpm".parse(), Ok(Choice::Swtpm));
        assert_eq!("off".parse(), Ok(Choice::Off));
        let tcti = "device:/dev/tpm0";
        assert_eq!(tcti.parse(), Ok(Choice::Tcti(tcti.to_owned())));
        assert!("yes".parse::<Choice>().is_err());
    }

    #[test]
    fn what_is_configured_names_the_device_it_was_found_by() {
        let device = Device {
            maker: Some("SW".to_owned()),
            model: Some("TPM".to_owned()),
            firmware: None,
            simulator: true,
        };
        let tpm = Tpm::reached(Some("swtpm:host=127.0.0.1,port=4000"), &device);
        let lines: Vec<_> = tpm.configuration().lines().collect();
        assert_eq!(
            lines,
            [
                "key_protection = \"tpm\"",
                "tpm.tcti = \"swtpm:host=127.0.0.1,port=4000\""
            ]
        );
        assert!(
            tpm.described()
                .starts_with("in a TPM 2.0: SW TPM (a simulator")
        );
    }

    #[test]
    fn two_neighbouring_ports_are_found() {
        let port = free_ports().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).unwrap();
    }
}
