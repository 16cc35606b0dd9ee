//! What waits to be written down: a bounded queue between those who answer and the one thread that
//! writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::entry::Entry;

/// How many outcomes wait at most. What comes beyond is counted.
const CAPACITY: usize = 2048;
/// So many are written without waiting for more.
const HURRY: usize = 512;
/// How long cheap ones wait for more, so that a busy broker is interrupted ten times a second and
/// not for each.
const GATHER: Duration = Duration::from_millis(100);

/// Outcomes that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    hurry: bool,
    closed: bool,
}

/// What is taken out of the queue at once.
#[derive(Default)]
pub(super) struct Batch {
    /// The outcomes, in their order.
    pub(super) entries: Vec<Entry>,
    /// How many more there were.
    pub(super) dropped: u64,
    /// Who waits for everything until now to be written.
    pub(super) flushed: Vec<oneshot::Sender<()>>,
}

/// Whether there will be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

impl Queue {
    /// Adds an outcome. Never waits; `false`: there was no room, and it is only counted.
    pub(super) fn push(&self, entry: Entry) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.batch.entries.len() >= CAPACITY {
            waiting.batch.dropped += 1;
            return false;
        }
        let hurry = !entry.is_cheap() || waiting.batch.entries.len() + 1 == HURRY;
        let first = waiting.batch.entries.is_empty();
        waiting.batch.entries.push(entry);
        waiting.hurry |= hurry;
        drop(waiting);
        if first || hurry {
            self.changed.notify_one();
        }
        true
    }

    /// Whether one more would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.lock().batch.entries.len() >= CAPACITY
    }

    /// Says when everything that was added until now is written.
    pub(super) fn flush(&self) -> oneshot::Receiver<()> {
        let (done, flushed) = oneshot::channel();
        self.lock().batch.flushed.push(done);
        self.changed.notify_one();
        flushed
    }

    /// Nothing is added any more. Says when everything that was is written.
    pub(super) fn close(&self) -> oneshot::Receiver<()> {
        let (done, flushed) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.batch.flushed.push(done);
        drop(waiting);
        self.changed.notify_one();
        flushed
    }

    /// Waits for outcomes, for at most `patience` if there is one, and takes all there are.
    pub(super) fn take(&self, patience: Option<Duration>) -> (Batch, More) {
        let waiting = self.lock();
        // A year is as good as for ever.
        let patience = patience.unwrap_or(Duration::from_secs(365 * 86_400));
        let waited = self
            .changed
            .wait_timeout_while(waiting, patience, |waiting| waiting.is_quiet());
        let waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        let mut waiting = if waiting.is_quiet() {
            waiting
        } else {
            let gathered = self
                .changed
                .wait_timeout_while(waiting, GATHER, |waiting| !waiting.is_urgent());
            gathered.unwrap_or_else(PoisonError::into_inner).0
        };
        waiting.hurry = false;
        let more = if waiting.closed { More::No } else { More::Yes };
        (std::mem::take(&mut waiting.batch), more)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_quiet(&self) -> bool {
        self.batch.entries.is_empty() && !self.is_urgent()
    }

    fn is_urgent(&self) -> bool {
        self.hurry || self.closed || !self.batch.flushed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use keyward_broker_ipc::service::{Caller, Via};
    use keyward_client::audit::Source;

    use super::*;

    fn hit() -> Entry {
        let mut entry = Entry::new(
            "acquire_token_silent",
            &Caller::new(1, Some(2), Via::Socket),
        );
        entry.source = Some(Source::Cache);
        entry
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let queue = Queue::default();
        let added = (0..CAPACITY + 7).filter(|_| queue.push(hit())).count();
        assert_eq!(added, CAPACITY);
        assert!(queue.is_full());
        let (batch, more) = queue.take(None);
        assert_eq!((batch.entries.len(), batch.dropped), (CAPACITY, 7));
        assert_eq!(more, More::Yes);
        assert!(!queue.is_full());
    }

    #[test]
    fn cheap_outcomes_are_gathered_and_others_are_not_kept_waiting() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.push(hit());
        assert_eq!(queue.take(None).0.entries.len(), 1);
        assert!(start.elapsed() >= GATHER);

        queue.push(hit());
        let mut renewal = hit();
        renewal.source = Some(Source::Network);
        queue.push(renewal);
        assert!(queue.lock().is_urgent());
        assert_eq!(queue.take(None).0.entries.len(), 2);
        for _ in 0..HURRY {
            queue.push(hit());
        }
        assert!(queue.lock().is_urgent());
        queue.take(None);
        assert!(!queue.lock().is_urgent());
    }

    #[test]
    fn closing_and_flushing_wake_the_writer() {
        let queue = Queue::default();
        let mut flushed = queue.flush();
        let (batch, _) = queue.take(None);
        assert!(flushed.try_recv().is_err());
        for waiting in batch.flushed {
            waiting.send(()).unwrap();
        }
        flushed.try_recv().unwrap();
        queue.push(hit());
        let mut closed = queue.close();
        assert!(!queue.push(hit()));
        let (batch, more) = queue.take(None);
        assert_eq!((batch.entries.len(), more), (1, More::No));
        assert_eq!(batch.flushed.len(), 1);
        assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn waiting_for_nothing_ends() {
        let (batch, more) = Queue::default().take(Some(Duration::from_millis(1)));
        assert_eq!((batch.entries.len(), more), (0, More::Yes));
    }
}
