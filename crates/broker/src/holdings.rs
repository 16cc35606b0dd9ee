//! What keywardd holds: configuration, keys, vault and engine, opened together.
//!
//! If that fails, the reason is every request's answer, and a request that comes some seconds later
//! tries again: a mended configuration or a freed disk needs no restart.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyward_client::binding::KeyProtection;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::ports::{BrokerStatus, Change, Ports, Record, RecordStore, StoreError};
use keyward_client::{Engine, Settings};
use keyward_config::{Config, ConfigError, Form, KeyProtectionChoice, Places};
use keyward_keystore::{KeyStore, KeyStoreError, SoftwareKeyStore, tpm};
use keyward_store::{FileCounter, KeyProvider, Rollback, StateFolder, Vault};
use tokio::sync::{Mutex, watch};

use crate::Options;
use crate::authorities;
use crate::device_keys::{DeviceKeys, DeviceWrap, protection_of};
use crate::engine_ports::{KernelRandom, SystemClock};
use crate::requirements::Requirements;

/// How long a failure is every request's answer before opening is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Everything that is held, or why it is not.
pub(crate) struct Holdings {
    options: Options,
    held: RwLock<Held>,
    /// When opening was tried last; locked while it is.
    tried: Mutex<Instant>,
    /// Every vault that is opened keeps a sender until it is closed.
    in_use: watch::Sender<()>,
}

type Held = Result<Arc<Open>, AcquireTokenError>;

/// Everything that is held.
pub(crate) struct Open {
    pub(crate) engine: Engine,
    pub(crate) requirements: Requirements,
    pub(crate) key_protection: KeyProtection,
    pub(crate) keys: Arc<dyn KeyStore>,
    /// The configuration in force. Only a restart puts another one in its place.
    config: Config,
}

impl Holdings {
    /// Opens everything there is to open. Failing is not an error here.
    pub(crate) async fn open(options: Options, config: Result<Config, ConfigError>) -> Self {
        let (in_use, _) = watch::channel(());
        let held = open(&options, config, &in_use).await;
        if let Err(error) = &held {
            tracing::error!(%error, "cannot serve requests yet; every one is told so");
        }
        Self {
            options,
            held: RwLock::new(held),
            tried: Mutex::new(Instant::now()),
            in_use,
        }
    }

    /// What is held.
    ///
    /// # Errors
    ///
    /// Why nothing is.
    pub(crate) async fn get(&self) -> Held {
        match self.peek() {
            Ok(open) => Ok(open),
            Err(error) => self.retry(error).await,
        }
    }

    /// What is running and what is wrong with it.
    pub(crate) async fn status(&self) -> BrokerStatus {
        match self.get().await {
            Ok(open) => {
                let mut status = open.engine.status();
                status
                    .problems
                    .extend(open.config.warnings().iter().cloned());
                status.outdated = self.outdated(&open.config);
                status
            }
            Err(error) => BrokerStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                form: self.options.environment.form().to_string(),
                key_protection: None,
                accounts: Vec::new(),
                problems: vec![error.message().to_owned()],
                outdated: None,
            },
        }
    }

    /// What to say if the files have changed since they were read: above all, a demand that was
    /// added is not met before a restart.
    fn outdated(&self, in_force: &Config) -> Option<String> {
        let written = keyward_config::load(&self.options.environment, self.options.permit);
        let (what, first) = match written {
            Ok(written) => {
                let changed = in_force.changes_for_broker(&written);
                if changed.is_empty() {
                    return None;
                }
                (format!("has changed ({})", changed.join(", ")), "")
            }
            Err(error) => (
                format!("has changed and cannot be used any more ({error})"),
                "correct it, then ",
            ),
        };
        let restart = match self.options.environment.form() {
            Form::Session => {
                let pid = std::process::id();
                format!(
                    "restart it with `systemctl --user restart keywardd`, or end process {pid}; it \
                     starts again when it is needed"
                )
            }
            Form::System => "restart it with `systemctl restart keywardd`".to_owned(),
        };
        Some(format!(
            "the configuration {what}, but keywardd runs with the one it started with: \
             {first}{restart}"
        ))
    }

    /// Ready when these holdings are dropped and nothing works with them any more: tasks of the
    /// engine that outlive their callers have ended, and the vault is closed.
    pub(crate) fn finished(&self) -> impl Future<Output = ()> + use<> {
        let mut in_use = self.in_use.subscribe();
        async move { while in_use.changed().await.is_ok() {} }
    }

    /// What is held, without trying again.
    ///
    /// # Errors
    ///
    /// Why nothing is.
    pub(crate) fn peek(&self) -> Held {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    async fn retry(&self, error: AcquireTokenError) -> Held {
        let mut tried = self.tried.lock().await;
        if tried.elapsed() < RETRY {
            // Whoever had the lock before us may have succeeded.
            return self.peek().map_err(|_| error);
        }
        let config = keyward_config::load(&self.options.environment, self.options.permit);
        let held = open(&self.options, config, &self.in_use).await;
        *tried = Instant::now();
        if held.is_ok() {
            tracing::info!("what kept requests from being served is mended");
        }
        let mut current = self.held.write().unwrap_or_else(PoisonError::into_inner);
        current.clone_from(&held);
        held
    }
}

