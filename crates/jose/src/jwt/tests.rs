use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const LEEWAY: Duration = Duration::from_secs(60);

fn claims(value: &Value) -> Claims {
    Claims::parse(value.to_string().as_bytes()).unwrap()
}

#[test]
fn a_lifetime_is_checked_with_leeway_on_both_ends() {
    let now = NOW.as_secs();
    for (set, expected) in [
        (json!({"exp": now + 1}), Ok(())),
        (json!({"exp": now}), Ok(())),
        (json!({"exp": now - 59}), Ok(())),
        (json!({"exp": now - 60}), Err(InvalidClaims::Expired)),
        (json!({"exp": 0}), Err(InvalidClaims::Expired)),
        (json!({"exp": now + 1, "nbf": now + 60}), Ok(())),
        (
            json!({"exp": now + 99, "nbf": now + 61}),
            Err(InvalidClaims::NotYetValid),
        ),
        (json!({}), Err(InvalidClaims::Missing("exp"))),
        (
            json!({"exp": "1900000000"}),
            Err(InvalidClaims::Malformed("exp")),
        ),
        (json!({"exp": -1}), Err(InvalidClaims::Malformed("exp"))),
        (json!({"exp": 1e300}), Err(InvalidClaims::Malformed("exp"))),
        (json!({"exp": null}), Err(InvalidClaims::Malformed("exp"))),
        (
            json!({"exp": now + 1, "nbf": []}),
            Err(InvalidClaims::Malformed("nbf")),
        ),
        (json!({"exp": u64::MAX}), Ok(())),
    ] {
        assert_eq!(claims(&set).check_lifetime(NOW, LEEWAY), expected, "{set}");
    }
}

#[test]
fn a_date_may_have_a_fraction() {
    let set = claims(&json!({"iat": 1_800_000_000.9}));
    assert_eq!(set.time("iat"), Ok(Some(NOW)));
}

#[test]
fn a_proof_is_recent_or_refused() {
    let oldest = Duration::from_secs(300);
    for (iat, expected) in [
        (NOW.as_secs(), Ok(())),
        (NOW.as_secs() - 300, Ok(())),
        (NOW.as_secs() - 301, Err(InvalidClaims::Expired)),
        (NOW.as_secs() + 60, Ok(())),
        (NOW.as_secs() + 61, Err(InvalidClaims::NotYetValid)),
    ] {
        let set = claims(&json!({ "iat": iat }));
        assert_eq!(
            set.check_recent("iat", NOW, oldest, LEEWAY),
            expected,
            "{iat}"
        );
    }
    let none = claims(&json!({}));
    let missing = Err(InvalidClaims::Missing("iat"));
    assert_eq!(none.check_recent("iat", NOW, oldest, LEEWAY), missing);
}

#[test]
fn an_audience_is_one_string_or_a_list() {
    assert_eq!(claims(&json!({"aud": "a"})).audience(), Ok(vec!["a"]));
    assert_eq!(
        claims(&json!({"aud": ["a", "b"]})).audience(),
        Ok(vec!["a", "b"])
    );
    assert_eq!(claims(&json!({})).audience(), Ok(vec![]));
    for bad in [
        json!({"aud": 1}),
        json!({"aud": ["a", 1]}),
        json!({"aud": {"a": 1}}),
    ] {
        assert_eq!(
            claims(&bad).audience(),
            Err(InvalidClaims::Malformed("aud"))
        );
    }
}

#[test]
fn claims_are_one_object_without_repetition() {
    for bad in ["", "[]", "\"a\"", r#"{"aud":"a","aud":"b"}"#] {
        assert_eq!(
            Claims::parse(bad.as_bytes()),
            Err(InvalidClaims::NotAnObject),
            "{bad}"
        );
    }
}

#[test]
fn debug_names_claims_and_shows_none() {
    let set = claims(&json!({"preferred_username": "alice@dev.test"}));
    assert_eq!(format!("{set:?}"), r#"{"preferred_username"}"#);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), exp in any::<f64>()) {
        if let Ok(set) = Claims::parse(&bytes) {
            let _ = set.check_lifetime(NOW, LEEWAY);
        }
        let _ = claims(&json!({ "exp": exp })).check_lifetime(NOW, LEEWAY);
    }
}
