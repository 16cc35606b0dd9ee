//! The authority's clock, a port so that tests can turn it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyward_oauth::time::UnixTime;

/// Tells the authority what time it is.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixTime;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixTime::from_secs(since_epoch.as_secs())
    }
}

/// A clock that stands still until it is turned.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `time`.
    pub const fn new(time: UnixTime) -> Self {
        Self(AtomicU64::new(time.as_secs()))
    }

    /// Turns the clock forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(span.as_secs(), Ordering::SeqCst);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, time: UnixTime) {
        self.0.store(time.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// `time` moved by a signed number of seconds; stops at the epoch.
pub(crate) fn skewed(time: UnixTime, seconds: i64) -> UnixTime {
    UnixTime::from_secs(time.as_secs().saturating_add_signed(seconds))
}
