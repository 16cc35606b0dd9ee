//! Epochs: which state of a vault is the newest one.
//!
//! The vault records, sealed, a counter of the device and the value the counter has. An older copy
//! of the vault records an older value, and is refused. To end an epoch, first the *next* value is
//! recorded durably, then the counter is stepped: so a crash between the two leaves a vault that is
//! one ahead, never one behind, and both the counter's value and the one after it are accepted.
//! Stepped the other way round, either a crash would lock the user out or a copy of the epoch
//! before would have to be accepted for ever.
//!
//! Within an epoch rollback is not noticed. Epochs end at each start of the broker, at a sign-out
//! and when keys are replaced; not with each write, because a TPM's counter is slow and wears out.

use std::path::Path;

use keyward_client::ports::StoreError;

use crate::provider::{CounterError, EpochCounter, Rollback};

/// The epoch a data key is in, as the vault records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// Nothing counts.
    Uncounted,
    /// A counter has this value, or is about to.
    At {
        /// The counter's name.
        counter: String,
        /// Its value.
        value: u64,
    },
}

/// Why records are not served.
#[derive(Debug)]
pub(crate) enum Stale {
    /// The vault is older than the device remembers.
    RolledBack(String),
    /// Whether it is cannot be told, now or ever.
    Unknown(String),
}

impl Epoch {
    /// Compares what the vault records with what the device counts. Returns the epoch to go on
    /// from.
    pub(crate) fn check(self, rollback: &Rollback, folder: &Path) -> Result<Self, Stale> {
        let (name, recorded) = match &self {
            Self::Uncounted => return Ok(self),
            Self::At { counter, value } => (counter, *value),
        };
        let best_effort = matches!(rollback, Rollback::BestEffort(_));
        let seen = match rollback.counter().map(|device| device.read(name)) {
            Some(Ok(seen)) => seen,
            Some(Err(CounterError::Lost(_))) if best_effort => return Ok(Self::Uncounted),
            Some(Err(error)) => return Err(Stale::Unknown(unknown(&error.to_string(), folder))),
            None => return Err(Stale::Unknown(unknown("nothing counts here", folder))),
        };
        if recorded == seen || Some(recorded) == seen.checked_add(1) {
            return Ok(self);
        }
        if recorded < seen {
            return Err(Stale::RolledBack(format!(
                "it is of epoch {recorded} and this device has seen epoch {seen}; put the \
                 newer vault back, or {}",
                start_over(folder)
            )));
        }
        if best_effort {
            // The file that counts is older than the vault.
            return Ok(Self::Uncounted);
        }
        let why = format!("the vault is of epoch {recorded} and the device counts {seen}");
        Err(Stale::Unknown(unknown(&why, folder)))
    }

    /// Ends this epoch. `record` makes the epoch it is given durable; when this returns or fails,
    /// the one recorded last is accepted.
    pub(crate) fn end(
        &self,
        device: &dyn EpochCounter,
        mut record: impl FnMut(&Self) -> Result<(), StoreError>,
    ) -> Result<(), EndError> {
        let (name, recorded) = match self {
            Self::Uncounted => {
                let (counter, value) = device.create()?;
                let begun = Self::At {
                    counter: counter.clone(),
                    value,
                };
                return record(&begun).map_err(|error| {
                    // What is left behind if this fails, too, is a counter nobody reads.
                    let _ = device.remove(&counter);
                    EndError::Store(error)
                });
            }
            Self::At { counter, value } => (counter, *value),
        };
        let mut counted = device.read(name)?;
        if recorded > counted {
            // A crash came between recording and stepping.
            counted = device.step(name)?;
        }
        let next = counted.saturating_add(1);
        let at = |value| Self::At {
            counter: name.clone(),
            value,
        };
        record(&at(next))?;
        let stepped = device.step(name)?;
        if stepped != next {
            record(&at(stepped))?;
        }
        Ok(())
    }
}

/// Why an epoch did not end.
#[derive(Debug)]
pub(crate) enum EndError {
    /// The device does not count.
    Counter(CounterError),
    /// The vault cannot be written.
    Store(StoreError),
}

impl From<CounterError> for EndError {
    fn from(error: CounterError) -> Self {
        Self::Counter(error)
    }
}

impl From<StoreError> for EndError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn unknown(why: &str, folder: &Path) -> String {
    format!(
        "whether the vault was rolled back cannot be told: {why}; if that cannot be mended, {}",
        start_over(folder)
    )
}

/// What helps when a vault is of no use any more: no command reaches one that is not opened.
pub(crate) fn start_over(folder: &Path) -> String {
    format!(
        "stop keywardd, move the folder {} away and sign in again",
        folder.display()
    )
}
