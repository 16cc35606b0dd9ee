//! The engine: what all flows share, and its public face.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex as FairMutex, Semaphore};

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::time::UnixTime;
use keyward_oauth::transport::UserAgent;

use crate::account::AccountInfo;
use crate::acquisition::RequestIdentity;
use crate::authority::AuthorityRules;
use crate::authority_metadata::AuthorityMetadata;
use crate::cache::key::GrantKey;
use crate::cache::{Cache, Edit, entity::Entity, format, load_order};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::interactive::SignIn;
use crate::nonces::Nonces;
use crate::ports::{BrokerStatus, KeyRef, Ports, Record, SignOutRequest, StoreError};
use crate::request::{DpopProofRequest, InteractiveRequest, SilentRequest};
use crate::result::AuthenticationResult;
use crate::silent::{Acquired, Renewal};
use crate::single_flight::{Abandoned, SingleFlight};
use crate::throttle::Throttle;
use crate::turns::Turns;

/// How often access tokens that ended are looked for in the whole cache.
const SWEEP: Duration = Duration::from_secs(600);

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities applications may name beside the well-known ones.
    pub authorities: AuthorityRules,
    /// How long a sign-in may take when the request does not say.
    pub interactive_deadline: Duration,
    /// The version to report.
    pub version: String,
    /// The form to report: `session` or `system`.
    pub form: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authorities: AuthorityRules::default(),
            // Microsoft's runtime gives up after 300 s (`linux-broker-dbus.md` 0).
            interactive_deadline: Duration::from_secs(285),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            form: "session".to_owned(),
        }
    }
}

/// Acquires tokens and keeps what renews them. Cheap to clone; every future may be dropped, which
/// cancels what it asked for. Runs on a Tokio runtime.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl Engine {
    /// An engine that knows nothing yet; see [`open`](Self::open).
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self(Arc::new(Shared::new(ports, settings)))
    }

    /// Reads the vault. Until this has succeeded every request is answered with
    /// [`ErrorKind::Storage`]. A record that cannot be read does not stop the others;
    /// [`status`](Self::status) names it.
    ///
    /// # Errors
    ///
    /// When the vault cannot be read at all.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.0.open().await
    }

    /// A token without interaction. Never signs anybody in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InteractionRequired`] when only a person can help.
    pub async fn silent(
        &self,
        request: SilentRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.0.silent(request).await
    }

    /// A token, with a sign-in shown by `agent`. One sign-in is shown at a time: a request for the
    /// same as one that is under way joins it, any other waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserCanceled`], [`ErrorKind::DeadlineExceeded`] and whatever the authority
    /// says.
    pub async fn interactive(
        &self,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.0.interactive(request, agent).await
    }

    /// Every account in the vault, as this client names its environment.
    ///
    /// # Errors
    ///
    /// When the vault is not open.
    pub fn accounts(&self, client_id: &ClientId) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.0.accounts(client_id)
    }

    /// Removes an account for every client, with its tokens and keys, and then asks the authority
    /// to revoke its refresh tokens. Unknown accounts are no error, nor is an authority that
    /// cannot be reached.
    ///
    /// # Errors
    ///
    /// When the vault cannot be written.
    pub async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError> {
        self.0.sign_out(request).await
    }

    /// One more DPoP proof for an access token that was issued to this client from here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for any other token.
    pub async fn dpop_proof(&self, request: DpopProofRequest) -> Result<String, AcquireTokenError> {
        self.0.dpop_proof(request).await
    }

    /// What is signed in, what binds it, and what is wrong with the vault.
    pub fn status(&self) -> BrokerStatus {
        self.0.status()
    }
}

/// What all flows share.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    vault: RwLock<Vault>,
    /// Held while one list of edits is planned, written and absorbed.
    writing: FairMutex<()>,
    next_sweep: AtomicU64,
    pub(crate) metadata: AuthorityMetadata,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) renewals: SingleFlight<Renewal, Result<Acquired, AcquireTokenError>>,
    /// One renewal per grant at a time: refresh tokens rotate.
    pub(crate) turns: Turns<GrantKey>,
    pub(crate) throttle: Throttle<RequestIdentity>,
    pub(crate) sign_ins: SingleFlight<SignIn, Result<Acquired, AcquireTokenError>>,
    /// The person's attention.
    pub(crate) screen: Semaphore,
}

/// What was read from the vault, and how that went.
struct Vault {
    cache: Cache,
    state: Result<(), StoreError>,
    problems: Vec<String>,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is durable, and the cache shows it.
    Written,
    /// It was given up: what it was based on changed meanwhile.
    Superseded,
}

