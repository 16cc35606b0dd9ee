//! The vault as others see it.

use std::fmt;
use std::thread::JoinHandle;

use async_trait::async_trait;
use keyward_client::binding::KeyProtection;
use keyward_client::manage::{VaultRepair, VaultReport};
use keyward_client::ports::{Change, Record, RecordKey, RecordStore, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::machine::StateFolder;
use crate::provider::KeyProvider;
use crate::worker::{self, Job, Shared, Worker};

/// How many batches of records wait for whoever loads them.
const READ_AHEAD: usize = 2;

/// An open vault. Dropping it waits until everything asked for is written.
pub struct Vault {
    jobs: Option<mpsc::Sender<Job>>,
    database: Shared,
    thread: Option<JoinHandle<()>>,
}

impl Vault {
    /// Opens the vault in a folder, making folder and vault if there are none. Blocks: for some
    /// milliseconds, and for as long as the devices take that open its data keys.
    ///
    /// Records whose provider is not among these, or cannot be used, are not served; the others
    /// are.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another process holds it; [`StoreError::Damaged`] when it cannot
    /// be trusted or is of a newer format; [`StoreError::RolledBack`] when it is older than a
    /// device remembers; [`StoreError::KeyUnavailable`] when nothing in it can be opened for now.
    /// No record was touched then.
    pub fn open(folder: &StateFolder, providers: Vec<KeyProvider>) -> Result<Self, StoreError> {
        let worker = worker::start(folder.clone(), providers)?;
        let Worker {
            jobs,
            database,
            thread,
        } = worker;
        Ok(Self {
            jobs: Some(jobs),
            database,
            thread: Some(thread),
        })
    }

    /// Reads one record; `None` if there is none. Blocks, for one reading from the disk or for what
    /// is being written meanwhile.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        match worker::held(&self.database).as_mut() {
            Some(database) => database.get(key),
            None => Err(worker::ended()),
        }
    }

    /// Reads everything and says what is damaged.
    ///
    /// # Errors
    ///
    /// When it cannot be read for another reason than damage.
    pub async fn check(&self) -> Result<VaultReport, StoreError> {
        self.ask(Job::Check).await?
    }

    /// Puts a clean vault in the place of a damaged one, with every record that can be read or may
    /// be read later; the damaged one is kept aside. With `dry_run` it only says what would be
    /// lost.
    ///
    /// # Errors
    ///
    /// When nothing was replaced.
    pub async fn repair(&self, dry_run: bool) -> Result<VaultRepair, StoreError> {
        self.ask(|answer| Job::Repair { dry_run, answer }).await?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        self.send(job(sender)).await?;
        answer.await.map_err(|_| worker::ended())
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(worker::ended)?;
        jobs.send(job).await.map_err(|_| worker::ended())
    }
}

#[async_trait]
impl RecordStore for Vault {
    async fn load(
        &self,
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<(), StoreError> {
        let (sender, mut batches) = mpsc::channel(READ_AHEAD);
        self.send(Job::Load(sender)).await?;
        while let Some(batch) = batches.recv().await {
            batch?.into_iter().for_each(&mut *each);
        }
        Ok(())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.ask(|answer| Job::Apply(changes, answer)).await?
    }

    async fn remove_all(&self) -> Result<(), StoreError> {
        self.ask(Job::RemoveAll).await?
    }

    async fn end_epoch(&self) -> Result<(), StoreError> {
        self.ask(Job::EndEpoch).await?
    }

    async fn give_up_lost(&self, protection: KeyProtection) -> Result<bool, StoreError> {
        self.ask(|answer| Job::GiveUpLost(protection, answer))
            .await?
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It panicked or it did not; the database is consistent either way.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}
