//! What a person knows and a device asks for.

use std::fmt;

use zeroize::Zeroizing;

/// The longest PIN, in bytes: what every TPM takes as an auth value (the size of its smallest
/// name algorithm's digest, SHA-256).
const LONGEST: usize = 32;

/// A PIN. It is wiped when it is dropped.
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// A PIN from what was typed. `None` when it is empty, longer than 32 bytes or ends with a zero
    /// byte, which a TPM would ignore.
    pub fn new(typed: impl Into<Vec<u8>>) -> Option<Self> {
        let typed = Zeroizing::new(typed.into());
        let usable = (1..=LONGEST).contains(&typed.len()) && typed.last() != Some(&0);
        usable.then_some(Self(typed))
    }

    /// The same PIN for a thread that may outlive the caller.
    #[cfg(feature = "tpm")]
    pub(crate) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Exposes the PIN to the device that checks it. Reviewers search for this name.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_what_a_device_can_check_and_is_never_shown() {
        let pin = Pin::new("1234").unwrap();
        assert_eq!(pin.expose_secret(), b"1234");
        assert!(!format!("{pin:?}").contains("1234"));
        for bad in ["", "12\0", &"1".repeat(33)] {
            assert!(Pin::new(bad).is_none(), "{bad:?}");
        }
    }
}
