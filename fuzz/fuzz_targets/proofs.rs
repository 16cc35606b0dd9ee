//! `dpop::check` and `shr::check`: what a resource is sent.
#![no_main]

use std::time::Duration;

use keyward_oauth::dpop::check::{ExpectedProof, check as check_proof};
use keyward_oauth::secret::AccessToken;
use keyward_oauth::shr::check::{ExpectedRequest, check as check_request};
use keyward_oauth::time::UnixTime;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|text: &str| {
    let (now, minute) = (UnixTime::from_secs(1_800_000_000), Duration::from_secs(60));
    let proof = ExpectedProof {
        method: "GET",
        url: &Url::parse("https://api.example/me").expect("a URL"),
        access_token: Some(&AccessToken::new("at".to_owned())),
        max_age: minute,
        leeway: minute,
    };
    let _ = check_proof(text, &proof, now);
    let request = ExpectedRequest {
        method: "GET",
        host: "api.example",
        path: "/me",
        max_age: minute,
        leeway: minute,
    };
    let _ = check_request(text, &request, now);
});
