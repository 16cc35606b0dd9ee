//! Nonces the authority gives out (RFC 9449 §8, §9; device-bound signed requests).
//!
//! A nonce is its own record: the time it was made, some randomness, and a MAC over both and the
//! purpose. So it costs no memory however many are given out, one of ours is told from a foreign
//! one, and one purpose's nonce is worth nothing for another.

use std::time::Duration;

use aws_lc_rs::hmac;
use keyward_jose::base64url;
use keyward_oauth::time::UnixTime;

use crate::random;

/// What a nonce is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// DPoP proofs at the OpenID tenant's own endpoints.
    AuthorizationServer,
    /// DPoP proofs at the demo API.
    ResourceServer,
    /// Signed HTTP requests at the demo API.
    SignedRequest,
}

/// What is known about a nonce that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Ours and young enough.
    Fresh,
    /// Ours and too old.
    Stale,
    /// Not ours, or for another purpose.
    Foreign,
}

/// Makes and judges nonces.
pub(crate) struct Nonces {
    key: hmac::Key,
}

const MAC: usize = 16;
/// Time and randomness.
const BODY: usize = 16;

impl Nonces {
    pub(crate) fn new() -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::octets::<32>()),
        }
    }

    /// A new nonce.
    pub(crate) fn issue(&self, purpose: Purpose, now: UnixTime) -> String {
        let mut nonce = Vec::with_capacity(BODY + MAC);
        nonce.extend_from_slice(&now.as_secs().to_be_bytes());
        nonce.extend_from_slice(&random::octets::<8>());
        let mac = self.mac(purpose, &nonce);
        nonce.extend_from_slice(&mac.as_ref()[..MAC]);
        base64url::encode(&nonce)
    }

    /// Judges a nonce.
    pub(crate) fn judge(
        &self,
        purpose: Purpose,
        nonce: &str,
        now: UnixTime,
        lifetime: Duration,
    ) -> Judgement {
        let Ok(octets) = base64url::decode(nonce) else {
            return Judgement::Foreign;
        };
        let Some((body, given)) = octets.split_at_checked(BODY) else {
            return Judgement::Foreign;
        };
        let mac = self.mac(purpose, body);
        let known = &mac.as_ref()[..MAC];
        if aws_lc_rs::constant_time::verify_slices_are_equal(known, given).is_err() {
            return Judgement::Foreign;
        }
        let mut time = [0; 8];
        time.copy_from_slice(&body[..8]);
        let issued = UnixTime::from_secs(u64::from_be_bytes(time));
        if now.since(issued) < lifetime {
            Judgement::Fresh
        } else {
            Judgement::Stale
        }
    }

    fn mac(&self, purpose: Purpose, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[purpose as u8]);
        context.update(body);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(60);

    #[test]
    fn a_nonce_is_good_for_its_purpose_and_lifetime() {
        let nonces = Nonces::new();
        let nonce = nonces.issue(Purpose::ResourceServer, NOW);
        let judge = |purpose, seconds| {
            nonces.judge(
                purpose,
                &nonce,
                NOW.plus(Duration::from_secs(seconds)),
                LIFETIME,
            )
        };
        assert_eq!(judge(Purpose::ResourceServer, 59), Judgement::Fresh);
        assert_eq!(judge(Purpose::ResourceServer, 60), Judgement::Stale);
        assert_eq!(judge(Purpose::AuthorizationServer, 0), Judgement::Foreign);
    }

    #[test]
    fn a_foreign_nonce_is_known_as_such() {
        let nonces = Nonces::new();
        let other = Nonces::new().issue(Purpose::SignedRequest, NOW);
        for foreign in [
            other.as_str(),
            "",
            "x",
            "AAAA",
            "d131dd02c5e6eec4b9f1d2a03bb1f8a1",
        ] {
            let judged = nonces.judge(Purpose::SignedRequest, foreign, NOW, LIFETIME);
            assert_eq!(judged, Judgement::Foreign, "{foreign}");
        }
    }
}
