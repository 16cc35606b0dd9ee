//! The system form: every local user served from a vault, keys, an engine and a policy memory of
//! their own, so that nothing of one user is within another's reach.
//!
//! A user's holdings are opened when the user first asks for something, and closed again when the
//! user has not asked for a while.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyward_broker_ipc::service::{BrokerService, Caller};
use keyward_client::account::AccountInfo;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, SignOutRequest};
use keyward_client::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use keyward_client::result::AuthenticationResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Options;
use crate::holdings::Holdings;
use crate::service::Service;

/// How many users' holdings are open at once.
const MOST_OPEN: usize = 128;

/// How long a user's holdings stay open after the user's last request.
const IDLE: Duration = Duration::from_secs(600);

/// How often idle ones are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// How long opening waits for what the same user's holdings were still doing when they were closed.
const FINISHING: Duration = Duration::from_secs(10);

/// Every local user's broker.
pub(crate) struct Users {
    options: Options,
    /// One folder for each user is made in it.
    folder: String,
    slots: Mutex<HashMap<u32, Arc<Slot>>>,
    may_open: Arc<Semaphore>,
}

/// One user's place. Locked while the user's holdings are opened and closed.
type Slot = tokio::sync::Mutex<Option<Opened>>;

/// One user's holdings.
struct Opened {
    service: Arc<Service>,
    last_used: Instant,
    /// Ready when nothing works with them any more.
    finished: Pin<Box<dyn Future<Output = ()> + Send>>,
    _permit: OwnedSemaphorePermit,
}

impl Users {
    /// Keeps the users' folders in this state folder.
    pub(crate) fn new(options: Options, state_dir: &Path) -> Result<Self, AcquireTokenError> {
        let folder = state_dir.join("users");
        let folder = folder.to_str().ok_or_else(|| {
            let message = "the state folder's path is not UTF-8: pass another with --state-dir";
            AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
        })?;
        Ok(Self {
            options,
            folder: folder.to_owned(),
            slots: Mutex::default(),
            may_open: Arc::new(Semaphore::new(MOST_OPEN)),
        })
    }

    /// Closes the holdings of users who have not asked for anything for a while. Never ends.
    pub(crate) async fn close_idle_ones(&self) {
        let mut sweeps = tokio::time::interval(SWEEP);
        loop {
            sweeps.tick().await;
            self.close_unused_for(IDLE).await;
        }
    }

    /// Closes everything, once nobody can ask any more, and waits for what was under way.
    pub(crate) async fn finish(&self) {
        for slot in self.slots() {
            let opened = slot.lock().await.take();
            if let Some(opened) = opened {
                opened.close().await;
            }
        }
    }

    /// The part of the broker that serves this user.
    async fn of(&self, uid: u32) -> Result<Arc<Service>, AcquireTokenError> {
        let slot = self.slot(uid);
        let mut slot = slot.lock().await;
        if let Some(opened) = &mut *slot {
            opened.last_used = Instant::now();
            return Ok(Arc::clone(&opened.service));
        }
        let permit = self.permit().await?;
        let folder = format!("{}/{uid}", self.folder);
        let options = self.options.with_state_dir(&folder);
        let config = keyward_config::load(&options.environment, options.permit);
        let holdings = Holdings::open(options, config).await;
        tracing::info!(uid, "serving another user");
        let opened = slot.insert(Opened {
            finished: Box::pin(holdings.finished()),
            service: Arc::new(Service::for_user(uid, holdings)),
            last_used: Instant::now(),
            _permit: permit,
        });
        Ok(Arc::clone(&opened.service))
    }

    /// The right to open one more user's holdings; those of somebody who asks for nothing make
    /// room.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, AcquireTokenError> {
        if let Ok(permit) = Arc::clone(&self.may_open).try_acquire_owned() {
            return Ok(permit);
        }
        self.close_unused_for(SWEEP).await;
        Arc::clone(&self.may_open).try_acquire_owned().map_err(|_| {
            AcquireTokenError::new(
                ErrorKind::TooManyRequests,
                format!("{MOST_OPEN} other users are served at the moment: try again later"),
            )
        })
    }

    async fn close_unused_for(&self, span: Duration) {
        for slot in self.slots() {
            // One that is locked is in use.
            let Ok(mut slot) = slot.try_lock() else {
                continue;
            };
            let unused = slot.take_if(|opened| {
                opened.last_used.elapsed() >= span && Arc::strong_count(&opened.service) == 1
            });
            if let Some(unused) = unused {
                // Locked meanwhile: a vault has one holder, and these are still it.
                unused.close().await;
            }
        }
        self.lock()
            .retain(|_, slot| Arc::strong_count(slot) > 1 || !is_empty(slot));
    }

    fn slot(&self, uid: u32) -> Arc<Slot> {
        Arc::clone(self.lock().entry(uid).or_default())
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.lock().values().map(Arc::clone).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    async fn close(self) {
        let Self {
            service, finished, ..
        } = self;
        drop(service);
        if tokio::time::timeout(FINISHING, finished).await.is_err() {
            tracing::warn!("closed a user's vault although something was not finished");
        }
    }
}

