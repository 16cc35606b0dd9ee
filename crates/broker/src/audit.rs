//! The record of outcomes: who asked for what, what was decided, and what came of it. The format is
//! [`keyward_client::audit`]; where it goes is `[audit]` of the configuration.
//!
//! ```text
//! answer ──▶ queue (bounded) ──▶ one thread ──▶ file, or journal
//! ```
//!
//! Whoever answers only puts what there is already into the queue; the thread takes it out ten times
//! a second, or at once where an authority or a person took part. What there is no room for, in the
//! queue or on the disk, is counted, and the next record says how much it was.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyward_client::audit::{AuditPage, AuditQuery};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_config::{Audit as Settings, AuditDestination, Setting};
use keyward_keystore::Pseudonyms;
use tokio::sync::watch;

mod entry;
mod file;
mod flood;
mod journal;
mod queue;
mod reader;
mod writer;

pub(crate) use entry::{Decision, Entry, error_code};

use file::{Trail, TrailFile};
use flood::Flood;
use journal::Journal;
use queue::Queue;
use writer::{Sink, Writer};

/// How long a reader waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// The folder of the record, below the state folder.
const FOLDER: &str = "audit";

/// The record of outcomes. Dropped, it writes what is still waiting.
pub(crate) struct Audit {
    shared: Arc<Shared>,
    to: To,
    required: Setting<bool>,
}

/// Where it goes.
#[derive(Clone, Debug)]
enum To {
    File(Trail),
    Journal,
    Nowhere,
}

/// What the writing thread shares with everybody.
#[derive(Default)]
struct Shared {
    queue: Queue,
    /// The number of the last record.
    last: AtomicU64,
    /// Whether the last attempt to write failed.
    failing: AtomicBool,
    problem: Mutex<Option<String>>,
    /// Where it goes, for messages.
    place: String,
}

impl Audit {
    /// Begins to record, in `state_dir` where it is a file. `in_use` is kept until everything is
    /// written.
    ///
    /// Never fails: what cannot be recorded is a [`problem`](Self::problem).
    pub(crate) fn start(settings: &Settings, state_dir: &Path, in_use: watch::Sender<()>) -> Self {
        let folder = state_dir.join(FOLDER);
        let to = match settings.to.value {
            AuditDestination::Off => To::Nowhere,
            AuditDestination::Journald => To::Journal,
            AuditDestination::File => To::File(Trail {
                folder: folder.clone(),
                largest: u64::from(settings.file_mib.value) << 20,
                files: settings.files.value,
            }),
        };
        let place = match &to {
            To::File(trail) => trail.file(0).display().to_string(),
            To::Journal => "the journal".to_owned(),
            To::Nowhere => format!("nowhere (audit.to, {})", settings.to.origin),
        };
        let shared = Arc::new(Shared {
            place,
            ..Shared::default()
        });
        let audit = Self {
            shared: Arc::clone(&shared),
            required: settings.required.clone(),
            to,
        };
        let sink = match &audit.to {
            To::File(trail) => Sink::File(TrailFile::new(trail.clone())),
            To::Journal => Sink::Journal(Journal::new()),
            To::Nowhere => return audit,
        };
        audit.write_to(sink, &folder, in_use);
        audit
    }

