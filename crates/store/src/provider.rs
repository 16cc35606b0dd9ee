//! What a device does for a vault: it wraps data keys and counts epochs.

use keyward_client::binding::KeyProtection;
use zeroize::Zeroizing;

/// A key of this device that wraps the vault's data keys. Calls may block for as long as the device
/// takes.
pub trait KeyWrap: Send {
    /// Seals `key` so that only this device can open it, and only for the same `context`.
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError>;

    /// Opens what [`wrap`](Self::wrap) sealed.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError>;
}

/// Why a data key cannot be wrapped or unwrapped. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// It never will be again: the device was cleared or replaced, or this is another one. What the
    /// data key sealed stays where it is, unread, until a repair removes it.
    #[error("{0}")]
    Lost(String),
    /// It cannot be now, and may be later. Nothing takes the data key's place meanwhile.
    #[error("{0}")]
    Unavailable(String),
}

/// Counters that only go up and that no copy of the vault brings back.
pub trait EpochCounter: Send {
    /// Makes a counter: its name and its value.
    fn create(&self) -> Result<(String, u64), CounterError>;

    /// The value of a counter.
    fn read(&self, name: &str) -> Result<u64, CounterError>;

    /// Adds one, durably, and returns the new value.
    fn step(&self, name: &str) -> Result<u64, CounterError>;

    /// Removes a counter that nothing refers to.
    fn remove(&self, name: &str) -> Result<(), CounterError>;
}

/// Why a counter cannot be used. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// There is no such counter any more.
    #[error("{0}")]
    Lost(String),
    /// It cannot be used now, and may be later.
    #[error("{0}")]
    Unavailable(String),
    /// This device lets this user make none.
    #[error("{0}")]
    Unsupported(String),
}

/// Whether a vault notices that it was put back in time.
pub enum Rollback {
    /// It does not.
    Undetected,
    /// It does as long as the counter, which whoever can replace the vault can replace as well, is
    /// left alone. A counter that is gone is made anew.
    BestEffort(Box<dyn EpochCounter>),
    /// It does. A counter that is gone keeps the records from being served.
    Detected(Box<dyn EpochCounter>),
}

impl Rollback {
    pub(crate) fn counter(&self) -> Option<&dyn EpochCounter> {
        match self {
            Self::Undetected => None,
            Self::BestEffort(counter) | Self::Detected(counter) => Some(&**counter),
        }
    }
}

/// One provider of device keys, as far as a vault needs it.
pub struct KeyProvider {
    /// Where its keys live.
    pub protection: KeyProtection,
    /// Wraps the data key of the records with this protection.
    pub wrap: Box<dyn KeyWrap>,
    /// Notices rollback.
    pub rollback: Rollback,
}
