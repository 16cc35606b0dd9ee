//! A database and its write-ahead log, read into memory.
#![no_main]

use keyward_store::fuzzing::read_image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: (&[u8], &[u8])| {
    read_image(parts.0.to_vec(), parts.1);
});