    fn write_to(&self, sink: Sink, folder: &Path, in_use: watch::Sender<()>) {
        let pseudonyms = Pseudonyms::open(folder)
            .inspect_err(|error| tracing::warn!(%error, "accounts are left out of the records"))
            .ok();
        let mut writer = Writer {
            shared: Arc::clone(&self.shared),
            sink,
            folder: folder.to_owned(),
            pseudonyms,
            flood: Flood::new(Instant::now()),
            seq: 0,
            lost: 0,
            _in_use: in_use,
        };
        match writer.ready() {
            Ok(last) => {
                writer.seq = last;
                self.shared.last.store(last, Ordering::Release);
            }
            Err(error) => self.shared.tell(Some(&error), 0),
        }
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run());
        if let Err(error) = thread {
            self.shared.tell(Some(&error), 0);
        }
    }

    /// Records an outcome. Never waits.
    pub(crate) fn record(&self, entry: Entry) {
        if !matches!(self.to, To::Nowhere) {
            self.shared.queue.push(entry);
        }
    }

    /// Whether anything is recorded at all.
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self.to, To::Nowhere)
    }

    /// Whether requests may be answered: always, unless the configuration demands that each is
    /// recorded and that is not possible.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`], with what is wrong.
    pub(crate) fn admit(&self) -> Result<(), AcquireTokenError> {
        if !self.required.value {
            return Ok(());
        }
        let why = if !self.is_on() {
            format!("they go to {}", self.shared.place)
        } else if self.shared.failing.load(Ordering::Acquire) {
            self.problem().unwrap_or_default()
        } else if self.shared.queue.is_full() {
            "too many wait to be written".to_owned()
        } else {
            return Ok(());
        };
        Err(AcquireTokenError::new(
            ErrorKind::Storage,
            format!(
                "{} demands that outcomes are recorded (audit.required), and they cannot be: {why}",
                self.required.origin
            ),
        ))
    }

    /// What is wrong, in plain words.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = self.shared.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records nothing more. Ready when everything that was recorded is written.
    pub(crate) async fn close(&self) {
        let closed = self.shared.queue.close();
        if self.is_on() {
            let _ = tokio::time::timeout(PATIENCE, closed).await;
        }
    }

    /// Says when everything that was recorded until now is written.
    async fn flush(&self) {
        let flushed = self.shared.queue.flush();
        // A disk that does not answer keeps nobody from what is there.
        let _ = tokio::time::timeout(PATIENCE, flushed).await;
    }

    /// The records that fit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotSupported`] where they are not kept here, with where they are;
    /// [`ErrorKind::Storage`] when they cannot be read.
    pub(crate) async fn page(&self, query: AuditQuery) -> Result<AuditPage, AcquireTokenError> {
        let trail = match &self.to {
            To::File(trail) => trail.clone(),
            To::Journal => {
                return Err(elsewhere(
                    "outcomes are recorded in the journal: run journalctl -t keywardd \
                     KEYWARD_AUDIT=1 -o json",
                ));
            }
            To::Nowhere => {
                let message = format!("outcomes are recorded {}", self.shared.place);
                return Err(elsewhere(message));
            }
        };
        self.flush().await;
        let last = self.shared.last.load(Ordering::Acquire);
        if query.after.is_some_and(|after| after >= last) {
            return Ok(AuditPage {
                last,
                ..AuditPage::default()
            });
        }
        let read = tokio::task::spawn_blocking(move || reader::page(&trail, &query, last)).await;
        read.map_err(io::Error::other)
            .and_then(|page| page)
            .map_err(|error| {
                let message = format!("{} cannot be read: {error}", self.shared.place);
                AcquireTokenError::new(ErrorKind::Storage, message)
            })
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Whoever waits for `in_use` waits for the rest.
        drop(self.shared.queue.close());
    }
}

impl Shared {
    /// Takes note of how writing went, and says so where that changes.
    fn tell(&self, error: Option<&io::Error>, lost: u64) {
        let was_failing = self.failing.swap(error.is_some(), Ordering::AcqRel);
        match error {
            Some(error) if !was_failing => {
                tracing::warn!(%error, place = self.place, "outcomes cannot be recorded");
            }
            None if was_failing => tracing::info!("outcomes are recorded again"),
            _ => {}
        }
        let problem = error.map(|error| {
            format!(
                "outcomes cannot be recorded in {}: {error} ({lost} not recorded)",
                self.place
            )
        });
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

fn elsewhere(message: impl Into<String>) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::NotSupported, message)
}

#[cfg(test)]
mod tests;
