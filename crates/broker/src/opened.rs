//! What keywardd opens before it restricts itself, and what it may still reach afterwards.

use std::path::{Path, PathBuf};

use keyward_client::error::ErrorKind;
use keyward_config::supervisor::Supervisor;
use keyward_config::{Config, Environment, Form, Places};
use keyward_store::StateFolder;

use crate::Options;
use crate::run::StartupError;
use crate::sandbox::Reach;
use crate::socket::{Access, Socket, SocketError};

/// Everything that is open when the process restricts itself.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    pub(crate) supervisor: Supervisor,
    /// What is opened later.
    pub(crate) reach: Reach,
}

impl Opened {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When there is no socket to serve. Folders that cannot be made are callers' answers.
    pub(crate) async fn for_broker(
        options: &Options,
        config: Option<&Config>,
    ) -> Result<Self, StartupError> {
        let environment = &options.environment;
        let place = Places::socket(environment)?.value;
        let socket = open_socket(environment, &place).await?;
        let state_dir = Places::state_dir(environment).map(|place| place.value);
        // From the inside, nothing above it can be reached. In the system form it is there already.
        if let (Form::Session, Ok(folder)) = (environment.form(), &state_dir)
            && let Err(error) = StateFolder::of_this_machine(folder)
        {
            tracing::warn!(%error, "there is no folder for the vault; restart keywardd when there is");
        }
        let supervisor = Supervisor::of_process().unwrap_or_else(|error| {
            tracing::warn!(%error, "whoever started this cannot be told that it serves");
            Supervisor::none()
        });
        let reach = Reach {
            write: state_dir.into_iter().collect(),
            clear: place.parent().map(Path::to_owned).into_iter().collect(),
            read: readable(environment),
            devices: devices(config),
        };
        Ok(Self {
            socket,
            supervisor,
            reach,
        })
    }
}

async fn open_socket(environment: &Environment, path: &Path) -> Result<Socket, StartupError> {
    let access = match environment.form() {
        Form::Session => Access::OwnUser,
        Form::System => Access::EveryUser,
    };
    Socket::open(path, access).await.map_err(|error| {
        let kind = match error {
            SocketError::InUse(_) => ErrorKind::Storage,
            _ => ErrorKind::IncorrectConfiguration,
        };
        StartupError::new(kind, error.to_string())
    })
}

/// What is read beside what every system has: the configuration, and a trust store of one's own.
fn readable(environment: &Environment) -> Vec<PathBuf> {
    let mut places = environment.configuration_places();
    for trust in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let named = environment.variable(trust);
        places.extend(named.into_iter().flat_map(std::env::split_paths));
    }
    places
}

/// The TPM's device, where the TPM is one.
fn devices(config: Option<&Config>) -> Vec<PathBuf> {
    let default = Config::default();
    let tcti = &config.unwrap_or(&default).tpm.tcti.value;
    let path = tcti.strip_prefix("device:");
    path.map(PathBuf::from).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use keyward_config::Permit;

    use super::*;

    #[test]
    fn the_device_is_the_configured_one() {
        let tpm = |tcti: &str| {
            let environment = Environment::empty().with_variable("KEYWARD_TPM_TCTI", tcti);
            let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
            devices(Some(&config))
        };
        assert_eq!(tpm("device:/dev/tpm7"), [Path::new("/dev/tpm7")]);
        assert!(tpm("swtpm:host=127.0.0.1,port=2321").is_empty());
        assert_eq!(devices(None).len(), 1);
    }

    #[test]
    fn a_trust_store_of_ones_own_is_read() {
        let environment = Environment::empty()
            .with_variable("KEYWARD_CONFIG", "/a/b/config.toml")
            .with_variable("SSL_CERT_FILE", "/c/roots.pem")
            .with_variable("SSL_CERT_DIR", "/d:/e");
        let expected = ["/a/b", "/c/roots.pem", "/d", "/e"].map(PathBuf::from);
        assert_eq!(readable(&environment), expected);
    }
}
