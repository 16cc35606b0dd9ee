//! Opening: the decision where keys are made, the providers of keys, the vault, the engine.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyward_broker_ipc::secret_service::SecretStore;
use keyward_client::binding::KeyProtection;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::ports::{Change, Clock, Ports, Record, RecordStore, StoreError};
use keyward_client::{Engine, Settings};
use keyward_config::{Config, ConfigError, Form, Places, WrappingKeyPlace};
use keyward_keystore::SoftwareKeyStore;
use keyward_keystore::tpm::{self, Probe};
use keyward_store::{StateFolder, Vault};
use tokio::sync::watch;

use crate::Options;
use crate::authorities;
use crate::decision::{Decided, Decision, DecisionError};
use crate::device_keys::DeviceKeys;
use crate::engine_ports::{KernelRandom, SystemClock};
use crate::holdings::Held;
use crate::pin::Pins;
use crate::policy::Policy;
use crate::providers::Providers;
use crate::requirements::{self, Requirements};
use crate::vault_keys;
use crate::wrapping_key::{self, WrappingKeyError};

/// For how long it is known what a TPM says that could not be used before.
const PROBED: Duration = Duration::from_secs(5);

/// How long a status waits for such a TPM.
const PROBING: Duration = Duration::from_secs(1);

/// Everything that is held.
pub(crate) struct Open {
    pub(crate) engine: Engine,
    pub(crate) requirements: Requirements,
    pub(crate) policy: Policy,
    pub(crate) providers: Arc<Providers>,
    pub(crate) kept: Arc<Kept>,
    decided: RwLock<Decided>,
    /// Locked while keys are moved or destroyed.
    pub(crate) rebinding: tokio::sync::Mutex<()>,
    /// This machine's state folder.
    folder: PathBuf,
    /// What a TPM said last, which is used by nobody yet.
    probed: Mutex<Option<(Instant, Probe)>>,
    /// The configuration in force. Only a restart puts another one in its place.
    config: Config,
}

/// Opens everything. What waits for a device does so on a thread of its own.
pub(crate) async fn open(
    options: Options,
    config: Result<Config, ConfigError>,
    keyring: Option<Arc<dyn SecretStore>>,
    in_use: watch::Sender<()>,
) -> Held {
    let config = config.map_err(|error| incorrect(&error))?;
    let places = Places::find(&options.environment).map_err(|error| incorrect(&error))?;
    let folder = StateFolder::of_this_machine(&places.state_dir.value)?;
    let path = folder.path().to_owned();
    let decided = decide(&path, &config).await?;
    let tcti = &config.tpm.tcti.value;
    let keys = path.join("keys");
    let software = software_keys(&folder, &keys, &config, options.environment.form(), keyring);
    let providers = Providers::open(software.await?, &keys, tcti, decided.choice());
    let providers = Arc::new(providers.map_err(|error| storage(&error))?);
    let of_vault = vault_keys::for_vault(&providers, &path, options.permit);
    let vault = at_leisure(move || Vault::open(&folder, of_vault)).await??;
    let authorities = authorities::rules(&config, options.permit)?;
    let kept = Arc::new(Kept {
        vault,
        _in_use: in_use,
    });
    let ports = Ports {
        http: Arc::new(keyward_http::Client::new()),
        records: Arc::clone(&kept) as Arc<dyn RecordStore>,
        keys: Arc::new(DeviceKeys::new(
            Arc::clone(&providers),
            Pins::new(&config.tpm),
        )),
        clock: Arc::new(SystemClock),
        random: Arc::new(KernelRandom),
    };
    let settings = Settings {
        authorities: authorities.clone(),
        interactive_deadline: config.interactive_deadline.value,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        form: options.environment.form().to_string(),
        demanded: requirements::demanded(&config),
    };
    let engine = Engine::new(ports, settings);
    engine.open().await?;
    Ok(Arc::new(Open {
        engine,
        requirements: Requirements::new(&config, authorities),
        policy: Policy::open(&config, &path),
        providers,
        kept,
        decided: RwLock::new(decided),
        rebinding: tokio::sync::Mutex::default(),
        folder: path,
        probed: Mutex::default(),
        config,
    }))
}

