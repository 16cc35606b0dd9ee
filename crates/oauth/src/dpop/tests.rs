use std::time::Duration;

use http::StatusCode;
use keyward_jose::jws::{JwsError, Unverified};
use keyward_jose::jwt::InvalidClaims;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::check::{ExpectedProof, InvalidProof, Proof, check};
use super::*;
use crate::test_fixtures::{VectorKey, response, vector};

/// RFC 9449 figure 2, a proof for the token endpoint.
const FIGURE_2: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

/// RFC 9449 figure 13, a proof for a resource.
const FIGURE_13: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

/// The access token of figure 13.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

/// The thumbprint of figure 9.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

const MADE: UnixTime = UnixTime::from_secs(1_800_000_000);
const ENDPOINT: &str = "https://op.example/token";

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn checked(
    proof: &str,
    method: &str,
    at: &str,
    token: Option<&str>,
    now: UnixTime,
) -> Result<Proof, InvalidProof> {
    let token = token.map(|token| AccessToken::new(token.to_owned()));
    let expected = ExpectedProof {
        method,
        url: &url(at),
        access_token: token.as_ref(),
        max_age: Duration::from_secs(300),
        leeway: Duration::from_secs(30),
    };
    check(proof, &expected, now)
}

fn at_endpoint(proof: &str) -> Result<Proof, InvalidProof> {
    checked(proof, "POST", ENDPOINT, None, MADE)
}

/// A proof of the device key with this header and these claims.
fn signed(header: &Header, claims: &Value) -> String {
    VectorKey::p256("device_ec").finish(Unsigned::from_claims(header, claims))
}

fn header() -> Header {
    Header::new(keyward_jose::Algorithm::Es256)
        .with_typ(TYP)
        .with_jwk(&VectorKey::p256("device_ec").jwk("ignored"))
}

fn claims() -> Value {
    json!({"jti": "1", "htm": "POST", "htu": ENDPOINT, "iat": MADE.as_secs()})
}

