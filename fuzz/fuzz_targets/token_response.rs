//! `token_response::read`; the first bytes choose status and `Retry-After`.
#![no_main]

use http::{HeaderMap, HeaderValue, StatusCode};
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_response;
use keyward_oauth::transport::HttpResponse;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, retry_after, body) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(retry_after) {
        headers.insert("retry-after", value);
    }
    let response = HttpResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        headers,
        body: Zeroizing::new(body.to_vec()),
    };
    let _ = token_response::read(&response, UnixTime::from_secs(1_800_000_000));
});