async fn open(
    options: &Options,
    config: Result<Config, ConfigError>,
    in_use: &watch::Sender<()>,
) -> Held {
    let config = config.map_err(|error| incorrect(&error))?;
    let places = Places::find(&options.environment).map_err(|error| incorrect(&error))?;
    let storage = |e: KeyStoreError| AcquireTokenError::new(ErrorKind::Storage, e.to_string());
    let keys: Arc<dyn KeyStore> = match config.key_protection.value {
        KeyProtectionChoice::Tpm => {
            tpm::open(&places.keys_dir(), Some(&config.tpm.tcti.value)).map_err(storage)?
        }
        KeyProtectionChoice::Software | KeyProtectionChoice::TpmOrSoftware => {
            Arc::new(SoftwareKeyStore::open(&places.keys_dir()).map_err(storage)?)
        }
    };
    let folder = StateFolder::single(&places.state_dir.value);
    let provider = KeyProvider {
        protection: protection_of(&*keys),
        wrap: Box::new(DeviceWrap(Arc::clone(&keys))),
        rollback: Rollback::BestEffort(Box::new(FileCounter::beside(folder.path()))),
    };
    let vault = Vault::open(&folder, vec![provider])?;
    let authorities = authorities::rules(&config, options.permit)?;
    let key_protection = protection_of(&*keys);
    let ports = Ports {
        http: Arc::new(keyward_http::Client::new()),
        records: Arc::new(Kept {
            vault,
            _in_use: in_use.clone(),
        }),
        keys: Arc::new(DeviceKeys::new(Arc::clone(&keys))),
        clock: Arc::new(SystemClock),
        random: Arc::new(KernelRandom),
    };
    let settings = Settings {
        authorities: authorities.clone(),
        interactive_deadline: config.interactive_deadline.value,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        form: options.environment.form().to_string(),
    };
    let engine = Engine::new(ports, settings);
    engine.open().await?;
    Ok(Arc::new(Open {
        engine,
        requirements: Requirements::new(&config, authorities),
        key_protection,
        keys,
        config,
    }))
}

/// An open vault that shows when it is closed.
struct Kept {
    vault: Vault,
    /// Dropped after the vault.
    _in_use: watch::Sender<()>,
}

#[async_trait]
impl RecordStore for Kept {
    async fn load(
        &self,
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<(), StoreError> {
        self.vault.load(each).await
    }

    async fn end_epoch(&self) -> Result<(), StoreError> {
        self.vault.end_epoch().await
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.vault.apply(changes).await
    }
}

fn incorrect(error: &dyn std::error::Error) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, error.to_string())
}

#[cfg(test)]
mod tests {
    use keyward_config::{Environment, Permit};

    use super::*;

    fn options(dir: &tempfile::TempDir) -> Options {
        Options {
            environment: Environment::empty()
                .with_variable("KEYWARD_SOCKET", dir.path().join("socket"))
                .with_variable("KEYWARD_STATE_DIR", dir.path().join("state"))
                .with_variable("KEYWARD_CONFIG", dir.path().join("config.toml")),
            permit: Permit::ConfiguredOnly,
        }
    }

    async fn holdings(dir: &tempfile::TempDir) -> Holdings {
        let options = options(dir);
        let config = keyward_config::load(&options.environment, options.permit);
        Holdings::open(options, config).await
    }

    #[tokio::test]
    async fn finished_means_that_nothing_works_any_more_and_the_vault_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), "").unwrap();
        let holdings = holdings(&dir).await;
        let mut finished = Box::pin(holdings.finished());
        let at_work = holdings.get().await.unwrap();
        drop(holdings);
        let at_once = Duration::ZERO;
        let early = tokio::time::timeout(at_once, &mut finished).await;
        assert!(early.is_err());
        drop(at_work);
        tokio::time::timeout(at_once, finished).await.unwrap();
        assert!(!dir.path().join("state/vault.db-wal").exists());
    }

    #[tokio::test]
    async fn what_is_mended_is_served_without_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        std::fs::write(&config, "nonsense").unwrap();
        let holdings = holdings(&dir).await;
        let error = holdings.get().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);

        std::fs::write(&config, "").unwrap();
        let again = holdings.get().await.err().unwrap();
        assert_eq!(again.message(), error.message());
        *holdings.tried.lock().await -= RETRY;
        holdings.get().await.unwrap();
        assert_eq!(holdings.status().await.problems, [""; 0]);
    }
}
