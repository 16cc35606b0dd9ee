use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::test_keys::{A2_KEY, A3_KEY, ED25519_KEY, TestKey};

/// RFC 7638 §3.1, and the second key of RFC 7517 appendix A.1.
const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

fn jwk(text: &str) -> Jwk {
    Jwk::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_thumbprint_of_rfc_7638() {
    let key = jwk(RFC_7638);
    assert_eq!(
        key.thumbprint().as_str(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(key.kid(), Some("2011-04-29"));
    assert_eq!(key.alg(), Some(Algorithm::Rs256));
}

#[test]
fn the_thumbprints_of_the_vectors_and_of_rfc_8037() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../vectors/device-binding.json")).unwrap();
    let shr = vectors["shr"].as_str().unwrap().split('.').nth(1).unwrap();
    let shr: Value = serde_json::from_slice(&base64url::decode(shr).unwrap()).unwrap();
    let rsa = Jwk::from_value(&shr["cnf"]["jwk"]).unwrap();
    assert_eq!(rsa.thumbprint().as_str(), vectors["jkt_rsa"]);

    let dpop = vectors["dpop"].as_str().unwrap().split('.').next().unwrap();
    let dpop: Value = serde_json::from_slice(&base64url::decode(dpop).unwrap()).unwrap();
    let ec = Jwk::from_value(&dpop["jwk"]).unwrap();
    assert_eq!(ec.thumbprint().as_str(), vectors["jkt_ec"]);

    let ed = jwk(ED25519_KEY).thumbprint();
    assert_eq!(ed.as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_key_reads_back_what_it_writes() {
    for text in [RFC_7638, A2_KEY, A3_KEY, ED25519_KEY] {
        let key = jwk(text);
        assert_eq!(Jwk::parse(&serde_json::to_vec(&key).unwrap()).unwrap(), key);
    }
    let key = jwk(A3_KEY).with_kid("k1").for_signatures(Algorithm::Es256);
    let written = serde_json::to_value(&key).unwrap();
    assert_eq!(written["use"], "sig");
    assert_eq!(written["alg"], "ES256");
    assert_eq!(Jwk::from_value(&written).unwrap(), key);
    assert_eq!(key.bare(), jwk(A3_KEY));
}

#[test]
fn a_key_fits_the_algorithms_of_its_type_only() {
    let fits = |key: &Jwk| Algorithm::ALL.map(|algorithm| key.permits(algorithm));
    assert_eq!(fits(&jwk(A3_KEY)), [true, false, false, false]);
    assert_eq!(fits(&jwk(ED25519_KEY)), [false, true, false, false]);
    assert_eq!(fits(&jwk(A2_KEY)), [false, false, true, true]);
    // Named in the key: RS256 and nothing else.
    assert_eq!(fits(&jwk(RFC_7638)), [false, false, false, true]);
}

/// One change to a good key, and why the result is refused.
#[test]
fn broken_keys_are_refused() {
    let broken = |text: &str, name: &str, value: Value| {
        let mut key: Value = serde_json::from_str(text).unwrap();
        match value {
            Value::Null => key.as_object_mut().unwrap().remove(name),
            value => key.as_object_mut().unwrap().insert(name.to_owned(), value),
        };
        Jwk::from_value(&key).unwrap_err()
    };
    let other_y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5aw";
    for (text, name, value, why) in [
        (A3_KEY, "crv", json!("P-384"), InvalidJwk::UnknownType),
        (A3_KEY, "crv", json!("secp256k1"), InvalidJwk::UnknownType),
        (A3_KEY, "crv", Value::Null, InvalidJwk::UnknownType),
        (A3_KEY, "kty", json!("oct"), InvalidJwk::UnknownType),
        (A3_KEY, "kty", Value::Null, InvalidJwk::Member("kty")),
        (A3_KEY, "y", json!(other_y), InvalidJwk::NotOnCurve),
        (A3_KEY, "x", json!("AA"), InvalidJwk::Member("x")),
        (A3_KEY, "x", json!(1), InvalidJwk::Member("x")),
        (A3_KEY, "y", Value::Null, InvalidJwk::Member("y")),
        (A3_KEY, "d", json!("AA"), InvalidJwk::Private),
        (A3_KEY, "k", json!("AA"), InvalidJwk::Private),
        (A3_KEY, "use", json!("enc"), InvalidJwk::NotForSignatures),
        (
            A3_KEY,
            "key_ops",
            json!(["sign"]),
            InvalidJwk::NotForSignatures,
        ),
        (
            A3_KEY,
            "key_ops",
            json!("verify"),
            InvalidJwk::Member("key_ops"),
        ),
        (A3_KEY, "alg", json!("RS256"), InvalidJwk::Member("alg")),
        (A3_KEY, "alg", json!("ES384"), InvalidJwk::UnknownType),
        (A3_KEY, "kid", json!(7), InvalidJwk::Member("kid")),
        (
            A3_KEY,
            "kid",
            json!("k".repeat(513)),
            InvalidJwk::Member("kid"),
        ),
        (A2_KEY, "n", json!("AQAB"), InvalidJwk::RsaSize),
        (A2_KEY, "e", json!("AQ"), InvalidJwk::Member("e")),
        (A2_KEY, "e", json!("AAEAAQ"), InvalidJwk::Member("e")),
        (A2_KEY, "e", json!("Ag"), InvalidJwk::Member("e")),
        (ED25519_KEY, "crv", json!("X25519"), InvalidJwk::UnknownType),
    ] {
        assert_eq!(broken(text, name, value.clone()), why, "{name} = {value}");
    }
    let padded = A3_KEY.replace("RVEU\"", "RVEU=\"");
    assert_eq!(Jwk::parse(padded.as_bytes()), Err(InvalidJwk::Member("x")));
    assert_eq!(Jwk::parse(b"[]"), Err(InvalidJwk::NotAnObject));
    let twice = A3_KEY.replace("{\"kty\"", "{\"kty\":\"RSA\",\"kty\"");
    assert_eq!(Jwk::parse(twice.as_bytes()), Err(InvalidJwk::NotAnObject));
}

#[test]
fn a_point_of_another_form_is_refused() {
    let (key, _) = TestKey::p256();
    let mut point = serde_json::to_value(crate::Signer::public_jwk(&key)).unwrap();
    assert!(Jwk::from_value(&point).is_ok());
    point["x"] = json!(base64url::encode(&[0xff; 32]));
    assert_eq!(Jwk::from_value(&point), Err(InvalidJwk::NotOnCurve));
    assert_eq!(Jwk::p256(&[0; 65]), Err(InvalidJwk::Member("x")));
    assert_eq!(Jwk::p256(&[2; 33]), Err(InvalidJwk::Member("x")));
    assert_eq!(Jwk::p256(&[]), Err(InvalidJwk::Member("x")));
}

#[test]
fn a_set_leaves_out_what_it_cannot_use() {
    // RFC 7517 appendix A.1, with a symmetric key (A.3) and nonsense among them.
    let set = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}},{RFC_7638},{{"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"}},7,{{}}]}}"#
    );
    let set = JwkSet::parse(set.as_bytes()).unwrap();
    assert_eq!(set.keys(), [jwk(RFC_7638)]);
    assert_eq!(
        JwkSet::parse(&serde_json::to_vec(&set).unwrap()).unwrap(),
        set
    );
}

