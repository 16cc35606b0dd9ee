//! One task does the work, everybody who wants the same waits for its result.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What becomes of the work when nobody waits for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is finished: it may have used up something that must be replaced durably.
    Finish,
    /// It is cancelled: it was for the callers alone.
    Cancel,
}

/// Work in progress, by what it is for. Holds nothing once the work is done.
pub struct SingleFlight<K, V> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
    abandoned: Abandoned,
}

struct Flight<V> {
    result: watch::Receiver<Option<V>>,
    waiting: usize,
    task: AbortHandle,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No work yet.
    pub fn new(abandoned: Abandoned) -> Self {
        Self {
            flights: Arc::default(),
            abandoned,
        }
    }

    /// Waits for the result of the work for `key`, which is started if it is not going on. `None`
    /// when the work panicked.
    pub async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut seat = self.seat(key, work);
        let result = seat.result.wait_for(Option::is_some).await.ok()?;
        result.clone()
    }

    /// Starts the work for `key` without waiting for it, unless it is going on.
    pub fn start<F>(&self, key: K, work: impl FnOnce() -> F)
    where
        F: Future<Output = V> + Send + 'static,
    {
        debug_assert_eq!(
            self.abandoned,
            Abandoned::Finish,
            "nobody would wait for it"
        );
        drop(self.seat(key, work));
    }

    fn seat<F>(&self, key: K, work: impl FnOnce() -> F) -> Seat<'_, K, V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = lock(&self.flights);
        let flight = flights.entry(key.clone()).or_insert_with(|| {
            let (sender, result) = watch::channel(None);
            let landing = Landing {
                flights: Arc::clone(&self.flights),
                key: key.clone(),
                result: result.clone(),
            };
            let work = work();
            let task = tokio::spawn(async move {
                let value = work.await;
                // Whoever asks from now on has work of their own done.
                drop(landing);
                sender.send_replace(Some(value));
            });
            Flight {
                result,
                waiting: 0,
                task: task.abort_handle(),
            }
        });
        flight.waiting += 1;
        if flight.waiting > 1 {
            tracing::debug!(waiting = flight.waiting, "joined an equal request");
        }
        Seat {
            result: flight.result.clone(),
            flight: self,
            key,
        }
    }

    fn leave(&self, key: &K, result: &watch::Receiver<Option<V>>) {
        let abandoned = {
            let mut flights = lock(&self.flights);
            let Some(flight) = flights
                .get_mut(key)
                .filter(|f| f.result.same_channel(result))
            else {
                return; // landed
            };
            flight.waiting -= 1;
            let cancel = flight.waiting == 0 && self.abandoned == Abandoned::Cancel;
            cancel.then(|| flights.remove(key)).flatten()
        };
        if let Some(flight) = abandoned {
            flight.task.abort();
        }
    }

    /// How much work is going on.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.flights).len()
    }
}

/// One caller's place. Dropping it leaves.
struct Seat<'a, K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    flight: &'a SingleFlight<K, V>,
    key: K,
    result: watch::Receiver<Option<V>>,
}

impl<K, V> Drop for Seat<'_, K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.flight.leave(&self.key, &self.result);
    }
}

/// Clears the way when the work is done, also when it panics.
struct Landing<K: Eq + Hash, V> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
    result: watch::Receiver<Option<V>>,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // After a cancellation another flight for the same key may be on its way.
        if flights
            .get(&self.key)
            .is_some_and(|f| f.result.same_channel(&self.result))
        {
            flights.remove(&self.key);
        }
    }
}

/// The map is consistent after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
