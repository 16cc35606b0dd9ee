//! How much one caller may ask for over time: a token bucket for each. The buckets of callers who
//! are quiet are forgotten, so their number is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyward_client::error::{AcquireTokenError, ErrorKind};

use crate::service::{Caller, Via};

/// How many callers are remembered. Whoever is forgotten begins with a full bucket again, so the
/// fullest go first.
const CALLERS: usize = 1024;

/// One, but for what adding up fractions loses.
const ONE: f64 = 1.0 - 1e-6;

/// How much may be taken at once, and how fast it grows again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    burst: f64,
    per_second: f64,
}

impl Rate {
    /// This much at once, and afterwards this much a second.
    pub fn new(burst: u32, per_second: f64) -> Self {
        Self {
            burst: f64::from(burst),
            per_second,
        }
    }
}

/// What is left for one caller.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Of a caller who was quiet.
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self {
            level: rate.burst,
            at: now,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.check(rate, now)?;
        self.level -= 1.0;
        Ok(())
    }

    /// Whether there is one to take.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn check(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.level >= ONE {
            return Ok(());
        }
        let seconds = (1.0 - self.level) / rate.per_second;
        Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// Takes one, whether it is there or not: what was done is paid for afterwards.
    pub fn charge(&mut self, rate: Rate, now: Instant) {
        self.fill(rate, now);
        self.level -= 1.0;
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }
}

/// Which callers are one: those of one process, as far as the transport tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Process { uid: u32, pid: u32 },
    Named { uid: u32, name: String },
    User(u32),
}

impl Who {
    fn of(caller: &Caller) -> Self {
        let uid = caller.uid;
        match (caller.pid, &caller.via) {
            (Some(pid), _) => Self::Process { uid, pid },
            (None, Via::Bus { unique_name }) => Self::Named {
                uid,
                name: unique_name.clone(),
            },
            (None, Via::Socket) => Self::User(uid),
        }
    }
}

/// A bucket for each caller.
#[derive(Debug)]
pub struct Rates {
    rate: Rate,
    what: &'static str,
    buckets: Mutex<HashMap<Who, Bucket>>,
}

impl Rates {
    /// The same rate for every caller. `what` is limited, for messages: "requests".
    pub fn new(rate: Rate, what: &'static str) -> Self {
        Self {
            rate,
            what,
            buckets: Mutex::default(),
        }
    }

    /// Takes one of what this caller may have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`], with the time to wait.
    pub fn take(&self, caller: &Caller, now: Instant) -> Result<(), AcquireTokenError> {
        self.with(caller, now, |bucket| bucket.take(self.rate, now))
            .map_err(|wait| self.too_many(wait))
    }

    /// Whether this caller may have one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`], with the time to wait.
    pub fn check(&self, caller: &Caller, now: Instant) -> Result<(), AcquireTokenError> {
        self.with(caller, now, |bucket| bucket.check(self.rate, now))
            .map_err(|wait| self.too_many(wait))
    }

    /// Takes one that was had already.
    pub fn charge(&self, caller: &Caller, now: Instant) {
        self.with(caller, now, |bucket| bucket.charge(self.rate, now));
    }

    fn with<T>(&self, caller: &Caller, now: Instant, then: impl FnOnce(&mut Bucket) -> T) -> T {
        let who = Who::of(caller);
        let mut buckets = self.buckets();
        if buckets.len() >= CALLERS && !buckets.contains_key(&who) {
            self.forget_one(&mut buckets, now);
        }
        let full = || Bucket::full(self.rate, now);
        then(buckets.entry(who).or_insert_with(full))
    }

    /// Forgets the caller who loses least by it.
    fn forget_one(&self, buckets: &mut HashMap<Who, Bucket>, now: Instant) {
        for bucket in buckets.values_mut() {
            bucket.fill(self.rate, now);
        }
        let fullest = buckets
            .iter()
            .max_by(|(_, one), (_, other)| one.level.total_cmp(&other.level))
            .map(|(who, _)| who.clone());
        if let Some(who) = fullest {
            buckets.remove(&who);
        }
    }

    fn too_many(&self, wait: Duration) -> AcquireTokenError {
        // Whole seconds go over the wire, and none would be an invitation.
        let wait = Duration::from_secs(wait.as_secs().saturating_add(1));
        let message = format!(
            "this caller makes too many {}: wait {} s",
            self.what,
            wait.as_secs()
        );
        AcquireTokenError::new(ErrorKind::TooManyRequests, message).with_retry_after(Some(wait))
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<Who, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Caller {
        Caller::new(1, Some(pid), Via::Socket)
    }

    fn rates(burst: u32, per_second: f64) -> Rates {
        Rates::new(Rate::new(burst, per_second), "requests")
    }

    #[test]
    fn a_burst_is_followed_by_the_steady_rate_and_the_wait_is_told() {
        let (rates, start) = (rates(3, 0.5), Instant::now());
        for _ in 0..3 {
            rates.take(&process(1), start).unwrap();
        }
        let error = rates.take(&process(1), start).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        rates.take(&process(2), start).unwrap();
        let later = start + Duration::from_secs(2);
        rates.take(&process(1), later).unwrap();
        rates.take(&process(1), later).unwrap_err();
        let quiet = later + Duration::from_secs(3600);
        for _ in 0..3 {
            rates.take(&process(1), quiet).unwrap();
        }
        rates.take(&process(1), quiet).unwrap_err();
    }

    #[test]
    fn what_was_had_is_paid_for_before_there_is_more() {
        let (rates, start) = (rates(1, 1.0), Instant::now());
        rates.check(&process(1), start).unwrap();
        for _ in 0..3 {
            rates.charge(&process(1), start);
        }
        rates
            .check(&process(1), start + Duration::from_millis(2900))
            .unwrap_err();
        rates
            .check(&process(1), start + Duration::from_secs(3))
            .unwrap();
    }

    #[test]
    fn all_connections_of_a_process_are_one_caller() {
        let (rates, now) = (rates(1, 1.0), Instant::now());
        let on_the_bus = |name: &str, pid| {
            let unique_name = name.to_owned();
            Caller::new(1, pid, Via::Bus { unique_name })
        };
        rates.take(&process(1), now).unwrap();
        rates.take(&on_the_bus(":1.1", Some(1)), now).unwrap_err();
        rates.take(&on_the_bus(":1.1", None), now).unwrap();
        rates.take(&on_the_bus(":1.1", None), now).unwrap_err();
        rates.take(&on_the_bus(":1.2", None), now).unwrap();
    }

    #[test]
    fn as_many_callers_as_come_leave_no_more_than_a_bounded_trace() {
        let (rates, now) = (rates(2, 0.001), Instant::now());
        rates.take(&process(0), now).unwrap();
        rates.take(&process(0), now).unwrap();
        for pid in 1..3 * u32::try_from(CALLERS).unwrap() {
            rates.take(&process(pid), now).unwrap();
        }
        assert_eq!(rates.buckets().len(), CALLERS);
        // Who has used up the most is remembered longest.
        rates.take(&process(0), now).unwrap_err();
    }
}
