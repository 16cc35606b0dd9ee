//! The one thread that writes outcomes down, so that nobody who answers ever waits for a disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use keyward_client::audit::AuditRecord;
use keyward_keystore::Pseudonyms;
use tokio::sync::watch;

use super::Shared;
use super::file::TrailFile;
use super::flood::{Flood, Passed};
use super::journal::Journal;
use super::queue::{Batch, More};

/// Where records go.
pub(super) enum Sink {
    File(TrailFile),
    Journal(Journal),
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    /// The folder of the key of the accounts' names.
    pub(super) folder: PathBuf,
    pub(super) pseudonyms: Option<Pseudonyms>,
    pub(super) flood: Flood,
    /// The number of the last record.
    pub(super) seq: u64,
    /// Outcomes since the last record that have none.
    pub(super) lost: u64,
    /// Dropped when everything is written.
    pub(super) _in_use: watch::Sender<()>,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let patience = self.flood.patience(Instant::now());
            let (batch, more) = self.shared.queue.take(patience);
            let flushed = self.records_of(batch, more);
            for done in flushed {
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            if more == More::No {
                break;
            }
        }
        if let Sink::File(file) = &mut self.sink {
            let _ = file.sync();
        }
        if self.lost > 0 {
            tracing::warn!(lost = self.lost, "outcomes were not recorded");
        }
    }

    /// Writes what a batch holds, and what was counted if it is time. Returns who waits for it.
    fn records_of(&mut self, batch: Batch, more: More) -> Vec<tokio::sync::oneshot::Sender<()>> {
        let now = Instant::now();
        if self.pseudonyms.is_none() {
            // What kept it from being opened may be mended.
            self.pseudonyms = Pseudonyms::open(&self.folder).ok();
        }
        self.lost += batch.dropped;
        let mut records = Vec::with_capacity(batch.entries.len());
        for entry in batch.entries {
            match self.flood.pass(entry, now) {
                Passed::Write(entry) => records.push(entry.record(self.pseudonyms.as_ref())),
                Passed::Counted => {}
                Passed::Lost => self.lost += 1,
            }
        }
        let counted = match more {
            More::Yes => self.flood.due(now),
            More::No => self.flood.rest(),
        };
        for (entry, count) in counted {
            let mut record = entry.record(self.pseudonyms.as_ref());
            record.repeated = count - 1;
            records.push(record);
        }
        if !records.is_empty() {
            self.write(records);
        }
        batch.flushed
    }

    fn write(&mut self, mut records: Vec<AuditRecord>) {
        let (written, outcome) = self.attempt(&mut records);
        let lost = records.split_off(written);
        if written > 0 {
            self.lost = 0;
        }
        self.lost += lost.iter().map(|record| record.repeated + 1).sum::<u64>();
        self.shared.last.store(self.seq, Ordering::Release);
        self.shared.tell(outcome.err().as_ref(), self.lost);
    }

    /// Numbers the records and writes them. How many were written, and why not all.
    fn attempt(&mut self, records: &mut [AuditRecord]) -> (usize, io::Result<()>) {
        match self.ready() {
            Ok(last) => self.seq = self.seq.max(last),
            Err(error) => return (0, Err(error)),
        }
        // What was lost leaves a gap.
        self.seq += self.lost;
        for record in &mut *records {
            self.seq += 1;
            record.seq = self.seq;
        }
        if let Some(first) = records.first_mut() {
            first.lost = self.lost;
        }
        match &mut self.sink {
            Sink::File(file) => match file.write(records) {
                Ok(()) => (records.len(), Ok(())),
                Err(error) => {
                    self.seq -= records.len() as u64 + self.lost;
                    (0, Err(error))
                }
            },
            Sink::Journal(journal) => journal.write(records),
        }
    }

    /// Makes ready for writing. The number of the last record that is there.
    pub(super) fn ready(&mut self) -> io::Result<u64> {
        match &mut self.sink {
            Sink::File(file) => Ok(file.ready()?.unwrap_or(self.seq)),
            Sink::Journal(journal) => journal.ready().map(|()| self.seq),
        }
    }
}
