//! Counters that only go up, kept by a device.

use std::fmt;

use crate::error::KeyStoreError;

/// Monotonic counters of a device: what was counted cannot be taken back by restoring files.
pub trait Counter: Send + Sync {
    /// Makes a counter. Its first value is any number.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Unsupported`] when the device lets nobody but its owner make one.
    fn create(&self) -> Result<CounterId, KeyStoreError>;

    /// Its value.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Lost`] when it is gone, as after the device was cleared.
    fn read(&self, id: &CounterId) -> Result<u64, KeyStoreError>;

    /// Adds one, and returns the new value.
    fn step(&self, id: &CounterId) -> Result<u64, KeyStoreError>;

    /// Removes it; one that is gone already is no error.
    fn remove(&self, id: &CounterId) -> Result<(), KeyStoreError>;
}

/// Names a counter. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterId(u32);

/// Non-volatile indices that an owner may define (TCG Registry of Reserved TPM 2.0 Handles §2.2.2).
const OWNER_RANGE: std::ops::RangeInclusive<u32> = 0x0180_0000..=0x01bf_ffff;

impl CounterId {
    /// A counter by its non-volatile index. `None` outside the owner's range.
    pub fn new(index: u32) -> Option<Self> {
        OWNER_RANGE.contains(&index).then_some(Self(index))
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 8)?;
        Self::new(u32::from_str_radix(digits, 16).ok()?)
    }

    /// The non-volatile index.
    pub fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_named_by_an_index_of_the_owners_range() {
        let id = CounterId::new(0x0180_1234).unwrap();
        assert_eq!(id.to_string(), "0x01801234");
        assert_eq!(CounterId::parse("0x01801234"), Some(id));
        for bad in [
            "",
            "01801234",
            "0x1801234",
            "0x81000001",
            "0x01c00002",
            "0xx1801234",
        ] {
            assert_eq!(CounterId::parse(bad), None, "{bad}");
        }
    }
}
