//! The vault with the cache before it: what is shown is durable, what is durable is shown.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex as FairMutex;

use crate::cache::entity::Entity;
use crate::cache::{Cache, Edit, format, load_order};
use crate::engine::panicked;
use crate::error::AcquireTokenError;
use crate::ports::{KeyRef, Ports, Record, StoreError};

mod sealed;

use sealed::Sealed;

/// How often access tokens that ended are looked for in the whole cache.
const SWEEP: Duration = Duration::from_secs(600);

/// Everything kept, in memory and in the store.
pub(crate) struct Vault {
    ports: Ports,
    contents: RwLock<Contents>,
    /// Held while one list of edits is planned, written and absorbed. Holds rotated refresh tokens
    /// that could not be written, until they can: the authority knows none but these.
    writing: FairMutex<Vec<Edit>>,
    next_sweep: AtomicU64,
}

/// What was read, and how that went.
struct Contents {
    cache: Cache,
    state: Result<(), StoreError>,
    problems: Vec<String>,
    sealed: Sealed,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is durable, and the cache shows it.
    Written,
    /// It was given up: what it was based on changed meanwhile.
    Superseded,
}

/// What becomes of refresh tokens that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// They go: the person can sign in again.
    Forget,
    /// They are written before anything else is: they replace one that is used up.
    Keep,
}

impl Vault {
    pub(crate) fn new(ports: Ports) -> Self {
        Self {
            ports,
            contents: RwLock::new(Contents {
                cache: Cache::default(),
                state: Err(StoreError::Io("it was not opened yet".to_owned())),
                problems: Vec::new(),
                sealed: Sealed::default(),
            }),
            writing: FairMutex::default(),
            next_sweep: AtomicU64::new(0),
        }
    }

