//! What may be used once: proof ids (RFC 9449 §11.1) and signed HTTP requests.

use keyward_jose::base64url;
use keyward_jose::digest::sha256;
use keyward_oauth::time::UnixTime;

use crate::expiring::{Expiring, NotNew};
use crate::locked::Locked;

/// Remembers what was used until it would be too old anyway.
pub(crate) struct Replays(Locked<Expiring<()>>);

/// Room for this many. A full memory refuses: forgetting would let replays through.
const MOST: usize = 200_000;

impl Replays {
    pub(crate) fn new() -> Self {
        Self(Locked::new(Expiring::new(MOST)))
    }

    /// Notes the use of something; an error if it was used before, or cannot be remembered.
    ///
    /// `key` is the proof key's thumbprint, so that nobody uses up other people's ids. `what` must
    /// not cover the signature: another valid ECDSA signature can be made from one without the
    /// key.
    pub(crate) fn first_use(
        &self,
        now: UnixTime,
        key: &str,
        what: &str,
        until: UnixTime,
    ) -> Result<(), NotNew> {
        let digest = base64url::encode(&sha256(format!("{key}\n{what}").as_bytes()));
        self.0.with(|used| used.insert_new(now, digest, until, ()))
    }
}
