//! The thread that owns the database. SQLite waits for the disk; nobody else has to.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use keyward_client::ports::{Change, Record, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::KeyWrap;
use crate::database::Database;
use crate::place::Place;

/// How many changes may wait for the disk before those who bring more wait as well.
const WAITING: usize = 64;

/// Plenty for SQLite, which recurses nowhere here.
const STACK: usize = 512 * 1024;

/// What the thread is asked to do.
pub(crate) enum Job {
    Load(oneshot::Sender<Result<Vec<Result<Record, StoreError>>, StoreError>>),
    Apply(Vec<Change>, oneshot::Sender<Result<(), StoreError>>),
}

/// Starts the thread and waits until the vault is open.
pub(crate) fn start(
    folder: PathBuf,
    wrap: Box<dyn KeyWrap>,
) -> Result<(mpsc::Sender<Job>, JoinHandle<()>), StoreError> {
    let (jobs, queue) = mpsc::channel(WAITING);
    let (opened, is_open) = std::sync::mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name("keyward-vault".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let database = Place::open(&folder).and_then(|place| Database::open(place, &*wrap));
            drop(wrap);
            match database {
                Ok(database) => {
                    let _ = opened.send(Ok(()));
                    work(database, queue);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })
        .map_err(|error| StoreError::Io(format!("cannot start the vault's thread: {error}")))?;
    is_open.recv().unwrap_or_else(|_| Err(ended()))?;
    Ok((jobs, thread))
}

/// Works until nobody can ask any more. Whoever stopped waiting for an answer still gets the work
/// done: a rotated refresh token has no second copy.
fn work(mut database: Database, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        match job {
            Job::Load(answer) => drop(answer.send(database.load())),
            Job::Apply(changes, answer) => drop(answer.send(database.apply(&changes))),
        }
    }
}

/// The thread is gone, which happens only if it panicked.
pub(crate) fn ended() -> StoreError {
    StoreError::Io("the vault's thread has ended; restart keywardd".to_owned())
}