impl Shared {
    fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            ports,
            settings,
            vault: RwLock::new(Vault {
                cache: Cache::default(),
                state: Err(StoreError::Io("it was not opened yet".to_owned())),
                problems: Vec::new(),
            }),
            writing: FairMutex::default(),
            next_sweep: AtomicU64::new(0),
            metadata: AuthorityMetadata::default(),
            nonces: Arc::default(),
            renewals: SingleFlight::new(Abandoned::Finish),
            turns: Turns::default(),
            throttle: Throttle::default(),
            sign_ins: SingleFlight::new(Abandoned::Cancel),
            screen: Semaphore::new(1),
        }
    }

    async fn open(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let loaded = self.ports.records.load().await;
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(records) => {
                let mut problems = Vec::new();
                let mut entities: Vec<_> = records
                    .into_iter()
                    .filter_map(|record| entity(record).map_err(|why| problems.push(why)).ok())
                    .collect();
                entities.sort_by_key(load_order);
                vault.cache = Cache::default();
                vault
                    .cache
                    .absorb(entities.into_iter().map(Edit::Put).collect());
                vault.problems = problems;
                vault.state = Ok(());
            }
            Err(error) => vault.state = Err(error),
        }
        vault.state.clone()
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.ports.clock.now()
    }

    /// The cache, if the vault is open. The guard must not be kept across an await.
    pub(crate) fn cache(&self) -> Result<impl Deref<Target = Cache> + '_, StoreError> {
        let vault = self.vault.read().unwrap_or_else(PoisonError::into_inner);
        vault.state.clone()?;
        Ok(CacheGuard(vault))
    }

    /// What is wrong with the vault.
    pub(crate) fn problems(&self) -> Vec<String> {
        let vault = self.vault.read().unwrap_or_else(PoisonError::into_inner);
        let state = vault.state.as_ref().err().map(ToString::to_string);
        state
            .into_iter()
            .chain(vault.problems.iter().cloned())
            .collect()
    }

    /// Plans edits on the cache as it is, writes them to the vault, and only then shows them. Runs
    /// to its end whatever becomes of the caller.
    ///
    /// # Errors
    ///
    /// When they could not be written; then nothing changed.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        plan: impl FnOnce(&Cache) -> Option<Vec<Edit>> + Send + 'static,
    ) -> Result<Committed, AcquireTokenError> {
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let writing = shared.writing.lock().await;
            let Some(edits) = shared.planned(plan)? else {
                return Ok(Committed::Superseded);
            };
            let changes = edits.iter().map(Edit::to_change).collect();
            shared.ports.records.apply(changes).await?;
            let released = shared.absorb(edits);
            drop(writing);
            shared.destroy(released).await;
            Ok(Committed::Written)
        });
        task.await
            .unwrap_or_else(|_| Err(panicked("writing to the vault")))
    }

    fn planned(
        &self,
        plan: impl FnOnce(&Cache) -> Option<Vec<Edit>>,
    ) -> Result<Option<Vec<Edit>>, StoreError> {
        let now = self.now();
        let cache = self.cache()?;
        let Some(edits) = plan(&cache) else {
            return Ok(None);
        };
        if now.as_secs() < self.next_sweep.load(Ordering::Relaxed) {
            return Ok(Some(edits));
        }
        self.next_sweep
            .store(now.plus(SWEEP).as_secs(), Ordering::Relaxed);
        // First what has ended: a new token may take the same place.
        let mut all = cache.expired(now);
        all.extend(edits);
        Ok(Some(all))
    }

    fn absorb(&self, edits: Vec<Edit>) -> Vec<KeyRef> {
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        vault.cache.absorb(edits)
    }

    /// Destroys keys nothing refers to. One that cannot be destroyed guards nothing any more.
    pub(crate) async fn destroy(&self, keys: Vec<KeyRef>) {
        for key in keys {
            if let Err(error) = self.ports.keys.delete(&key).await {
                tracing::warn!(%key, %error, "a key that is not needed any more is left behind");
            }
        }
    }
}

struct CacheGuard<'a>(std::sync::RwLockReadGuard<'a, Vault>);

impl Deref for CacheGuard<'_> {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.0.cache
    }
}

/// Reads a record; the error says which one, in plain words.
fn entity(record: Result<Record, StoreError>) -> Result<Entity, String> {
    let record = record.map_err(|error| error.to_string())?;
    format::decode(&record).map_err(|error| {
        let key = &record.key;
        let kind = key.kind.as_str();
        format!(
            "the record {kind} of {} for {:?} cannot be read: {error}",
            key.account, key.client
        )
    })
}

/// A fault of ours.
pub(crate) fn panicked(what: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::Unexpected,
        format!("{what} panicked; this is a bug, please report it"),
    )
}
