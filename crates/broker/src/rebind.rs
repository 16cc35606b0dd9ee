//! Moving accounts to new keys, and forgetting everything.
//!
//! A move begins with a trial of the device the keys go to. Then the decision is written down,
//! with the keys that are to be replaced; from there on new keys are made in the new place, and
//! every account that moves takes its keys off the list. Interrupted anywhere, everything still
//! works with the keys it has, and the same command goes on where it stopped.

use std::sync::Arc;

use keyward_client::binding::KeyProtection;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{BoundAccount, Forgotten, RebindPlan, RebindStep};
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::Clock;
use keyward_keystore::{Device, KeyKind, KeyStore, KeyStoreError};

use crate::decision::Decision;
use crate::device_keys::key_error;
use crate::engine_ports::SystemClock;
use crate::opening::Open;

/// What a key is tried with.
const TRIAL: &[u8] = b"keyward rebind";

impl Open {
    /// Makes new keys there from now on, and says what has to move.
    ///
    /// # Errors
    ///
    /// When keys cannot be made and used there; nothing has changed then.
    pub(crate) async fn rebind_begin(
        &self,
        to: Option<KeyProtection>,
        account: Option<&str>,
    ) -> Result<RebindPlan, AcquireTokenError> {
        let _one_at_a_time = self.rebinding.lock().await;
        let to = self.target(to).await?;
        let device = self.providers.ask(to, tried).await.map_err(key_error)?;
        let before = self.decided().decision;
        let bound = self.engine.bound_accounts();
        let left = before.left_of(&bound);
        let resumed = before.choice == to && !left.is_empty();
        let meant = |one: &&BoundAccount| {
            account.is_none_or(|name| {
                one.username.eq_ignore_ascii_case(name) || one.home_account_id == name
            })
        };
        let old = |one: &&BoundAccount| match &one.key {
            Some(key) => !resumed || left.contains(key),
            None => one.key_protection != to,
        };
        let moving: Vec<BoundAccount> = bound.iter().filter(meant).filter(old).cloned().collect();
        if let Some(name) = account.filter(|_| !bound.iter().any(|one| meant(&one))) {
            let message =
                format!("{name} is not signed in here: `keyward device show` lists who is");
            return Err(AcquireTokenError::new(ErrorKind::AccountNotFound, message));
        }
        let mut to_replace: Vec<String> = moving.iter().filter_map(|one| one.key.clone()).collect();
        if resumed {
            to_replace.clone_from(&left);
        }
        let now = SystemClock.now();
        self.decide(Decision::rebound(to, &device, to_replace, now))?;
        if moving.is_empty() {
            self.engine.reseal().await?;
        }
        let steps = moving.into_iter().map(|bound| RebindStep {
            sign_in: self.engine.moves_by_sign_in(&bound),
            bound,
        });
        Ok(RebindPlan {
            to,
            resumed,
            steps: steps.collect(),
        })
    }

    /// Moves one account. `agent` shows the sign-in, where one is needed.
    ///
    /// # Errors
    ///
    /// When it does not come about; the account works as before then.
    pub(crate) async fn rebind_account(
        &self,
        bound: &BoundAccount,
        agent: Arc<dyn UserAgent>,
    ) -> Result<(), AcquireTokenError> {
        let _one_at_a_time = self.rebinding.lock().await;
        self.engine.rebind(bound, agent).await?;
        let mut decision = self.decided().decision;
        decision.to_replace = decision.left_of(&self.engine.bound_accounts());
        let done = decision.to_replace.is_empty();
        self.decide(decision)?;
        if done {
            self.engine.reseal().await?;
        }
        Ok(())
    }

    /// Signs everybody out and destroys every key.
    ///
    /// # Errors
    ///
    /// When the vault cannot be written.
    pub(crate) async fn forget(&self) -> Result<Forgotten, AcquireTokenError> {
        let _one_at_a_time = self.rebinding.lock().await;
        let mut forgotten = Forgotten {
            accounts: self.engine.status().accounts.len(),
            ..Forgotten::default()
        };
        let before = self.key_names(&mut Vec::new()).await;
        self.engine.forget().await?;
        for protection in self.providers.all() {
            match self.providers.ask(protection, destroyed).await {
                Ok(problems) => forgotten.problems.extend(problems),
                Err(error) => forgotten.problems.push(error.to_string()),
            }
        }
        let left = self.key_names(&mut Vec::new()).await;
        forgotten.keys = before.len().saturating_sub(left.len());
        let mut decision = self.decided().decision;
        decision.to_replace.clear();
        self.decide(decision)?;
        Ok(forgotten)
    }

    /// Where keys are to move.
    async fn target(&self, to: Option<KeyProtection>) -> Result<KeyProtection, AcquireTokenError> {
        match (to, self.decided().configured()) {
            (Some(to), Some((configured, origin))) if to != configured => {
                Err(AcquireTokenError::new(
                    ErrorKind::IncorrectConfiguration,
                    format!(
                        "{origin} says that keys are made in {configured}: change key_protection \
                         there first, and restart keywardd"
                    ),
                ))
            }
            (Some(to), _) => Ok(to),
            (None, Some((configured, _))) => Ok(configured),
            (None, None) => {
                let device = |store: &dyn KeyStore| store.device();
                let tpm = self.providers.ask(KeyProtection::Tpm, device).await;
                Ok(match tpm {
                    Ok(_) => KeyProtection::Tpm,
                    Err(_) => self.providers.choice(),
                })
            }
        }
    }
}

/// Makes a key, uses it and destroys it again: whoever moves there can go on there.
fn tried(store: &dyn KeyStore) -> Result<Device, KeyStoreError> {
    let device = store.device()?;
    let id = store.create(KeyKind::Sign, None)?;
    let signed = store.open(&id).and_then(|key| {
        let signed = key.sign(TRIAL);
        signed.map_err(|error| KeyStoreError::Unavailable(error.to_string()))
    });
    store.delete(&id)?;
    signed.map(|_| device)
}

/// Destroys every key. Returns what stands in the way of some.
fn destroyed(store: &dyn KeyStore) -> Result<Vec<String>, KeyStoreError> {
    let ids = store.keys()?;
    let failed = ids.iter().filter_map(|id| store.delete(id).err());
    Ok(failed.map(|error| error.to_string()).collect())
}
