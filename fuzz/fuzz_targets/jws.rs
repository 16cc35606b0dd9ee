//! `jws::Unverified::parse`, and the check of whatever comes out of it.
#![no_main]

use keyward_jose::jws::Unverified;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(unverified) = Unverified::parse(text)
        && let Some(key) = unverified.header().jwk().cloned()
        && let Ok(verified) = unverified.verify(&key)
    {
        // Signed by the key it carries: then it must read back as the same header.
        let _ = verified.claims();
        assert!(key.permits(verified.algorithm()));
    }
});
