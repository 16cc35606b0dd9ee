use std::time::Duration;

use keyward_jose::jws::JwsError;
use keyward_jose::jwt::InvalidClaims;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::check::{CheckedRequest, ExpectedRequest, InvalidRequest, check};
use super::*;
use crate::test_fixtures::{VectorKey, vector};

const MADE: UnixTime = UnixTime::from_secs(1_800_000_000);

fn graph(text: &str) -> Result<CheckedRequest, InvalidRequest> {
    checked(text, "GET", "graph.microsoft.com", "/v1.0/me", MADE)
}

fn checked(
    text: &str,
    method: &str,
    host: &str,
    path: &str,
    now: UnixTime,
) -> Result<CheckedRequest, InvalidRequest> {
    let expected = ExpectedRequest {
        method,
        host,
        path,
        max_age: Duration::from_secs(300),
        leeway: Duration::from_secs(30),
    };
    check(text, &expected, now)
}

fn refusal(text: &str) -> InvalidRequest {
    graph(text).map(drop).unwrap_err()
}

fn build(key: &VectorKey, nonce: Option<&str>, client_claims: Option<&str>) -> Unsigned {
    let target = SignedRequest {
        access_token: &AccessToken::new("AT".to_owned()),
        method: "GET",
        host: "graph.microsoft.com",
        path: "/v1.0/me",
        nonce,
        client_claims,
    };
    request(&key.jwk("ignored"), &target, MADE, [0xab; 16])
}