#[test]
fn the_examples_of_rfc_9449_hold() {
    let now = UnixTime::from_secs(1_562_262_620);
    let proof = checked(
        FIGURE_2,
        "POST",
        "https://server.example.com/token",
        None,
        now,
    )
    .unwrap();
    assert_eq!(proof.jkt.as_str(), JKT);
    assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");
    assert_eq!(proof.nonce, None);

    let resource = "https://resource.example.org/protectedresource";
    let proof = checked(FIGURE_13, "GET", resource, Some(TOKEN), now).unwrap();
    assert_eq!(
        (proof.jkt.as_str(), proof.iat.as_secs()),
        (JKT, 1_562_262_618)
    );
    assert_eq!(
        checked(FIGURE_13, "GET", resource, Some("another"), now),
        Err(InvalidProof::AccessToken)
    );
    assert_eq!(
        ath(&AccessToken::new(TOKEN.to_owned())),
        "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    );
}

#[test]
fn the_signing_input_of_the_vector_is_reproduced() {
    let key = VectorKey::p256("device_ec");
    let target = ProofTarget {
        method: "POST",
        url: &url("https://op.example/token"),
        nonce: Some("N"),
        access_token: None,
    };
    let jti = *uuid::Uuid::parse_str("3f6f2c1a-3d0e-4d4f-9b0f-7a8b9c0d1e2f")
        .unwrap()
        .as_bytes();
    let unsigned = proof(&key.jwk("ignored"), &target, MADE, jti);
    let vector = vector("dpop");
    let (signing_input, signature) = vector.rsplit_once('.').unwrap();
    assert_eq!(
        std::str::from_utf8(unsigned.signing_input()).unwrap(),
        signing_input
    );
    assert_eq!(
        unsigned.finish(&base64url::decode(signature).unwrap()),
        vector
    );

    let held = at_endpoint(&vector).unwrap();
    assert_eq!(held.jkt.as_str(), crate::test_fixtures::vector("jkt_ec"));
    assert_eq!(held.nonce.as_deref(), Some("N"));
}

#[test]
fn our_own_proof_holds_for_its_request_only() {
    let key = VectorKey::p256("device_ec");
    let token = AccessToken::new("at".to_owned());
    let target = ProofTarget {
        method: "GET",
        url: &url("https://user:pw@API.example:443/me?a=b#c"),
        nonce: None,
        access_token: Some(&token),
    };
    let proof = key.finish(proof(&key.jwk(""), &target, MADE, [9; 16]));
    let holds = |method, at, token| checked(&proof, method, at, token, MADE);
    assert!(holds("GET", "https://api.example/me?other=query", Some("at")).is_ok());
    assert_eq!(
        holds("POST", "https://api.example/me", Some("at")),
        Err(InvalidProof::Method)
    );
    assert_eq!(
        holds("get", "https://api.example/me", Some("at")),
        Err(InvalidProof::Method)
    );
    for other in [
        "https://api.example/you",
        "http://api.example/me",
        "https://api.example:8443/me",
    ] {
        assert_eq!(
            holds("GET", other, Some("at")),
            Err(InvalidProof::Url),
            "{other}"
        );
    }
    let other = holds("GET", "https://api.example/me", Some("other"));
    assert_eq!(other, Err(InvalidProof::AccessToken));
}

#[test]
fn a_broken_header_is_refused() {
    let claims = claims();
    assert!(at_endpoint(&signed(&header(), &claims)).is_ok());
    let plain = || Header::new(keyward_jose::Algorithm::Es256);
    let jwk = VectorKey::p256("device_ec").jwk("");
    for typ in ["JWT", "pop", "dpop"] {
        let proof = signed(&header().with_typ(typ), &claims);
        assert_eq!(at_endpoint(&proof), Err(InvalidProof::Typ), "{typ}");
    }
    let no_typ = signed(&plain().with_jwk(&jwk), &claims);
    assert_eq!(at_endpoint(&no_typ), Err(InvalidProof::Typ));
    let no_key = signed(&plain().with_typ(TYP), &claims);
    assert_eq!(at_endpoint(&no_key), Err(InvalidProof::NoKey));
    let stolen = VectorKey::p256("transport_ec").jwk("");
    let other_key = signed(&plain().with_typ(TYP).with_jwk(&stolen), &claims);
    assert_eq!(
        at_endpoint(&other_key),
        Err(InvalidProof::Jws(JwsError::BadSignature))
    );
    let rsa = VectorKey::rsa("device_rsa").jwk("");
    let mismatch = signed(&plain().with_typ(TYP).with_jwk(&rsa), &claims);
    assert_eq!(
        at_endpoint(&mismatch),
        Err(InvalidProof::Jws(JwsError::UnknownKey))
    );
}

#[test]
fn the_twins_of_the_vector_are_refused() {
    let good = vector("dpop");
    let [head, payload, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let relabel = |alg: &str| {
        let text = String::from_utf8(base64url::decode(head).unwrap()).unwrap();
        let head = base64url::encode(text.replace("ES256", alg).as_bytes());
        format!("{head}.{payload}.{signature}")
    };
    for (twin, why) in [
        (relabel("none"), JwsError::Algorithm),
        (relabel("HS256"), JwsError::Algorithm),
        (relabel("RS256"), JwsError::UnknownKey),
        (format!("{head}.{payload}."), JwsError::BadSignature),
        (
            format!("{head}.{payload}.{}", &signature[..84]),
            JwsError::BadSignature,
        ),
        (format!("{head}.{payload}"), JwsError::NotThreeParts),
        (format!("{good}.{signature}"), JwsError::NotThreeParts),
        (format!("{good}="), JwsError::NotBase64Url),
        (format!("{good}, {good}"), JwsError::NotThreeParts),
        (
            format!("{head}.{signature}.{payload}"),
            JwsError::BadSignature,
        ),
        (format!("{payload}.{head}.{signature}"), JwsError::Header),
    ] {
        assert_eq!(at_endpoint(&twin), Err(InvalidProof::Jws(why)), "{twin}");
    }
    let private = String::from_utf8(base64url::decode(head).unwrap())
        .unwrap()
        .replace("\"crv\"", "\"d\":\"AA\",\"crv\"");
    let twin = format!(
        "{}.{payload}.{signature}",
        base64url::encode(private.as_bytes())
    );
    assert_eq!(at_endpoint(&twin), Err(InvalidProof::Jws(JwsError::Header)));
}

#[test]
fn broken_claims_are_refused() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        at_endpoint(&signed(&header(), &claims)).unwrap_err()
    };
    let now = MADE.as_secs();
    for (name, value, why) in [
        (
            "jti",
            json!(1),
            InvalidProof::Claims(InvalidClaims::Malformed("jti")),
        ),
        ("htm", json!("GET"), InvalidProof::Method),
        (
            "htu",
            json!("https://op.example/token?a=b"),
            InvalidProof::Url,
        ),
        ("htu", json!("https://op.example/token?"), InvalidProof::Url),
        (
            "htu",
            json!("https://op.example/token#f"),
            InvalidProof::Url,
        ),
        ("htu", json!("https://op.example/"), InvalidProof::Url),
        (
            "htu",
            json!("https://u@op.example/token"),
            InvalidProof::Url,
        ),
        ("htu", json!("/token"), InvalidProof::Url),
        (
            "iat",
            json!(now - 301),
            InvalidProof::Claims(InvalidClaims::Expired),
        ),
        (
            "iat",
            json!(now + 31),
            InvalidProof::Claims(InvalidClaims::NotYetValid),
        ),
        (
            "iat",
            json!("1800000000"),
            InvalidProof::Claims(InvalidClaims::Malformed("iat")),
        ),
        (
            "nonce",
            json!(["N"]),
            InvalidProof::Claims(InvalidClaims::Malformed("nonce")),
        ),
    ] {
        assert_eq!(with(name, value.clone()), why, "{name} = {value}");
    }
    for name in ["jti", "htm", "htu", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let missing = InvalidProof::Claims(InvalidClaims::Missing(name));
        assert_eq!(at_endpoint(&signed(&header(), &claims)), Err(missing));
    }
    // At a resource, a proof without `ath` is none.
    let without = checked(
        &signed(&header(), &claims()),
        "POST",
        ENDPOINT,
        Some("at"),
        MADE,
    );
    assert_eq!(
        without,
        Err(InvalidProof::Claims(InvalidClaims::Missing("ath")))
    );
}

