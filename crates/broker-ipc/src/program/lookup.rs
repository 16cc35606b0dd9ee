//! Where programs are looked up: here, or on a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::look::look;
use super::{Links, Pinned, Program};

/// How many callers may wait to be looked up.
const QUEUE: usize = 64;
/// How long a look may take. A sandbox chooses what its own file systems are made of.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks programs up.
#[derive(Clone, Debug, Default)]
pub struct Lookup(Option<SyncSender<Job>>);

type Job = (Arc<Pinned>, oneshot::Sender<Program>);

impl Lookup {
    /// Looks on the thread that asks.
    pub fn here() -> Self {
        Self(None)
    }

    /// Looks on a thread of its own, so that nothing of a caller's making holds up the others, and
    /// reads links by way of `links`.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn on_a_thread(links: Links) -> io::Result<Self> {
        let (sender, jobs) = sync_channel::<Job>(QUEUE);
        thread::Builder::new()
            .name("callers".to_owned())
            .spawn(move || {
                for (pinned, answer) in jobs {
                    if !answer.is_closed() {
                        // Nobody waits any more: that is no matter here.
                        let _ = answer.send(look(&pinned, &links));
                    }
                }
            })?;
        Ok(Self(Some(sender)))
    }

    /// The program of a process. Never fails: what is not known, is not known.
    pub async fn program(&self, pinned: Arc<Pinned>) -> Arc<Program> {
        let Some(thread) = &self.0 else {
            return Arc::new(look(&pinned, &Links::here()));
        };
        let (answer, answered) = oneshot::channel();
        match thread.try_send((pinned, answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                return Arc::new(Program::not_seen("too many callers came at once"));
            }
        }
        let found = tokio::time::timeout(PATIENCE, answered).await;
        Arc::new(match found {
            Ok(Ok(program)) => program,
            Ok(Err(_)) => Program::not_seen("looking at it went wrong"),
            Err(_) => Program::not_seen("looking at it took too long"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_of_its_own_finds_the_same() {
        let uid = rustix::process::getuid().as_raw();
        let this = Arc::new(Pinned::process(std::process::id(), uid));
        let here = Lookup::here().program(Arc::clone(&this)).await;
        let there = Lookup::on_a_thread(Links::here())
            .unwrap()
            .program(this)
            .await;
        assert!(here.is_known());
        assert_eq!(here.executable, there.executable);
        assert_eq!(here.parent, there.parent);
    }
}
