//! Holding back requests an authority asked us not to repeat (`device-binding.md` 4.5).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyward_oauth::time::UnixTime;

use crate::error::AcquireTokenError;

/// How long to hold when the authority is overloaded and does not say for how long.
pub const DEFAULT: Duration = Duration::from_secs(60);
/// How long to hold a silent request that only a person can help.
pub const INTERACTION: Duration = Duration::from_secs(120);
/// Nothing is held longer, whatever the authority says.
const LONGEST: Duration = Duration::from_secs(3600);
/// The most requests held at once; beyond, the one that is released first is forgotten.
const MOST: usize = 1024;

/// Requests that are answered with the error they met, until some time.
pub struct Throttle<K>(Mutex<HashMap<K, Hold>>);

struct Hold {
    until: UnixTime,
    error: AcquireTokenError,
}

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// The error this request met, if it is still held.
    pub fn held(&self, request: &K, now: UnixTime) -> Option<AcquireTokenError> {
        let mut holds = self.lock();
        let hold = holds.get(request)?;
        let left = hold.until.since(now);
        // More than was ever set: the clock went back.
        if left.is_zero() || left > LONGEST {
            holds.remove(request);
            return None;
        }
        let error = hold.error.clone();
        Some(if error.is_retryable() {
            error.with_retry_after(Some(left))
        } else {
            error
        })
    }

    /// Answers this request with `error` for a while.
    pub fn hold(&self, request: &K, span: Duration, error: &AcquireTokenError, now: UnixTime) {
        let mut holds = self.lock();
        if holds.len() >= MOST {
            holds.retain(|_, hold| hold.until > now);
        }
        if holds.len() >= MOST
            && let Some(first) = holds.iter().min_by_key(|(_, hold)| hold.until)
        {
            let first = first.0.clone();
            holds.remove(&first);
        }
        let until = now.plus(span.min(LONGEST));
        let error = error.clone();
        holds.insert(request.clone(), Hold { until, error });
    }

    /// Releases every request that `released` names.
    pub fn release(&self, released: impl Fn(&K) -> bool) {
        self.lock().retain(|request, _| !released(request));
    }

    /// The map is consistent after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1_000_000 + seconds)
    }

    fn busy() -> AcquireTokenError {
        AcquireTokenError::new(ErrorKind::ServerTemporarilyUnavailable, "busy")
    }

    #[test]
    fn a_request_is_held_for_as_long_as_was_said() {
        let throttle = Throttle::default();
        throttle.hold(&"a", Duration::from_secs(10), &busy(), at(0));
        let error = throttle.held(&"a", at(4)).unwrap();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(6)));
        assert!(throttle.held(&"b", at(4)).is_none());
        assert!(throttle.held(&"a", at(10)).is_none());
    }

    #[test]
    fn nothing_is_held_for_more_than_an_hour() {
        let throttle = Throttle::default();
        throttle.hold(&"a", Duration::from_secs(1_000_000), &busy(), at(0));
        assert!(throttle.held(&"a", at(3599)).is_some());
        assert!(throttle.held(&"a", at(3600)).is_none());
    }

    #[test]
    fn a_clock_that_went_back_holds_nothing() {
        let throttle = Throttle::default();
        throttle.hold(&"a", DEFAULT, &busy(), at(100_000));
        assert!(throttle.held(&"a", at(0)).is_none());
    }

    #[test]
    fn what_is_released_is_not_held() {
        let throttle = Throttle::default();
        throttle.hold(&"a", DEFAULT, &busy(), at(0));
        throttle.hold(&"b", DEFAULT, &busy(), at(0));
        throttle.release(|request| *request == "a");
        assert!(throttle.held(&"a", at(1)).is_none());
        assert!(throttle.held(&"b", at(1)).is_some());
    }

    #[test]
    fn so_many_are_held_and_no_more() {
        let throttle = Throttle::default();
        for n in 0..5000_u64 {
            throttle.hold(&n, Duration::from_secs(1000 + n), &busy(), at(0));
        }
        assert_eq!(throttle.lock().len(), MOST);
        assert!(throttle.held(&4999, at(1)).is_some());
    }
}
