//! Shared state behind a lock that cannot be held across an await.

use std::sync::{Mutex, PoisonError};

/// A value that is only ever touched inside a closure.
#[derive(Default)]
pub(crate) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Runs `f` with the value. A panic in an earlier closure does not lock everybody out: each
    /// closure leaves its value usable at every step.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
