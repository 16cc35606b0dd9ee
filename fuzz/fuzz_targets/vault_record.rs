//! A sealed record, a sealed epoch, and what is in a record once it is opened.
#![no_main]

use keyward_store::fuzzing::{open_record, read_record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: (&[u8], &[u8])| {
    // Only what holds the key seals.
    assert!(!open_record(parts.0, parts.1));
    read_record(parts.1);
});
