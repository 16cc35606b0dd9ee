//! Callers that make prompts pop up nobody wants: after a few in a row there are none for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyward_client::error::{AcquireTokenError, ErrorKind};

/// For how long a prompt that was cancelled, denied or left alone counts.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// How many of a program with one client id there may be in that time.
const OF_CLIENT: usize = 3;
/// How many of a program, whatever client ids it names.
const OF_PROGRAM: usize = 9;
/// How many callers are kept in mind. Beyond that, those whose last prompt is longest ago are not.
const CALLERS: usize = 512;

/// The prompts that came to nothing, by who asked.
#[derive(Debug, Default)]
pub(super) struct Strikes(Mutex<HashMap<Who, VecDeque<Instant>>>);

/// A program, and perhaps one of its client ids.
type Who = (String, Option<String>);

impl Strikes {
    /// Whether a prompt may be shown.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`], with the time after which one may.
    pub(super) fn admit(
        &self,
        program: &str,
        client_id: &str,
        now: Instant,
    ) -> Result<(), AcquireTokenError> {
        let mut strikes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, most) in both(program, client_id) {
            let Some(times) = strikes.get_mut(&who) else {
                continue;
            };
            times.retain(|time| now.saturating_duration_since(*time) < WINDOW);
            if times.len() < most {
                continue;
            }
            // INVARIANT: at least `most`, which is not zero, are there.
            let oldest = times[times.len() - most];
            let wait = WINDOW.saturating_sub(now.saturating_duration_since(oldest));
            let seconds = wait.as_secs().max(1);
            let message = format!(
                "the last {most} prompts of this program were cancelled, denied or left alone: no \
                 more of them are shown for {seconds} s"
            );
            return Err(AcquireTokenError::new(ErrorKind::TooManyRequests, message)
                .with_retry_after(Some(Duration::from_secs(seconds))));
        }
        Ok(())
    }

    /// A prompt came to nothing.
    pub(super) fn strike(&self, program: &str, client_id: &str, now: Instant) {
        let mut strikes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, most) in both(program, client_id) {
            let times = strikes.entry(who).or_default();
            times.push_back(now);
            if times.len() > most {
                times.pop_front();
            }
        }
        while strikes.len() > CALLERS {
            let last = |times: &VecDeque<Instant>| times.back().copied();
            let oldest = strikes.iter().min_by_key(|(_, times)| last(times));
            let Some(oldest) = oldest.map(|(who, _)| who.clone()) else {
                return;
            };
            strikes.remove(&oldest);
        }
    }

    /// A prompt was answered: what came to nothing before counts no more.
    pub(super) fn forgive(&self, program: &str, client_id: &str) {
        let mut strikes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, _) in both(program, client_id) {
            strikes.remove(&who);
        }
    }
}

fn both(program: &str, client_id: &str) -> [(Who, usize); 2] {
    [
        ((program.to_owned(), Some(client_id.to_owned())), OF_CLIENT),
        ((program.to_owned(), None), OF_PROGRAM),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_three_in_ten_minutes_there_are_no_more_until_the_first_is_forgotten() {
        let (strikes, start) = (Strikes::default(), Instant::now());
        for second in [0, 60, 120] {
            let now = start + Duration::from_secs(second);
            strikes.admit("p", "c", now).unwrap();
            strikes.strike("p", "c", now);
        }
        let now = start + Duration::from_secs(180);
        let error = strikes.admit("p", "c", now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(420)));
        strikes.admit("other", "c", now).unwrap();
        strikes.admit("p", "other", now).unwrap();
        strikes.admit("p", "c", start + WINDOW).unwrap();
    }

    #[test]
    fn a_prompt_that_was_answered_starts_anew() {
        let (strikes, now) = (Strikes::default(), Instant::now());
        for _ in 0..2 {
            strikes.strike("p", "c", now);
        }
        strikes.forgive("p", "c");
        for _ in 0..2 {
            strikes.strike("p", "c", now);
        }
        strikes.admit("p", "c", now).unwrap();
    }

    #[test]
    fn another_client_id_each_time_is_no_way_around() {
        let (strikes, now) = (Strikes::default(), Instant::now());
        for number in 0..OF_PROGRAM {
            let client = number.to_string();
            strikes.admit("p", &client, now).unwrap();
            strikes.strike("p", &client, now);
        }
        strikes.admit("p", "new", now).unwrap_err();
    }

    #[test]
    fn as_many_callers_as_come_leave_no_more_than_a_bounded_trace() {
        let (strikes, now) = (Strikes::default(), Instant::now());
        for number in 0..2 * CALLERS {
            strikes.strike(&number.to_string(), "c", now);
        }
        assert!(strikes.0.lock().unwrap().len() <= CALLERS);
    }
}
