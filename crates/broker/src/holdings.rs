//! What keywardd holds: configuration, keys, vault and engine, opened together.
//!
//! If that fails, the reason is every request's answer, and a request that comes some seconds later
//! tries again: a mended configuration or a freed disk needs no restart.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use keyward_broker_ipc::secret_service::SecretStore;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::ports::BrokerStatus;
use keyward_config::{AuditDestination, Config, ConfigError, Form, Places};
use keyward_store::StateFolder;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Options;
use crate::opening::{self, Open};
use crate::outcome::Outcomes;

/// How long a failure is every request's answer before opening is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long serving waits for what is opened. Usually that takes milliseconds; a TPM that does not
/// answer keeps nobody from being told so.
const AT_START: Duration = Duration::from_secs(1);

/// How long a request waits for what is opened.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is held, or why it is not.
pub(crate) struct Holdings {
    options: Options,
    held: RwLock<Held>,
    attempt: Mutex<Attempt>,
    /// Where outcomes are recorded.
    outcomes: RwLock<Arc<Outcomes>>,
    /// Every vault that is opened keeps a sender until it is closed.
    in_use: watch::Sender<()>,
    /// Keeps a secret in the keyring of the user's session, while somebody offers to.
    keyring: RwLock<Option<Arc<dyn SecretStore>>>,
    /// Set when there is a reason to try again before the time.
    try_at_once: AtomicBool,
}

pub(crate) type Held = Result<Arc<Open>, AcquireTokenError>;

/// The attempt to open everything that is under way, or was the last.
struct Attempt {
    running: Option<JoinHandle<Held>>,
    ended: Instant,
}

impl Holdings {
    /// Opens everything there is to open. Failing is not an error here, and taking long neither.
    pub(crate) async fn open(options: Options, config: Result<Config, ConfigError>) -> Self {
        let (in_use, _) = watch::channel(());
        let outcomes = outcomes(&options, config.as_ref().ok(), &in_use);
        let first = tokio::spawn(opening::open(options.clone(), config, None, in_use.clone()));
        let holdings = Self {
            options,
            held: RwLock::new(Err(slow())),
            attempt: Mutex::new(Attempt {
                running: Some(first),
                ended: Instant::now(),
            }),
            outcomes: RwLock::new(outcomes),
            in_use,
            keyring: RwLock::default(),
            try_at_once: AtomicBool::new(false),
        };
        let opened = timeout(AT_START, holdings.opened()).await;
        if let Err(error) = opened.unwrap_or_else(|_| holdings.peek()) {
            tracing::error!(%error, "cannot serve requests yet; every one is told so");
        }
        holdings
    }

    /// What is held.
    ///
    /// # Errors
    ///
    /// Why nothing is.
    pub(crate) async fn get(&self) -> Held {
        match self.peek() {
            Ok(open) => Ok(open),
            Err(_) => timeout(PATIENCE, self.opened())
                .await
                .unwrap_or_else(|_| Err(slow())),
        }
    }

    /// Takes note that somebody reaches the keyring of the user's session. What could not be opened
    /// without is tried again by the next request.
    pub(crate) fn keyring_offered(&self, keyring: Arc<dyn SecretStore>) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Some(keyring);
        self.try_at_once.store(true, Ordering::Release);
    }

    /// Where outcomes are recorded.
    pub(crate) fn outcomes(&self) -> Arc<Outcomes> {
        let outcomes = self.outcomes.read();
        Arc::clone(&outcomes.unwrap_or_else(PoisonError::into_inner))
    }

    /// What is running and what is wrong with it.
    pub(crate) async fn status(&self) -> BrokerStatus {
        let mut status = self.own_status().await;
        status.problems.extend(self.outcomes().audit().problem());
        crate::sandbox::report(&mut status);
        status
    }

    async fn own_status(&self) -> BrokerStatus {
        match self.get().await {
            Ok(open) => {
                let mut status = open.engine.status();
                status.problems.extend(open.remarks().await);
                status.outdated = self.outdated(open.config());
                status
            }
            Err(error) => BrokerStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                form: self.options.environment.form().to_string(),
                key_protection: None,
                accounts: Vec::new(),
                hardening: Vec::new(),
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

    /// Records outcomes by this configuration, if the last one could not be used, or there was no
    /// place for them.
    async fn record_by(&self, config: Option<&Config>) {
        let unusable = |error: AcquireTokenError| error.kind() == ErrorKind::IncorrectConfiguration;
        let had_one = !self.peek().err().is_some_and(unusable);
        if config.is_none() || (had_one && self.outcomes().audit().is_on()) {
            return;
        }
        // Two must not number records of the same file.
        self.outcomes().audit().close().await;
        let outcomes = outcomes(&self.options, config, &self.in_use);
        let mut current = self.outcomes.write();
        let current = current
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut());
        **current = outcomes;
    }

    /// Waits for what is being opened; tries again, if the last time is long enough ago. Giving up
    /// waiting does not end the attempt.
    async fn opened(&self) -> Held {
        let mut attempt = self.attempt.lock().await;
        let Attempt { running, ended } = &mut *attempt;
        let task = match running {
            Some(task) => task,
            // Whoever had the lock before us may have succeeded.
            None if self.peek().is_ok() => return self.peek(),
            None if ended.elapsed() < RETRY && !self.try_at_once.swap(false, Ordering::AcqRel) => {
                return self.peek();
            }
            None => {
                let environment = &self.options.environment;
                let config = keyward_config::load(environment, self.options.permit);
                self.record_by(config.as_ref().ok()).await;
                let keyring = self.keyring.read();
                let keyring = keyring.unwrap_or_else(PoisonError::into_inner).clone();
                let in_use = self.in_use.clone();
                let again = opening::open(self.options.clone(), config, keyring, in_use);
                running.insert(tokio::spawn(again))
            }
        };
        let held = task.await.unwrap_or_else(|_| Err(panicked()));
        *running = None;
        *ended = Instant::now();
        self.held
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&held);
        held
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        // Whoever would have been served is gone.
        if let Some(running) = &self.attempt.get_mut().running {
            running.abort();
        }
    }
}

/// Where outcomes are recorded: by this configuration, or by the default one until there is one that
/// can be used. Without a place, nowhere.
fn outcomes(
    options: &Options,
    config: Option<&Config>,
    in_use: &watch::Sender<()>,
) -> Arc<Outcomes> {
    let mut config = config.cloned().unwrap_or_default();
    let place = Places::state_dir(&options.environment).ok();
    let folder = place.and_then(|place| StateFolder::of_this_machine(&place.value).ok());
    let folder = folder.map_or_else(PathBuf::new, |folder| folder.path().to_owned());
    if folder.as_os_str().is_empty() {
        config.audit.to.value = AuditDestination::Off;
    }
    Arc::new(Outcomes::new(&config, &folder, in_use.clone()))
}

/// What holds the keys takes its time.
fn slow() -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::KeyUnavailable,
        "keys and vault are still being opened: the TPM does not answer; the same request may \
         succeed later, and keyward doctor says more",
    )
}

fn panicked() -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::Unexpected,
        "opening keys and vault panicked; this is a bug, please report it",
    )
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
        // Threads of its own close the vault and the record of outcomes.
        let soon = Duration::from_secs(20);
        tokio::time::timeout(soon, finished).await.unwrap();
        let state = StateFolder::of_this_machine(&dir.path().join("state"));
        assert!(!state.unwrap().path().join("vault.db-wal").exists());
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
        holdings.attempt.lock().await.ended -= RETRY;
        holdings.get().await.unwrap();
        assert_eq!(holdings.status().await.problems, [""; 0]);
    }
}
