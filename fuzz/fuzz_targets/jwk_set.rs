//! `JwkSet::parse` and `Jwk::parse`; what was read must read back.
#![no_main]

use keyward_jose::{Jwk, JwkSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut keys = JwkSet::parse(bytes)
        .map(|set| set.keys().to_vec())
        .unwrap_or_default();
    keys.extend(Jwk::parse(bytes));
    for key in keys {
        let written = serde_json::to_vec(&key).expect("a key is JSON");
        let read = Jwk::parse(&written).expect("what we write we read");
        assert!(read == key && read.thumbprint() == key.thumbprint());
    }
});
