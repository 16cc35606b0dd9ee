//! `ClientInfo::parse`: one dot, and two non-empty parts around it.
#![no_main]

use keyward_jose::base64url;
use keyward_oauth::client_info::ClientInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for text in [text.into_owned(), base64url::encode(bytes)] {
        if let Ok(info) = ClientInfo::parse(&text) {
            assert!(!info.uid().is_empty() && !info.utid().is_empty());
            assert_eq!(info.home_account_id().as_str().matches('.').count(), 1);
        }
    }
});
