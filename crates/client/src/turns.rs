//! One at a time per key, in the order they came.
//!
//! A rotating refresh token can be redeemed once, so whoever wants another renewal of the same
//! grant waits for its successor. That wait spans the network on purpose; it concerns nobody else,
//! and no cached answer ever takes a turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard};

/// Who has a turn, by key. Holds nothing while nobody has one.
pub struct Turns<K: Eq + Hash>(Arc<Mutex<HashMap<K, Arc<FairMutex<()>>>>>);

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for the turn.
    pub async fn take(&self, key: K) -> Turn<K> {
        let place = self.place(key);
        let guard = Arc::clone(&place.turn).lock_owned().await;
        Turn {
            _guard: guard,
            _place: place,
        }
    }

    fn place(&self, key: K) -> Place<K> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Place {
            turn: Arc::clone(turns.entry(key.clone()).or_default()),
            turns: Arc::clone(&self.0),
            key,
        }
    }

    /// How many keys somebody has a turn for.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl<K: Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The turn; dropping it lets the next one.
pub struct Turn<K: Eq + Hash> {
    // Dropped first, so that the place sees whether anybody else is left.
    _guard: OwnedMutexGuard<()>,
    _place: Place<K>,
}

/// Somebody who has a turn or waits for one.
struct Place<K: Eq + Hash> {
    turns: Arc<Mutex<HashMap<K, Arc<FairMutex<()>>>>>,
    key: K,
    turn: Arc<FairMutex<()>>,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Places are only made under this lock: ours and the map's mean that nobody waits.
        if Arc::strong_count(&self.turn) == 2 {
            turns.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn turns_of_one_key_never_overlap_and_leave_nothing_behind() {
        let turns = Turns::default();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        join_all((0..50).map(|_| async {
            let _turn = turns.take("key").await;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
        }))
        .await;
        assert_eq!(most.into_inner(), 1);
        assert_eq!(turns.len(), 0);
    }

    #[tokio::test]
    async fn turns_of_different_keys_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let _one = turns.take("one").await;
        let _two = turns.take("two").await;
        assert_eq!(turns.len(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let turns = Turns::default();
        let one = turns.take("key").await;
        let waiting = turns.take("key");
        assert!(
            tokio::time::timeout(std::time::Duration::ZERO, waiting)
                .await
                .is_err()
        );
        drop(one);
        assert_eq!(turns.len(), 0);
    }
}