/// Whether nothing is open in it. One that is locked is in use.
fn is_empty(slot: &Slot) -> bool {
    slot.try_lock().is_ok_and(|opened| opened.is_none())
}

#[async_trait]
impl BrokerService for Users {
    fn serves(&self, _uid: u32) -> bool {
        true
    }

    fn refused(&self, caller: &Caller, operation: &'static str, error: &AcquireTokenError) {
        let slot = self.slot(caller.uid);
        // Who has too many requests under way has a part that is open; one that is locked is being
        // opened.
        if let Ok(slot) = slot.try_lock()
            && let Some(opened) = &*slot
        {
            opened.service.refused(caller, operation, error);
        }
    }

    async fn acquire_token_silent(
        &self,
        caller: &Caller,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let user = self.of(caller.uid).await?;
        user.acquire_token_silent(caller, request).await
    }

    async fn acquire_token_interactive(
        &self,
        caller: &Caller,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let user = self.of(caller.uid).await?;
        user.acquire_token_interactive(caller, request, agent).await
    }

    async fn accounts(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.of(caller.uid).await?.accounts(caller, client_id).await
    }

    async fn sign_out(
        &self,
        caller: &Caller,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        self.of(caller.uid).await?.sign_out(caller, request).await
    }

    async fn dpop_proof(
        &self,
        caller: &Caller,
        request: DpopProofRequest,
    ) -> Result<String, AcquireTokenError> {
        self.of(caller.uid).await?.dpop_proof(caller, request).await
    }

    async fn status(&self, caller: &Caller) -> Result<BrokerStatus, AcquireTokenError> {
        self.of(caller.uid).await?.status(caller).await
    }

    async fn manage(
        &self,
        caller: &Caller,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let user = self.of(caller.uid).await?;
        user.manage(caller, request, agent).await
    }
}

#[cfg(test)]
mod tests {
    use keyward_broker_ipc::service::Via;
    use keyward_config::{Environment, Permit};

    use super::*;

    fn users(dir: &tempfile::TempDir) -> Users {
        let config = dir.path().join("config.toml");
        std::fs::write(&config, "key_protection = \"software\"\n").unwrap();
        let options = Options {
            environment: Environment::empty().of_system_form(Some(&config)),
            permit: Permit::ConfiguredOnly,
        };
        Users::new(options, &dir.path().join("state")).unwrap()
    }

    #[tokio::test]
    async fn each_user_has_a_vault_of_their_own_in_a_folder_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(&dir);
        assert!(!dir.path().join("state").exists());
        let (one, again, other) = (
            users.of(1001).await,
            users.of(1001).await,
            users.of(1002).await,
        );
        let (one, again, other) = (one.unwrap(), again.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &again));
        assert!(!Arc::ptr_eq(&one, &other));
        for uid in ["1001", "1002"] {
            let folder = dir.path().join("state/users").join(uid);
            let mut kept = std::fs::read_dir(folder).unwrap();
            assert!(
                kept.any(|entry| entry.unwrap().path().join("keys").is_dir()),
                "{uid}"
            );
        }
    }

    #[tokio::test]
    async fn the_part_of_one_user_refuses_another() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(&dir);
        let caller = |uid| Caller::new(uid, None, Via::Socket);
        let one = users.of(1001).await.unwrap();
        let error = one.status(&caller(1002)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(one.status(&caller(1001)).await.unwrap().form, "system");
        // It is the caller alone who decides whose part is asked.
        assert_eq!(users.status(&caller(1002)).await.unwrap().form, "system");
    }

    #[tokio::test]
    async fn what_nobody_uses_is_closed_and_opened_again_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(&dir);
        let in_use = users.of(1001).await.unwrap();
        drop(users.of(1002).await.unwrap());
        users.close_unused_for(Duration::ZERO).await;
        assert_eq!(users.may_open.available_permits(), MOST_OPEN - 1);
        assert_eq!(users.lock().len(), 1);
        drop(in_use);
        users.close_unused_for(Duration::ZERO).await;
        assert_eq!(users.may_open.available_permits(), MOST_OPEN);
        // Nobody holds its vault any more.
        let again = users.of(1001).await.unwrap();
        let caller = Caller::new(1001, None, Via::Socket);
        assert_eq!(again.status(&caller).await.unwrap().problems, [""; 0]);
    }

    #[tokio::test]
    async fn more_users_than_can_be_served_are_told_so_until_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(&dir);
        let rest = u32::try_from(MOST_OPEN - 1).unwrap();
        let taken = users.may_open.try_acquire_many(rest).unwrap();
        let _one = users.of(1001).await.unwrap();
        let error = users.of(1002).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
        drop(taken);
        users.of(1002).await.unwrap();
    }
}
