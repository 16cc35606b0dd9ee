//! `UnverifiedIdToken::verify`: nothing passes that the authority's key did not sign.
#![no_main]

use keyward_jose::{Jwk, JwkSet};
use keyward_oauth::id_token::{ExpectedIdToken, UnverifiedIdToken};
use keyward_oauth::identifiers::ClientId;
use keyward_oauth::issuer::Issuer;
use keyward_oauth::secret::IdTokenText;
use keyward_oauth::time::UnixTime;
use libfuzzer_sys::fuzz_target;

/// RFC 7515 appendix A.3; the fuzzer does not have its private half.
const KEY: &[u8] = br#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

fuzz_target!(|text: &str| {
    let expected = ExpectedIdToken {
        issuer: &Issuer::parse("https://op.example").expect("an issuer"),
        client_id: &ClientId::parse("native").expect("a client"),
        nonce: None,
    };
    let keys = JwkSet::new(vec![Jwk::parse(KEY).expect("a key")]);
    let token = UnverifiedIdToken::new(IdTokenText::new(text.to_owned()));
    assert!(
        token
            .verify(&keys, &expected, UnixTime::from_secs(1_800_000_000))
            .is_err()
    );
});