/// The provider of software keys, with its wrapping key from where the configuration says.
async fn software_keys(
    folder: &StateFolder,
    keys: &Path,
    config: &Config,
    form: Form,
    keyring: Option<Arc<dyn SecretStore>>,
) -> Result<SoftwareKeyStore, AcquireTokenError> {
    match (config.wrapping_key.value, form) {
        (WrappingKeyPlace::File, _) => {
            SoftwareKeyStore::open(keys).map_err(|error| storage(&error))
        }
        (WrappingKeyPlace::SecretService, Form::Session) => {
            let sealed_already = folder.has_vault();
            Ok(wrapping_key::in_keyring(keys, sealed_already, keyring).await?)
        }
        (WrappingKeyPlace::SecretService, Form::System) => {
            Err(WrappingKeyError::NotInSystemForm.into())
        }
    }
}

/// Where new keys are made: as it was decided, or is decided now.
async fn decide(folder: &Path, config: &Config) -> Result<Decided, AcquireTokenError> {
    let (folder, configured) = (folder.to_owned(), config.key_protection.clone());
    let tcti = config.tpm.tcti.value.clone();
    let decided = at_leisure(move || {
        let probe = || tpm::probe(Some(&tcti));
        Decided::of(&folder, &configured, probe, SystemClock.now())
    });
    decided.await?.map_err(AcquireTokenError::from)
}

/// Does what may wait for a device on a thread that may.
async fn at_leisure<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AcquireTokenError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let message = "opening keys and vault panicked; this is a bug, please report it";
        AcquireTokenError::new(ErrorKind::Unexpected, message)
    })
}

impl Open {
    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Where new keys are made, and why.
    pub(crate) fn decided(&self) -> Decided {
        let decided = self.decided.read();
        decided.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides anew, durably.
    pub(crate) fn decide(&self, decision: Decision) -> Result<(), DecisionError> {
        decision.write(&self.folder)?;
        let decided = self.decided().with(decision);
        self.providers.choose(decided.choice());
        *self.decided.write().unwrap_or_else(PoisonError::into_inner) = decided;
        Ok(())
    }

    /// What a person should know beside what the engine says.
    pub(crate) async fn remarks(&self) -> Vec<String> {
        let mut remarks = self.config.warnings().to_vec();
        remarks.extend(self.remarks_about_keys().await);
        remarks
    }

    /// The same, about keys alone.
    pub(crate) async fn remarks_about_keys(&self) -> Vec<String> {
        let decided = self.decided();
        let probe = if decided.would_rather_have_a_tpm() {
            self.probe().await
        } else {
            None
        };
        let mut remarks = decided.remarks(probe.as_ref());
        let choice = decided.choice();
        if let Err(error) = self.providers.of(choice) {
            remarks.push(format!("no key can be made in {choice}: {error}"));
        }
        let bound = self.engine.bound_accounts();
        let left = decided.decision.left_of(&bound).len();
        let elsewhere = bound.iter().filter(|one| one.key_protection != choice);
        match (left, elsewhere.count()) {
            (0, 0) => {}
            (0, elsewhere) => remarks.push(format!(
                "{elsewhere} of {} refresh tokens are not kept by {choice}, where new keys are \
                 made: `keyward device rebind` moves them",
                bound.len()
            )),
            (left, _) => remarks.push(format!(
                "moving to new keys in {choice} was begun on {} and is not finished: `keyward \
                 device rebind` goes on ({left} left)",
                decided.decision.decided_at
            )),
        }
        remarks
    }

    /// What the TPM that was not chosen says now. `None`: it takes its time.
    async fn probe(&self) -> Option<Probe> {
        let last = || self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, probe)) = &*last()
            && at.elapsed() < PROBED
        {
            return Some(probe.clone());
        }
        let tcti = self.config.tpm.tcti.value.clone();
        let probe = at_leisure(move || tpm::probe(Some(&tcti)));
        let probe = tokio::time::timeout(PROBING, probe).await.ok()?.ok()?;
        *last() = Some((Instant::now(), probe.clone()));
        Some(probe)
    }
}

/// An open vault that shows when it is closed.
pub(crate) struct Kept {
    pub(crate) vault: Vault,
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

    async fn remove_all(&self) -> Result<(), StoreError> {
        self.vault.remove_all().await
    }

    async fn end_epoch(&self) -> Result<(), StoreError> {
        self.vault.end_epoch().await
    }

    async fn give_up_lost(&self, protection: KeyProtection) -> Result<bool, StoreError> {
        self.vault.give_up_lost(protection).await
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.vault.apply(changes).await
    }
}

fn incorrect(error: &dyn std::error::Error) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, error.to_string())
}

fn storage(error: &dyn std::error::Error) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::Storage, error.to_string())
}

impl From<DecisionError> for AcquireTokenError {
    fn from(error: DecisionError) -> Self {
        storage(&error)
    }
}
