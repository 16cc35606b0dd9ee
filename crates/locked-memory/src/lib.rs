//! Memory for master keys: on pages of its own, which the kernel keeps out of swap, and wiped
//! before it is given back.
//!
//! The few keys from which all others are derived live here. What is derived, opened and sent is
//! wiped when it is dropped, but may be written to swap meanwhile: locking it all would take more
//! than the kernel allows a user (`RLIMIT_MEMLOCK`), and a page for each value.
//!
//! Where the kernel refuses, the key is kept all the same, on pages like all others, and
//! [`refused`] says so: no key at all would be worse.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use region::LockGuard;
use zeroize::Zeroize;

/// The first refusal, in the kernel's words.
static REFUSED: OnceLock<String> = OnceLock::new();

/// Why a key could not be kept out of swap, if that has happened in this process.
pub fn refused() -> Option<&'static str> {
    REFUSED.get().map(String::as_str)
}

/// A secret on pages of its own, which are locked into memory.
///
/// Made empty and filled in place, so that no copy of it is left where it came from.
pub struct Locked<T: Zeroize> {
    // Unlocked before the pages are given back, and after they are wiped.
    lock: Option<LockGuard>,
    page: Box<Page<T>>,
}

/// Nothing else is on the pages of this value, where pages have the usual size. On kernels with
/// larger ones, locking covers the neighbours too, and unlocking may uncover them.
#[repr(align(4096))]
struct Page<T>(T);

impl<const N: usize> Locked<[u8; N]> {
    /// A copy of a secret. The original is the caller's to wipe.
    pub fn copy_of(secret: &[u8; N]) -> Self {
        let mut locked = Self::around([0; N]);
        locked.copy_from_slice(secret);
        locked
    }
}

impl<T: Zeroize + Default> Default for Locked<T> {
    fn default() -> Self {
        Self::around(T::default())
    }
}

impl<T: Zeroize> Locked<T> {
    /// Locks the pages of a value that is no secret yet.
    fn around(empty: T) -> Self {
        let page = Box::new(Page(empty));
        let lock = region::lock(&raw const *page, size_of::<Page<T>>());
        if let Err(error) = &lock {
            let _ = REFUSED.set(error.to_string());
        }
        Self {
            lock: lock.ok(),
            page,
        }
    }

    /// Whether its pages stay out of swap.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

impl<T: Zeroize> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.page.0
    }
}

impl<T: Zeroize> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.page.0
    }
}

impl<T: Zeroize> Drop for Locked<T> {
    fn drop(&mut self) {
        self.page.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes this process has locked.
    fn locked_kilobytes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    #[test]
    fn a_key_is_locked_while_it_is_kept() {
        let before = locked_kilobytes();
        let keys: Vec<Locked<[u8; 32]>> = (0..8)
            .map(|number| Locked::copy_of(&[number; 32]))
            .collect();
        assert!(keys.iter().all(Locked::is_locked));
        assert_eq!(refused(), None);
        assert!(locked_kilobytes() >= before + 8 * 4);
        assert_eq!(*keys[7], [7; 32]);
        let pages = keys.iter().map(|key| (&raw const **key).addr() / 4096);
        let mut pages: Vec<usize> = pages.collect();
        pages.dedup();
        assert_eq!(pages.len(), 8, "each on a page of its own");
        drop(keys);
        assert_eq!(locked_kilobytes(), before);
    }

    #[test]
    fn what_is_wiped_is_the_key_itself() {
        struct Witness<'a>(&'a std::cell::Cell<bool>);
        impl Zeroize for Witness<'_> {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = std::cell::Cell::new(false);
        drop(Locked {
            lock: None,
            page: Box::new(Page(Witness(&wiped))),
        });
        assert!(wiped.get());
    }

    #[test]
    fn it_shows_nobody_what_it_holds() {
        let key = Locked {
            lock: None,
            page: Box::new(Page([7; 4])),
        };
        assert_eq!(format!("{key:?}"), "Locked(redacted)");
    }
}
