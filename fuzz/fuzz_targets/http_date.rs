//! `http_date::parse`: total, and never before the epoch.
#![no_main]

use keyward_oauth::http_date;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = http_date::parse(text);
});
