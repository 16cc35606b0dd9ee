//! The requests that are being worked on: how many, for whom, and how to end them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{AbortHandle, AbortRegistration};

use keyward_client::error::{AcquireTokenError, ErrorKind};

/// How much one caller, and all of them together, may ask for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight for one connection, or for one caller on a bus behind it.
    pub per_caller: usize,
    /// Requests in flight altogether, of one user.
    pub total: usize,
    /// Bytes of the requests in flight on one connection.
    pub bytes: usize,
    /// Open connections of one user.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_caller: 64,
            total: 512,
            bytes: 8 * 1024 * 1024,
            connections: 256,
        }
    }
}

/// The requests in flight on one connection.
#[derive(Debug)]
pub(crate) struct InFlight {
    limits: Limits,
    /// Shared by all connections of the user.
    total: Arc<AtomicUsize>,
    bytes: AtomicUsize,
    next: AtomicU64,
    /// At most [`Limits::total`], mostly none or one: a list is searched faster than a map.
    requests: Mutex<Vec<Request>>,
}

#[derive(Debug)]
struct Request {
    number: u64,
    caller: Box<str>,
    id: Option<Box<str>>,
    abort: AbortHandle,
}

/// One admitted request. Leaves when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    in_flight: Arc<InFlight>,
    number: u64,
    bytes: usize,
}

impl InFlight {
    pub(crate) fn new(limits: Limits, total: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total,
            bytes: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            requests: Mutex::default(),
        })
    }

    /// Admits a request of `caller` (empty: the peer itself) with the id it gave the request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`].
    pub(crate) fn admit(
        self: &Arc<Self>,
        caller: &str,
        id: Option<&str>,
        bytes: usize,
    ) -> Result<(Ticket, AbortRegistration), AcquireTokenError> {
        let mut requests = self.requests();
        let running = requests.iter().filter(|of| *of.caller == *caller).count();
        if running >= self.limits.per_caller {
            return Err(too_many(self.limits.per_caller, "this caller"));
        }
        if self.bytes.load(Ordering::Relaxed) + bytes > self.limits.bytes {
            return Err(AcquireTokenError::new(
                ErrorKind::TooManyRequests,
                "the requests in flight are too large together: wait for answers first",
            ));
        }
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.total {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many(self.limits.total, "all callers"));
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (abort, registration) = AbortHandle::new_pair();
        requests.push(Request {
            number,
            caller: Box::from(caller),
            id: id.map(Box::from),
            abort,
        });
        drop(requests);
        let ticket = Ticket {
            in_flight: Arc::clone(self),
            number,
            bytes,
        };
        Ok((ticket, registration))
    }

    /// Ends the requests with this id, of one caller or (`None`) of whichever. Says whether there
    /// was one.
    pub(crate) fn cancel(&self, caller: Option<&str>, id: &str) -> bool {
        self.abort_where(|request| {
            caller.is_none_or(|caller| *request.caller == *caller)
                && request.id.as_deref() == Some(id)
        })
    }

    /// Ends all requests of one caller. Says whether there was one.
    pub(crate) fn cancel_all(&self, caller: &str) -> bool {
        self.abort_where(|request| *request.caller == *caller)
    }

    fn abort_where(&self, matches: impl Fn(&Request) -> bool) -> bool {
        let mut any = false;
        for request in self.requests().iter() {
            if matches(request) {
                request.abort.abort();
                any = true;
            }
        }
        any
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let in_flight = &self.in_flight;
        in_flight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        in_flight.total.fetch_sub(1, Ordering::Relaxed);
        let mut requests = in_flight.requests();
        let place = requests.iter().position(|of| of.number == self.number);
        if let Some(place) = place {
            requests.swap_remove(place);
        }
    }
}

fn too_many(limit: usize, of: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::TooManyRequests,
        format!("{limit} requests of {of} are in flight already: wait for answers first"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(per_caller: usize, total: usize) -> Arc<InFlight> {
        let limits = Limits {
            per_caller,
            total,
            bytes: 1000,
            connections: 1,
        };
        InFlight::new(limits, Arc::default())
    }

    #[test]
    fn each_caller_has_its_own_share_and_all_have_one() {
        let requests = in_flight(2, 3);
        let first = requests.admit("a", None, 1).unwrap();
        let _second = requests.admit("a", None, 1).unwrap();
        let error = requests.admit("a", None, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
        let _third = requests.admit("b", None, 1).unwrap();
        assert!(requests.admit("c", None, 1).is_err());
        drop(first);
        assert!(requests.admit("c", None, 1).is_ok());
    }

    #[test]
    fn large_requests_count_by_size() {
        let requests = in_flight(10, 10);
        let _large = requests.admit("a", None, 900).unwrap();
        assert!(requests.admit("a", None, 200).is_err());
        assert!(requests.admit("a", None, 50).is_ok());
    }

    #[test]
    fn cancelling_ends_only_what_was_meant() {
        let requests = in_flight(10, 10);
        let (_one, _) = requests.admit("a", Some("1"), 1).unwrap();
        let (_two, _) = requests.admit("b", Some("1"), 1).unwrap();
        assert!(!requests.cancel(Some("a"), "2"));
        assert!(requests.cancel(Some("a"), "1"));
        let aborted: Vec<_> = {
            let requests = requests.requests();
            requests
                .iter()
                .filter(|request| request.abort.is_aborted())
                .map(|request| request.caller.to_string())
                .collect()
        };
        assert_eq!(aborted, ["a"]);
        assert!(requests.cancel_all("b"));
        assert!(!requests.cancel_all("c"));
    }

    #[test]
    fn nothing_stays_behind() {
        let requests = in_flight(10, 10);
        for _ in 0..100 {
            let _ = requests.admit("a", Some("1"), 10).unwrap();
        }
        assert!(requests.requests().is_empty());
        assert_eq!(requests.total.load(Ordering::Relaxed), 0);
        assert_eq!(requests.bytes.load(Ordering::Relaxed), 0);
    }
}