#[test]
fn equal_urls_in_another_spelling_are_one_target() {
    let mut claims = claims();
    claims["htu"] = json!("HTTPS://OP.example:443/token");
    assert!(at_endpoint(&signed(&header(), &claims)).is_ok());
}

#[test]
fn a_nonce_is_taken_from_any_answer() {
    let headers = |values: &[(&'static str, &str)]| response(200, values, "").headers;
    let long = "n".repeat(4097);
    assert_eq!(
        nonce(&headers(&[("dpop-nonce", "eyJ7S_zG.eyJH0")])).as_deref(),
        Some("eyJ7S_zG.eyJH0")
    );
    for bad in ["", "a b", "a\"b", "a\\b", &long] {
        assert_eq!(nonce(&headers(&[("dpop-nonce", bad)])), None, "{bad}");
    }
    assert_eq!(
        nonce(&headers(&[("dpop-nonce", "a"), ("dpop-nonce", "b")])),
        None
    );
    assert_eq!(nonce(&headers(&[])), None);
}

#[test]
fn a_resource_asks_for_its_nonce_with_401() {
    let challenge = r#"DPoP error="use_dpop_nonce", error_description="x""#;
    let answer = response(
        401,
        &[("www-authenticate", challenge), ("dpop-nonce", "n")],
        "",
    );
    let wants = |status| resource_wants_nonce(status, &answer.headers);
    assert_eq!(wants(StatusCode::UNAUTHORIZED).as_deref(), Some("n"));
    assert_eq!(wants(StatusCode::OK), None);
    let other = response(
        401,
        &[("www-authenticate", "Bearer"), ("dpop-nonce", "n")],
        "",
    );
    assert_eq!(
        resource_wants_nonce(StatusCode::UNAUTHORIZED, &other.headers),
        None
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,128}", htu in ".{0,64}", bytes in any::<Vec<u8>>()) {
        let _ = at_endpoint(&text);
        let mut claims = claims();
        claims["htu"] = json!(htu);
        let unsigned = Unsigned::from_claims(&header(), &claims);
        prop_assert!(at_endpoint(&unsigned.finish(&bytes)).is_err());
        let _ = Unverified::parse(&text);
    }
}
