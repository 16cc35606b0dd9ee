//! `jwt::Claims::parse` and every check of its times and types.
#![no_main]

use std::time::Duration;

use keyward_jose::jwt::Claims;
use keyward_jose::time::UnixTime;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claims) = Claims::parse(bytes) {
        let (now, minute) = (UnixTime::from_secs(1_800_000_000), Duration::from_secs(60));
        let _ = claims.check_lifetime(now, minute);
        let _ = claims.check_recent("iat", now, minute, minute);
        let _ = claims.audience();
    }
});
