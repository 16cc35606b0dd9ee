//! The vault as others see it.

use std::fmt;
use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use keyward_client::ports::{Change, Record, RecordStore, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::KeyWrap;
use crate::worker::{self, Job};

/// An open vault. Dropping it waits until everything asked for is written.
pub struct Vault {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Vault {
    /// Opens the vault in a folder, making folder and vault if there are none. Blocks for some
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another process holds it; [`StoreError::Damaged`] when it cannot
    /// be trusted or is of a newer format; otherwise what keeps it from being used. Nothing was
    /// written then.
    pub fn open(folder: &Path, wrap: Box<dyn KeyWrap>) -> Result<Self, StoreError> {
        let (jobs, thread) = worker::start(folder.to_owned(), wrap)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(worker::ended)?;
        jobs.send(job(sender)).await.map_err(|_| worker::ended())?;
        answer.await.map_err(|_| worker::ended())
    }
}

#[async_trait]
impl RecordStore for Vault {
    async fn load(
        &self,
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<(), StoreError> {
        let records = self.ask(Job::Load).await??;
        records.into_iter().for_each(each);
        Ok(())
    }

    /// Earlier copies pass: nothing here counts epochs.
    async fn end_epoch(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.ask(|answer| Job::Apply(changes, answer)).await?
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