#[test]
fn only_objects_with_keys_are_sets() {
    for bad in ["[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, ""] {
        assert!(JwkSet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let many = json!({ "keys": vec![json!({}); 101] }).to_string();
    assert_eq!(
        JwkSet::parse(many.as_bytes()),
        Err(InvalidJwk::Member("keys"))
    );
    assert_eq!(JwkSet::parse(br#"{"keys":[]}"#), Ok(JwkSet::default()));
}

#[test]
fn a_foreign_thumbprint_is_32_octets() {
    assert!(Thumbprint::parse("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").is_ok());
    for bad in ["", "AA", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs="] {
        assert!(Thumbprint::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _ = Jwk::parse(&bytes);
        let _ = JwkSet::parse(&bytes);
        let _ = Jwk::p256(&bytes);
        let _ = Jwk::rsa(&bytes, &bytes);
        let _ = Jwk::ed25519(&bytes);
    }

    #[test]
    fn arbitrary_members_never_panic(
        kty in "EC|RSA|OKP|oct", crv in "P-256|Ed25519|X", x in any::<Vec<u8>>(), n in any::<[u8; 32]>()
    ) {
        let (x, n) = (base64url::encode(&x), base64url::encode(&n));
        for key in [
            json!({"kty": kty, "crv": crv, "x": x, "y": n}),
            json!({"kty": kty, "crv": crv, "x": n, "y": n}),
            json!({"kty": kty, "n": x, "e": "AQAB"}),
        ] {
            let _ = Jwk::from_value(&key);
        }
    }
}
