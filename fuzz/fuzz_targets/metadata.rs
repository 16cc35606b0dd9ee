//! `Metadata::parse` under both rules for issuers.
#![no_main]

use keyward_oauth::issuer::{Issuer, IssuerRule};
use keyward_oauth::metadata::Metadata;
use keyward_oauth::transport::is_secure;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let exact = Issuer::parse("https://op.example").expect("an issuer");
    let entra = IssuerRule::Entra {
        origins: vec!["https://op.example".to_owned()],
        tenant: "common".to_owned(),
    };
    for rule in [IssuerRule::Exact(exact), entra] {
        if let Ok(metadata) = Metadata::parse(bytes, &rule) {
            assert!(rule.allows(&metadata.issuer) && is_secure(&metadata.token_endpoint));
        }
    }
});
