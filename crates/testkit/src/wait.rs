//! Waiting for a condition, with a deadline and a reason.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives something.
///
/// Panics after `deadline`, naming `what` was waited for.
pub fn until<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(deadline, condition).unwrap_or_else(|| panic!("{what} did not happen in {deadline:?}"))
}

/// Looks at `condition` until it gives something; `None` after `deadline`.
pub fn within<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_returned_at_once() {
        let mut times = 0;
        let found = until("the third look", Duration::from_secs(5), || {
            times += 1;
            (times == 3).then_some(times)
        });
        assert_eq!(found, 3);
    }

    #[test]
    fn what_does_not_happen_ends_at_the_deadline() {
        assert_eq!(within::<()>(Duration::from_millis(20), || None), None);
    }
}
