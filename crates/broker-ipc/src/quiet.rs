//! When nobody has asked for a while: ending without losing anybody's request.
//!
//! Connections may be open all the time (keyward-session keeps one, and so do applications), so
//! quiet is when no call is worked on and none has come for a while. Then reading ends on every
//! connection at once. What had come before that moment is still answered; who writes after it is
//! told by the kernel that nobody reads (`EPIPE`), knows that the call never was with us, and
//! connects again, which starts the next broker.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::net::{Shutdown, shutdown};

/// When to end because nobody asks.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How long nobody may have asked.
    pub after: Duration,
    /// Whether somebody else goes on listening on the socket when we do not: callers wait there
    /// for the next broker. Otherwise they are refused, and start one.
    pub socket_stays: bool,
}

/// Who asks, and since when nobody does.
#[derive(Debug)]
pub(crate) struct Quiet {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: usize,
    since: Instant,
    ending: bool,
    next: u64,
    streams: Vec<(u64, OwnedFd)>,
}

impl Quiet {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                calls: 0,
                since: Instant::now(),
                ending: false,
                next: 0,
                streams: Vec::new(),
            }),
        })
    }

    /// A call is worked on, until the answer is dropped.
    pub(crate) fn call(self: &Arc<Self>) -> Asking {
        self.lock().calls += 1;
        Asking(Arc::clone(self))
    }

    /// A connection is open, until the answer is dropped. `None`: descriptors ran out, and it is
    /// not ours to end quietly.
    pub(crate) fn connection(self: &Arc<Self>, stream: &impl AsFd) -> Option<Connected> {
        let stream = stream.as_fd().try_clone_to_owned().ok()?;
        let mut state = self.lock();
        state.since = Instant::now();
        let number = state.next;
        state.next += 1;
        state.streams.push((number, stream));
        Some(Connected(Arc::clone(self), number))
    }

    /// Ready when nobody has asked for this long, and nobody can any more. Nobody who asked before
    /// is forgotten: their connections end when they are answered.
    pub(crate) async fn ended(&self, idle: Option<Idle>) {
        let Some(Idle { after, .. }) = idle else {
            return std::future::pending().await;
        };
        loop {
            let rest = {
                let mut state = self.lock();
                if state.calls > 0 {
                    after
                } else {
                    let rest = after.saturating_sub(state.since.elapsed());
                    if rest.is_zero() && state.end() {
                        return;
                    }
                    rest.max(Duration::from_millis(1))
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// Whether what has come is all there will be.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Stops reading, unless something has come meanwhile.
    fn end(&mut self) -> bool {
        let unread = |stream: &OwnedFd| ioctl_fionread(stream).is_ok_and(|bytes| bytes > 0);
        if self.streams.iter().any(|(_, stream)| unread(stream)) {
            self.since = Instant::now();
            return false;
        }
        self.ending = true;
        for (_, stream) in &self.streams {
            // One that is closed already is none to wait for.
            let _ = shutdown(stream, Shutdown::Read);
        }
        true
    }
}

/// A call that is worked on.
#[derive(Debug)]
pub(crate) struct Asking(Arc<Quiet>);

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.calls -= 1;
        state.since = Instant::now();
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Quiet>, u64);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0
            .lock()
            .streams
            .retain(|(number, _)| *number != self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    const AT_ONCE: Option<Idle> = Some(Idle {
        after: Duration::ZERO,
        socket_stays: true,
    });

    async fn is_quiet(quiet: &Quiet, idle: Option<Idle>) -> bool {
        let soon = Duration::from_millis(20);
        tokio::time::timeout(soon, quiet.ended(idle)).await.is_ok()
    }

    #[tokio::test]
    async fn a_call_that_is_worked_on_is_waited_for() {
        let quiet = Quiet::new();
        let call = quiet.call();
        assert!(!is_quiet(&quiet, AT_ONCE).await);
        drop(call);
        assert!(is_quiet(&quiet, AT_ONCE).await);
    }

    #[tokio::test]
    async fn without_a_limit_it_is_never_quiet() {
        assert!(!is_quiet(&Quiet::new(), None).await);
    }

    #[tokio::test]
    async fn what_was_written_before_is_read_and_nothing_can_be_written_after() {
        let quiet = Quiet::new();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let connected = quiet.connection(&ours);
        theirs.write_all(b"request").unwrap();
        assert!(!is_quiet(&quiet, AT_ONCE).await, "it is not read yet");
        assert!(!quiet.is_ending());
        ours.read_exact(&mut [0; 7]).unwrap();
        assert!(is_quiet(&quiet, AT_ONCE).await);
        assert!(quiet.is_ending());
        let error = theirs.write_all(b"request").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        // Answers still get through.
        ours.write_all(b"answer").unwrap();
        drop(ours);
        drop(connected);
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn a_new_connection_is_waited_for_as_long_as_a_call() {
        let quiet = Quiet::new();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let hour = Some(Idle {
            after: Duration::from_secs(3600),
            socket_stays: true,
        });
        let _connected = quiet.connection(&ours);
        assert!(!is_quiet(&quiet, hour).await);
    }
}