    /// Reads everything.
    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let loaded = self.load().await;
        let mut contents = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        contents.state = loaded.map(|loaded| contents.fill(loaded));
        contents.state.clone()
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let mut each = |record| match entity(record) {
            Ok(entity) => loaded.entities.push(entity),
            Err(why) => loaded.problems.push(why),
        };
        self.ports.records.load(&mut each).await?;
        loaded.entities.sort_by_key(load_order);
        Ok(loaded)
    }

    /// The cache, if the vault is open. The guard must not be kept across an await.
    pub(crate) fn cache(&self) -> Result<CacheGuard<'_>, StoreError> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.state.clone()?;
        Ok(CacheGuard(contents))
    }

    /// What is wrong, in plain words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        let broken = contents.state.as_ref().err().map(ToString::to_string);
        let problems = contents.problems.iter().cloned();
        let sealed = contents.sealed.problems();
        broken.into_iter().chain(sealed).chain(problems).collect()
    }

    /// Plans edits on the cache as it is, writes them, and only then shows them. A plan that gives
    /// none is given up. Runs to its end whatever becomes of the caller.
    ///
    /// # Errors
    ///
    /// When they could not be written; then nothing changed.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        unwritten: Unwritten,
        plan: impl FnOnce(&Cache) -> Option<Vec<Edit>> + Send + 'static,
    ) -> Result<Committed, AcquireTokenError> {
        let vault = Arc::clone(self);
        let task = tokio::spawn(async move { vault.committed(unwritten, plan).await });
        task.await
            .unwrap_or_else(|_| Err(panicked("writing to the vault")))
    }

    /// Writes what an earlier commit had to leave.
    ///
    /// # Errors
    ///
    /// When it still cannot be written.
    pub(crate) async fn write_what_is_left(self: &Arc<Self>) -> Result<(), AcquireTokenError> {
        let nothing_new = |_: &Cache| None;
        self.commit(Unwritten::Forget, nothing_new).await.map(drop)
    }

    /// Removes every record, readable or not.
    ///
    /// # Errors
    ///
    /// When they are not removed; then nothing changed.
    pub(crate) async fn remove_all(&self) -> Result<(), StoreError> {
        let mut left = self.writing.lock().await;
        self.ports.records.remove_all().await?;
        left.clear();
        let mut contents = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        contents.fill(Loaded::default());
        Ok(())
    }

    /// Lets no earlier copy of the records pass any more.
    ///
    /// # Errors
    ///
    /// When one still may.
    pub(crate) async fn end_epoch(&self) -> Result<(), StoreError> {
        self.ports.records.end_epoch().await
    }

    async fn committed(
        &self,
        unwritten: Unwritten,
        plan: impl FnOnce(&Cache) -> Option<Vec<Edit>>,
    ) -> Result<Committed, AcquireTokenError> {
        let mut left = self.writing.lock().await;
        let mut released = self.write(&left).await?;
        left.clear();
        let planned = plan(&*self.cache()?);
        let committed = match planned {
            Some(edits) => {
                let written = self.write(&self.with_sweep(edits.clone())?).await;
                if written.is_err() && unwritten == Unwritten::Keep {
                    left.extend(edits.into_iter().filter(Edit::is_refresh_token));
                }
                released.extend(written?);
                Committed::Written
            }
            None => Committed::Superseded,
        };
        drop(left);
        self.destroy(released).await;
        Ok(committed)
    }

    /// Makes edits durable, then shows them. Returns the keys nothing refers to any more.
    async fn write(&self, edits: &[Edit]) -> Result<Vec<KeyRef>, StoreError> {
        if edits.is_empty() {
            return Ok(Vec::new());
        }
        // What goes along with a token is sealed as it is: without one the other is of no use.
        let with_token = edits.iter().find_map(Edit::protection);
        let protection = with_token.unwrap_or_else(|| self.ports.keys.protection());
        let changes = edits.iter().map(|edit| edit.to_change(protection));
        let changes = changes.collect();
        self.ports.records.apply(changes).await?;
        let mut contents = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(contents.cache.absorb(edits.to_vec()))
    }

    /// From time to time, what has ended goes along.
    fn with_sweep(&self, edits: Vec<Edit>) -> Result<Vec<Edit>, StoreError> {
        let now = self.ports.clock.now();
        let due = self.next_sweep.load(Ordering::Relaxed);
        let soon = now.plus(SWEEP).as_secs();
        // A clock that went back must not put off the next sweep for years.
        if now.as_secs() < due && due <= soon {
            return Ok(edits);
        }
        self.next_sweep.store(soon, Ordering::Relaxed);
        // First what has ended: a new token may take the same place.
        let mut all = self.cache()?.expired(now);
        all.extend(edits);
        Ok(all)
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

/// What was read.
#[derive(Default)]
struct Loaded {
    /// In the order in which a cache takes them.
    entities: Vec<Entity>,
    problems: Vec<StoreError>,
}

impl Contents {
    fn fill(&mut self, loaded: Loaded) {
        self.cache = Cache::default();
        let entities = loaded.entities.into_iter();
        self.cache.absorb(entities.map(Edit::Put).collect());
        self.note(loaded.problems);
    }

    fn note(&mut self, problems: Vec<StoreError>) {
        let (sealed, problems) = Sealed::among(problems);
        self.sealed = sealed;
        self.problems = problems.iter().map(ToString::to_string).collect();
    }
}

/// The cache while it is looked at.
pub(crate) struct CacheGuard<'a>(RwLockReadGuard<'a, Contents>);

impl Deref for CacheGuard<'_> {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.0.cache
    }
}

/// Reads a record; the error says which one, in plain words.
fn entity(record: Result<Record, StoreError>) -> Result<Entity, StoreError> {
    let record = record?;
    format::decode(&record).map_err(|error| {
        let key = &record.key;
        let (kind, account, client) = (key.kind.as_str(), &key.account, &key.client);
        StoreError::Unreadable {
            record: format!("{kind} of {account} for client {client:?}"),
            reason: error.to_string(),
        }
    })
}

#[cfg(test)]
mod tests;
