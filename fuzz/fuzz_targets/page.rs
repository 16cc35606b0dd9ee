//! `rehearsal::verdict`: no page panics, and none but a redirect says that a redirect URI is
//! allowed.
#![no_main]

use http::{HeaderMap, StatusCode};
use keyward_oauth::authorization_code::rehearsal::{Verdict, verdict};
use keyward_oauth::transport::HttpResponse;
use libfuzzer_sys::fuzz_target;
use url::Url;
use zeroize::Zeroizing;

fuzz_target!(|page: &[u8]| {
    let endpoint = Url::parse("https://op.example/auth").expect("a URL");
    let redirect_uri = Url::parse("http://localhost:1/").expect("a URL");
    for status in [StatusCode::OK, StatusCode::BAD_REQUEST] {
        let response = HttpResponse {
            status,
            headers: HeaderMap::new(),
            body: Zeroizing::new(page.to_vec()),
        };
        let said = verdict(&response, &endpoint, &redirect_uri);
        assert_ne!(said, Verdict::Allowed);
    }
});
