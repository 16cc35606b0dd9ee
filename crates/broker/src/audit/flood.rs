//! Keeps a flood of answers that cost nothing from pushing everything else out of the record: past
//! a budget, outcomes that are alike are counted and written once.

use std::time::{Duration, Instant};

use keyward_broker_ipc::rate::{Bucket, Rate};

use super::entry::Entry;

/// So many cheap outcomes are written one by one after a quiet time.
const BURST: u32 = 20_000;
/// And so many a second in the long run.
const PER_SECOND: f64 = 5.0;
/// How long outcomes are counted before they are written.
const COUNT_FOR: Duration = Duration::from_secs(10);
/// How many kinds of outcomes are counted apart; a flood that is never like itself is only counted
/// as lost.
const KINDS: usize = 64;

/// What is written now, and what is counted.
pub(super) struct Flood {
    rate: Rate,
    bucket: Bucket,
    counted: Vec<(Entry, u64)>,
    since: Option<Instant>,
}

/// What becomes of an outcome.
pub(super) enum Passed {
    /// It is written.
    Write(Box<Entry>),
    /// It is counted with others like it.
    Counted,
    /// There is no room for its kind.
    Lost,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self::with(Rate::new(BURST, PER_SECOND), now)
    }

    fn with(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            bucket: Bucket::full(rate, now),
            counted: Vec::new(),
            since: None,
        }
    }

    /// Decides about one outcome.
    pub(super) fn pass(&mut self, entry: Entry, now: Instant) -> Passed {
        if !entry.is_cheap() || self.bucket.take(self.rate, now).is_ok() {
            return Passed::Write(Box::new(entry));
        }
        let alike = self
            .counted
            .iter_mut()
            .find(|(other, _)| other.is_like(&entry));
        if let Some((kept, count)) = alike {
            *count += 1;
            *kept = entry;
            return Passed::Counted;
        }
        if self.counted.len() == KINDS {
            return Passed::Lost;
        }
        self.counted.push((entry, 1));
        self.since.get_or_insert(now);
        Passed::Counted
    }

    /// How long until what was counted is to be written. `None`: nothing is.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        let since = self.since?;
        Some((since + COUNT_FOR).saturating_duration_since(now))
    }

    /// What was counted, if it is time to write it: the last outcome of each kind, and how many
    /// there were.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Entry, u64)> {
        match self.patience(now) {
            Some(Duration::ZERO) => self.rest(),
            _ => Vec::new(),
        }
    }

    /// What was counted.
    pub(super) fn rest(&mut self) -> Vec<(Entry, u64)> {
        self.since = None;
        std::mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use keyward_broker_ipc::service::{Caller, Via};
    use keyward_client::audit::Source;

    use super::*;

    fn hit(pid: u32) -> Entry {
        let mut entry = Entry::new(
            "acquire_token_silent",
            &Caller::new(1, Some(pid), Via::Socket),
        );
        entry.source = Some(Source::Cache);
        entry
    }

    fn written(flood: &mut Flood, entry: Entry, now: Instant) -> bool {
        matches!(flood.pass(entry, now), Passed::Write(_))
    }

    #[test]
    fn a_flood_is_counted_and_what_costs_something_is_not() {
        let start = Instant::now();
        let mut flood = Flood::with(Rate::new(2, 0.001), start);
        assert!(written(&mut flood, hit(1), start));
        assert!(written(&mut flood, hit(1), start));
        for _ in 0..5 {
            assert!(!written(&mut flood, hit(1), start));
        }
        assert!(!written(&mut flood, hit(2), start));
        let mut renewal = hit(1);
        renewal.source = Some(Source::Network);
        assert!(written(&mut flood, renewal, start));

        assert_eq!(flood.patience(start), Some(COUNT_FOR));
        assert!(flood.due(start).is_empty());
        let due = flood.due(start + COUNT_FOR);
        let counts: Vec<_> = due.iter().map(|(of, n)| (of.caller.pid, *n)).collect();
        assert_eq!(counts, [(Some(1), 5), (Some(2), 1)]);
        assert_eq!(flood.patience(start + COUNT_FOR), None);
    }

    #[test]
    fn a_flood_that_is_never_like_itself_takes_bounded_room() {
        let start = Instant::now();
        let mut flood = Flood::with(Rate::new(1, 0.001), start);
        written(&mut flood, hit(0), start);
        let lost = (0..1000).filter(|pid| matches!(flood.pass(hit(*pid), start), Passed::Lost));
        assert_eq!(lost.count(), 1000 - KINDS);
        assert_eq!(flood.rest().len(), KINDS);
    }
}
