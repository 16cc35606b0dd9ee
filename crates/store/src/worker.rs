//! The thread that works with the database. SQLite waits for the disk and devices take their time;
//! nobody else has to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use keyward_client::binding::KeyProtection;
use keyward_client::manage::{VaultRepair, VaultReport};
use keyward_client::ports::{Change, Record, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::KeyProvider;
use crate::database::Database;
use crate::machine::StateFolder;
use crate::place::Place;
use crate::scan::{Found, Scan};

/// How many changes may wait for the disk before those who bring more wait as well.
const WAITING: usize = 64;

/// Plenty for SQLite, which recurses nowhere here, and for what wraps data keys.
const STACK: usize = 512 * 1024;

/// A few records, or why there are no more.
pub(crate) type Batch = Result<Vec<Result<Record, StoreError>>, StoreError>;

/// What the thread is asked to do.
pub(crate) enum Job {
    Load(mpsc::Sender<Batch>),
    Apply(Vec<Change>, oneshot::Sender<Result<(), StoreError>>),
    RemoveAll(oneshot::Sender<Result<(), StoreError>>),
    EndEpoch(oneshot::Sender<Result<(), StoreError>>),
    GiveUpLost(KeyProtection, oneshot::Sender<Result<bool, StoreError>>),
    Check(oneshot::Sender<Result<VaultReport, StoreError>>),
    Repair {
        dry_run: bool,
        answer: oneshot::Sender<Result<VaultRepair, StoreError>>,
    },
}

/// A vault at work.
pub(crate) struct Worker {
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) database: Shared,
    pub(crate) thread: JoinHandle<()>,
}

/// The database, which whoever reads a single record may use as well.
pub(crate) type Shared = Arc<Mutex<Option<Database>>>;

/// Starts the thread and waits until the vault is open.
pub(crate) fn start(
    folder: StateFolder,
    providers: Vec<KeyProvider>,
) -> Result<Worker, StoreError> {
    let (jobs, queue) = mpsc::channel(WAITING);
    let (opened, is_open) = std::sync::mpsc::sync_channel(1);
    let database = Shared::default();
    let shared = Arc::clone(&database);
    let thread = thread::Builder::new()
        .name("keyward-vault".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let open = Place::open(&folder).and_then(|place| Database::open(place, providers));
            match open {
                Ok(open) => {
                    *held(&shared) = Some(open);
                    let _ = opened.send(Ok(()));
                    work(&shared, queue);
                    drop(held(&shared).take());
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })
        .map_err(|error| StoreError::Io(format!("cannot start the vault's thread: {error}")))?;
    is_open.recv().unwrap_or_else(|_| Err(ended()))?;
    Ok(Worker {
        jobs,
        database,
        thread,
    })
}

/// The database while it is used.
pub(crate) fn held(shared: &Shared) -> MutexGuard<'_, Option<Database>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works until nobody can ask any more. Whoever stopped waiting for an answer still gets the work
/// done: a rotated refresh token has no second copy.
fn work(shared: &Shared, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        match job {
            Job::Load(batches) => load(shared, &batches),
            Job::Apply(changes, answer) => {
                drop(answer.send(with(shared, |database| database.apply(&changes))));
            }
            Job::RemoveAll(answer) => {
                drop(answer.send(with(shared, Database::remove_all)));
            }
            Job::EndEpoch(answer) => {
                drop(answer.send(with(shared, Database::end_epoch)));
            }
            Job::GiveUpLost(protection, answer) => {
                let give_up = |database: &mut Database| Ok(database.give_up_lost(protection));
                drop(answer.send(with(shared, give_up)));
            }
            Job::Check(answer) => drop(answer.send(with(shared, Database::check))),
            Job::Repair { dry_run, answer } => {
                let repair = if dry_run {
                    Database::rehearse_repair
                } else {
                    Database::repair
                };
                drop(answer.send(with(shared, repair)));
            }
        }
    }
}

/// Reads everything, a few records at a time. The database is not held while they are waited for.
fn load(shared: &Shared, batches: &mpsc::Sender<Batch>) {
    let begun = with(shared, Database::open_data_keys);
    if let Err(error) = begun {
        drop(batches.blocking_send(Err(error)));
        return;
    }
    let mut scan = Scan::new();
    loop {
        match with(shared, |database| scan.next(database)) {
            Ok(found) if found.is_empty() => break,
            Ok(found) => {
                let records = found.into_iter().filter_map(Found::into_record);
                // Whoever does not wait any more needs no more.
                if batches.blocking_send(Ok(records.collect())).is_err() {
                    return;
                }
            }
            Err(error) => {
                drop(batches.blocking_send(Err(error)));
                return;
            }
        }
    }
    let problems = with(shared, |database| Ok(database.after(&scan)));
    drop(batches.blocking_send(problems));
}

fn with<T>(
    shared: &Shared,
    job: impl FnOnce(&mut Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    held(shared).as_mut().map_or_else(|| Err(ended()), job)
}

/// The thread is gone, which happens only if it panicked.
pub(crate) fn ended() -> StoreError {
    StoreError::Io("the vault's thread has ended; restart keywardd".to_owned())
}
