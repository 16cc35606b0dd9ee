//! What stands between a request and the person's attention: whether whoever asks may have it
//! (again), and the queue of everything that waits for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use keyward_oauth::identifiers::ClientId;

/// Says whether a sign-in may be shown, and is told when it is.
pub trait PromptGate: Send + Sync {
    /// Whether it may be shown now that its turn has come.
    ///
    /// # Errors
    ///
    /// Why not.
    fn admit(&self) -> Result<(), crate::error::AcquireTokenError>;

    /// It is being shown.
    fn shown(&self);
}

/// Everything may be shown.
pub(crate) struct Open;

impl PromptGate for Open {
    fn admit(&self) -> Result<(), crate::error::AcquireTokenError> {
        Ok(())
    }

    fn shown(&self) {}
}

/// What wants the person's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// Somebody is to sign in.
    SignIn,
    /// A program is to be allowed something.
    Consent,
    /// A PIN is needed.
    Pin,
}

impl fmt::Display for PromptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignIn => "sign-in",
            Self::Consent => "consent",
            Self::Pin => "pin",
        })
    }
}

/// Something that is shown to the person, or waits to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptStatus {
    /// What it is.
    pub kind: PromptKind,
    /// For which client; empty where it is for none.
    pub client_id: String,
    /// Whether it has the person's attention now. Everything else waits, in this order.
    pub shown: bool,
}

/// The queue for the person's attention, which one thing has at a time.
pub(crate) struct Queue {
    attention: Arc<Semaphore>,
    places: Arc<Mutex<Places>>,
}

#[derive(Default)]
struct Places {
    next: u64,
    waiting: Vec<(u64, PromptStatus)>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            attention: Arc::new(Semaphore::new(1)),
            places: Arc::default(),
        }
    }
}

impl Queue {
    /// A place at the end of the queue.
    pub(crate) fn place(&self, kind: PromptKind, client: Option<&ClientId>) -> Place {
        let mut places = lock(&self.places);
        let number = places.next;
        places.next += 1;
        let status = PromptStatus {
            kind,
            client_id: client.map(ClientId::to_string).unwrap_or_default(),
            shown: false,
        };
        places.waiting.push((number, status));
        Place {
            attention: Arc::clone(&self.attention),
            places: Arc::clone(&self.places),
            number,
            kind,
        }
    }

    /// Everything in the queue; what has the attention first.
    pub(crate) fn status(&self) -> Vec<PromptStatus> {
        let places = lock(&self.places);
        let mut status: Vec<_> = places.waiting.iter().map(|(_, s)| s.clone()).collect();
        status.sort_by_key(|status| !status.shown);
        status
    }
}

/// A place in the queue; given up when dropped.
pub(crate) struct Place {
    attention: Arc<Semaphore>,
    places: Arc<Mutex<Places>>,
    number: u64,
    kind: PromptKind,
}

impl Place {
    /// What waits here.
    pub(crate) fn kind(&self) -> PromptKind {
        self.kind
    }

    /// The attention, if nobody has it.
    pub(crate) fn at_once(self) -> Result<Attention, Self> {
        match Arc::clone(&self.attention).try_acquire_owned() {
            Ok(permit) => Ok(self.with(permit)),
            Err(_) => Err(self),
        }
    }

    /// The attention, in the order it was asked for. `None`: there is none to be had any more.
    pub(crate) async fn in_turn(self) -> Option<Attention> {
        let permit = Arc::clone(&self.attention).acquire_owned().await.ok()?;
        Some(self.with(permit))
    }

    fn with(self, permit: OwnedSemaphorePermit) -> Attention {
        let mut places = lock(&self.places);
        let own = places.waiting.iter_mut().find(|(n, _)| *n == self.number);
        if let Some((_, status)) = own {
            status.shown = true;
        }
        drop(places);
        Attention {
            place: self,
            _permit: permit,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places)
            .waiting
            .retain(|(n, _)| *n != self.number);
    }
}

/// The person's attention. Dropped, the next in the queue has it.
pub struct Attention {
    // Dropped first, so that nobody is shown beside what has the attention next.
    place: Place,
    _permit: OwnedSemaphorePermit,
}

impl Attention {
    /// How many others wait for it.
    pub fn waiting(&self) -> usize {
        lock(&self.place.places).waiting.len().saturating_sub(1)
    }
}

/// The list is whole after every statement, so a panic elsewhere does not spoil it.
fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_the_attention_and_the_others_are_seen_to_wait() {
        let queue = Queue::default();
        let client = ClientId::parse("client-1").unwrap();
        let first = queue.place(PromptKind::SignIn, Some(&client)).at_once();
        let first = first.ok().unwrap();
        let second = queue.place(PromptKind::Consent, None).at_once();
        let second = second.err().unwrap();
        let kinds = |queue: &Queue| -> Vec<_> {
            let status = queue.status();
            status.iter().map(|s| (s.kind, s.shown)).collect()
        };
        let both = [(PromptKind::SignIn, true), (PromptKind::Consent, false)];
        assert_eq!(kinds(&queue), both);
        assert_eq!(queue.status()[0].client_id, "client-1");
        assert_eq!(first.waiting(), 1);
        let waiting = second.in_turn();
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(kinds(&queue), [(PromptKind::Consent, true)]);
        drop(second);
        assert_eq!(queue.status(), []);
    }

    #[test]
    fn who_gives_up_waiting_is_in_the_queue_no_longer() {
        let queue = Queue::default();
        let _first = queue.place(PromptKind::Pin, None).at_once().ok().unwrap();
        drop(queue.place(PromptKind::SignIn, None));
        assert_eq!(queue.status().len(), 1);
    }
}