fn payload(jws: &str) -> Value {
    let payload = base64url::decode(jws.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn the_req_cnf_of_the_vectors() {
    let key = VectorKey::rsa("device_rsa").jwk("").thumbprint();
    assert_eq!(key.as_str(), vector("jkt_rsa"));
    assert_eq!(req_cnf(&key), vector("req_cnf"));
}

#[test]
fn the_payload_of_the_vector_is_reproduced() {
    let unsigned = build(&VectorKey::rsa("device_rsa"), Some("SERVER-NONCE"), None);
    let signing_input = std::str::from_utf8(unsigned.signing_input())
        .unwrap()
        .to_owned();
    let vector = vector("shr");
    let expected = vector.split('.').nth(1);
    assert_eq!(signing_input.split('.').nth(1), expected);
}

#[test]
fn the_vector_holds_for_its_request() {
    let held = graph(&vector("shr")).unwrap();
    assert_eq!(held.access_token.expose_secret(), "AT");
    assert_eq!(held.jkt.as_str(), vector("jkt_rsa"));
    assert_eq!(held.nonce.as_deref(), Some("SERVER-NONCE"));
    assert_eq!((held.ts, held.client_claims), (MADE, None));

    for (method, host, path) in [
        ("POST", "graph.microsoft.com", "/v1.0/me"),
        ("GET", "evil.example", "/v1.0/me"),
        ("GET", "graph.microsoft.com", "/v1.0/you"),
        ("GET", "graph.microsoft.com:8443", "/v1.0/me"),
    ] {
        let other = checked(&vector("shr"), method, host, path, MADE).map(drop);
        assert_eq!(other, Err(InvalidRequest::Target), "{method} {host} {path}");
    }
    for (now, why) in [
        (MADE.as_secs() + 301, InvalidClaims::Expired),
        (MADE.as_secs() - 31, InvalidClaims::NotYetValid),
    ] {
        let now = UnixTime::from_secs(now);
        let late = checked(
            &vector("shr"),
            "GET",
            "graph.microsoft.com",
            "/v1.0/me",
            now,
        );
        assert_eq!(late.map(drop), Err(InvalidRequest::Claims(why)));
    }
}

#[test]
fn our_own_is_es256_and_names_its_key() {
    let key = VectorKey::p256("device_ec");
    let jkt = key.jwk("").thumbprint();
    let text = key.finish(build(&key, None, Some(r#"{"a":1}"#)));
    let header = base64url::decode(text.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(
        header,
        json!({"alg": "ES256", "kid": jkt.as_str(), "typ": "pop"})
    );
    let claims = payload(&text);
    assert_eq!(
        claims["cnf"]["jwk"],
        serde_json::to_value(key.jwk("").bare()).unwrap()
    );
    // A GUID without hyphens, version 4.
    assert_eq!(claims["nonce"], "abababababab4bababababababababab");
    let held = graph(&text).unwrap();
    assert_eq!(held.jkt, jkt);
    assert_eq!(held.client_claims.as_deref(), Some(r#"{"a":1}"#));
}

#[test]
fn a_request_by_another_key_or_of_another_type_is_refused() {
    let key = VectorKey::p256("device_ec");
    let other = VectorKey::p256("transport_ec");
    let claims = payload(&key.finish(build(&key, None, None)));
    let header = |typ: &str, kid: &str| {
        Header::new(keyward_jose::Algorithm::Es256)
            .with_typ(typ)
            .with_kid(kid)
    };
    let jkt = key.jwk("").thumbprint();
    let sign = |key: &VectorKey, header: Header, claims: &Value| {
        key.finish(Unsigned::from_claims(&header, claims))
    };
    assert!(graph(&sign(&key, header("pop", jkt.as_str()), &claims)).is_ok());
    for typ in ["JWT", "dpop+jwt"] {
        let text = sign(&key, header(typ, jkt.as_str()), &claims);
        assert_eq!(refusal(&text), InvalidRequest::Typ);
    }
    let text = sign(&other, header("pop", jkt.as_str()), &claims);
    assert_eq!(refusal(&text), InvalidRequest::Jws(JwsError::BadSignature));
    let text = sign(
        &key,
        header("pop", other.jwk("").thumbprint().as_str()),
        &claims,
    );
    assert_eq!(refusal(&text), InvalidRequest::Key);
    for cnf in [
        json!({}),
        json!({"jwk": {}}),
        json!({"kid": jkt.as_str()}),
        json!(1),
    ] {
        let mut claims = claims.clone();
        claims["cnf"] = cnf;
        let text = sign(&key, header("pop", jkt.as_str()), &claims);
        assert_eq!(refusal(&text), InvalidRequest::Key);
    }
    for name in ["at", "ts", "m", "u", "p"] {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        let text = sign(&key, header("pop", jkt.as_str()), &claims);
        assert_eq!(
            refusal(&text),
            InvalidRequest::Claims(InvalidClaims::Missing(name))
        );
    }
}

#[test]
fn the_twins_of_the_vector_are_refused() {
    let good = vector("shr");
    let [head, payload, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let rs256 = String::from_utf8(base64url::decode(head).unwrap()).unwrap();
    let relabel = |from: &str, to: &str| {
        let head = base64url::encode(rs256.replace(from, to).as_bytes());
        format!("{head}.{payload}.{signature}")
    };
    for (twin, why) in [
        (relabel("RS256", "none"), JwsError::Algorithm),
        (relabel("RS256", "ES256"), JwsError::UnknownKey),
        (relabel("RS256", "PS256"), JwsError::BadSignature),
        (relabel("{", r#"{"crit":["x"],"#), JwsError::Critical),
        (relabel("{", r#"{"alg":"RS256","#), JwsError::Header),
        (format!("{head}.{payload}"), JwsError::NotThreeParts),
        (format!("{good}.{signature}"), JwsError::NotThreeParts),
        (format!("{good}=="), JwsError::NotBase64Url),
        (
            format!("{head}.{payload}.{}", &signature[..340]),
            JwsError::BadSignature,
        ),
    ] {
        assert_eq!(refusal(&twin), InvalidRequest::Jws(why), "{}", &twin[..80]);
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,128}", bytes in any::<Vec<u8>>()) {
        let _ = graph(&text).map(drop);
        let head = base64url::encode(br#"{"alg":"ES256","typ":"pop","kid":"k"}"#);
        let part = base64url::encode(&bytes);
        let token = format!("{head}.{part}.{part}");
        prop_assert!(graph(&token).is_err());
    }
}
