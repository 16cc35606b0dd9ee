//! The engine's small ports: what time it is, and where randomness comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use keyward_client::oauth::time::UnixTime;
use keyward_client::ports::{Clock, Random};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // Before 1970 nothing has expired yet.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime::from_secs(since.map_or(0, |span| span.as_secs()))
    }
}

/// The kernel's random number generator.
pub(crate) struct KernelRandom;

impl Random for KernelRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                // There is no answer without randomness, and no way to say so: every kernel we run
                // on has this call, and it fails for no other reason.
                Err(_) => std::process::abort(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_drawn() {
        let mut bytes = [0; 4096];
        KernelRandom.fill(&mut bytes);
        // 64 zeros in a row have a chance of 2^-512.
        assert!(
            bytes
                .chunks(64)
                .all(|part| part.iter().any(|byte| *byte != 0))
        );
        KernelRandom.fill(&mut []);
    }

    #[test]
    fn the_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > UnixTime::from_secs(1_750_000_000));
    }
}
