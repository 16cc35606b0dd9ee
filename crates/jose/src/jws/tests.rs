use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Signer;
use crate::test_keys::{A2, A2_KEY, A3, A3_KEY, ED25519, ED25519_KEY, PAYLOAD, TestKey};

fn jwk(text: &str) -> Jwk {
    Jwk::parse(text.as_bytes()).unwrap()
}

fn verify(text: &str, key: &Jwk) -> Result<Verified, JwsError> {
    Unverified::parse(text)?.verify(key)
}

fn refusal(text: &str, key: &Jwk) -> JwsError {
    verify(text, key).map(|_| ()).unwrap_err()
}

/// A token whose header is this text, over the payload of RFC 7515 with the signature of A.3.
fn with_header(header: &str) -> String {
    let rest = A3.split_once('.').unwrap().1;
    format!("{}.{rest}", base64url::encode(header.as_bytes()))
}

#[test]
fn the_examples_of_rfc_7515_and_rfc_8037_verify() {
    for (token, key, payload) in [
        (A2, A2_KEY, PAYLOAD),
        (A3, A3_KEY, PAYLOAD),
        (ED25519, ED25519_KEY, &b"Example of Ed25519 signing"[..]),
    ] {
        let verified = verify(token, &jwk(key)).unwrap();
        assert_eq!(verified.payload(), payload);
    }
}

#[test]
fn the_signing_input_of_rfc_7515_is_reproduced() {
    let unsigned = Unsigned::new(&Header::new(Algorithm::Es256), PAYLOAD);
    let (signing_input, signature) = A3.rsplit_once('.').unwrap();
    assert_eq!(unsigned.signing_input(), signing_input.as_bytes());
    assert_eq!(unsigned.finish(&base64url::decode(signature).unwrap()), A3);
}

#[test]
fn what_each_kind_of_key_signs_verifies_with_it_alone() {
    let keys = [
        TestKey::p256().0,
        TestKey::ed25519(),
        TestKey::rsa(Algorithm::Ps256),
        TestKey::rsa(Algorithm::Rs256),
    ];
    for (index, key) in keys.iter().enumerate() {
        let unsigned = Unsigned::new(&Header::new(key.algorithm()), b"{}");
        let token = unsigned.sign(key).unwrap();
        for (other, candidate) in keys.iter().enumerate() {
            let verified = verify(&token, candidate.public_jwk());
            assert_eq!(verified.is_ok(), index == other, "{}", key.algorithm());
        }
    }
}

#[test]
fn an_unsecured_token_is_refused() {
    // RFC 7515 appendix A.5.
    let payload = A2.split('.').nth(1).unwrap();
    let token = format!("eyJhbGciOiJub25lIn0.{payload}.");
    assert_eq!(refusal(&token, &jwk(A3_KEY)), JwsError::Algorithm);
    for alg in ["None", "NONE", "HS256", "ES384", "RS1", ""] {
        let token = with_header(&json!({ "alg": alg }).to_string());
        assert_eq!(refusal(&token, &jwk(A3_KEY)), JwsError::Algorithm, "{alg}");
    }
}

#[test]
fn algorithm_and_key_must_fit() {
    assert_eq!(refusal(A3, &jwk(A2_KEY)), JwsError::UnknownKey);
    assert_eq!(refusal(A2, &jwk(A3_KEY)), JwsError::UnknownKey);
    let ps256_only = jwk(A2_KEY).for_signatures(Algorithm::Ps256);
    assert_eq!(refusal(A2, &ps256_only), JwsError::UnknownKey);
    // The header says PS256, the signature is PKCS#1.
    let relabelled = A2.replacen(
        "eyJhbGciOiJSUzI1NiJ9",
        &base64url::encode(br#"{"alg":"PS256"}"#),
        1,
    );
    assert_eq!(refusal(&relabelled, &jwk(A2_KEY)), JwsError::BadSignature);
}

#[test]
fn another_serialisation_is_refused() {
    let key = jwk(A3_KEY);
    let [header, payload, signature]: [&str; 3] =
        A3.split('.').collect::<Vec<_>>().try_into().unwrap();
    for (token, why) in [
        (String::new(), JwsError::NotThreeParts),
        ("..".to_owned(), JwsError::Header),
        (format!("{header}.{payload}"), JwsError::NotThreeParts),
        (format!("{A3}."), JwsError::NotThreeParts),
        (format!("{A3}.{signature}"), JwsError::NotThreeParts),
        (format!("{A3}="), JwsError::NotBase64Url),
        (
            format!("{header}=.{payload}.{signature}"),
            JwsError::NotBase64Url,
        ),
        (format!(" {A3}"), JwsError::NotBase64Url),
        (format!("{A3}\n"), JwsError::NotBase64Url),
        // The same octets, not canonically encoded: Q is 010000, R would add a trailing bit.
        (A3.replace("NU1Q", "NU1R"), JwsError::NotBase64Url),
        (A3.replace('-', "+"), JwsError::NotBase64Url),
        (A3[..A3.len() - 2].to_owned(), JwsError::BadSignature),
        (format!("{header}.{payload}."), JwsError::BadSignature),
        (format!("{header}..{signature}"), JwsError::BadSignature),
        (format!("{payload}.{header}.{signature}"), JwsError::Header),
        (
            format!("{header}.{signature}.{payload}"),
            JwsError::BadSignature,
        ),
        ("a".repeat(LONGEST + 1), JwsError::TooLong),
    ] {
        assert_eq!(
            refusal(&token, &key),
            why,
            "{}",
            &token[..token.len().min(80)]
        );
    }
}

#[test]
fn a_der_signature_is_refused() {
    let (key, _) = TestKey::p256();
    let unsigned = Unsigned::new(&Header::new(Algorithm::Es256), b"{}");
    let raw = key.sign(unsigned.signing_input()).unwrap();
    // ECDSA-Sig-Value as X.509 has it; close enough for r and s without leading zeros.
    let der = [&[0x30, 68, 2, 32], &raw[..32], &[2, 32], &raw[32..]].concat();
    let token = unsigned.finish(&der);
    assert_eq!(refusal(&token, key.public_jwk()), JwsError::BadSignature);
}

#[test]
fn every_changed_octet_breaks_the_signature() {
    let key = jwk(A3_KEY);
    let [header, payload, signature]: [Vec<u8>; 3] = A3
        .split('.')
        .map(|part| base64url::decode(part).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let join = |payload: &[u8], signature: &[u8]| {
        [&header, payload, signature]
            .map(base64url::encode)
            .join(".")
    };
    assert_eq!(join(&payload, &signature), A3);
    for index in 0..payload.len() {
        let mut changed = payload.clone();
        changed[index] ^= 1;
        assert_eq!(
            refusal(&join(&changed, &signature), &key),
            JwsError::BadSignature
        );
    }
    for index in 0..signature.len() {
        let mut changed = signature.clone();
        changed[index] ^= 1;
        assert_eq!(
            refusal(&join(&payload, &changed), &key),
            JwsError::BadSignature
        );
    }
}

#[test]
fn a_broken_header_is_refused() {
    for (header, why) in [
        (
            r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
            JwsError::Critical,
        ),
        (r#"{"alg":"ES256","crit":[]}"#, JwsError::Critical),
        (r#"{"alg":"ES256","alg":"ES256"}"#, JwsError::Header),
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#, JwsError::Header),
        (r#"{"alg":["ES256"]}"#, JwsError::Header),
        (r#"{"alg":"ES256","kid":1}"#, JwsError::Header),
        (r#"{"alg":"ES256","typ":null}"#, JwsError::Header),
        (r#"{"alg":"ES256","jwk":{}}"#, JwsError::Header),
        (r#"{"typ":"JWT"}"#, JwsError::Header),
        ("[]", JwsError::Header),
        ("", JwsError::Header),
    ] {
        assert_eq!(refusal(&with_header(header), &jwk(A3_KEY)), why, "{header}");
    }
    let private = A3_KEY.replace("\"x\"", "\"d\":\"AA\",\"x\"");
    let header = format!(r#"{{"alg":"ES256","jwk":{private}}}"#);
    assert_eq!(
        refusal(&with_header(&header), &jwk(A3_KEY)),
        JwsError::Header
    );
}

#[test]
fn a_header_reads_back_what_it_writes() {
    let key = jwk(A3_KEY).with_kid("not embedded");
    let header = Header::new(Algorithm::Es256)
        .with_typ("dpop+jwt")
        .with_kid("k")
        .with_jwk(&key)
        .with("kdf_ver", json!(2))
        .with("alg", json!("none"))
        .with("crit", json!(["x"]));
    let read = Header::parse(&header.to_json()).unwrap();
    assert_eq!(read, header);
    assert_eq!(read.get("kdf_ver"), Some(&json!(2)));
    assert_eq!(read.jwk(), Some(&key.bare()));
}

#[test]
fn a_type_is_a_media_type() {
    let typ = |typ: &str| Header::new(Algorithm::Es256).with_typ(typ);
    for same in [
        "dpop+jwt",
        "DPoP+JWT",
        "application/dpop+jwt",
        "Application/DPOP+jwt",
    ] {
        assert!(typ(same).has_typ("dpop+jwt"), "{same}");
    }
    for other in [
        "jwt",
        "text/dpop+jwt",
        "application/",
        "",
        "ä/dpop+jwt",
        "applicationä",
    ] {
        assert!(!typ(other).has_typ("dpop+jwt"), "{other}");
    }
    assert!(!Header::new(Algorithm::Es256).has_typ("dpop+jwt"));
}

#[test]
fn a_set_is_searched_by_kid_and_type() {
    let (ours, _) = TestKey::p256();
    let (other, _) = TestKey::p256();
    let key = |key: &TestKey, kid: &str| key.public_jwk().clone().with_kid(kid);
    let sign = |header: Header| Unsigned::new(&header, b"{}").sign(&ours).unwrap();
    let verify = |token: &str, set: Vec<Jwk>| {
        let verified = Unverified::parse(token).unwrap().verify(&JwkSet::new(set));
        verified.map(|_| ())
    };
    let named = sign(Header::new(Algorithm::Es256).with_kid("a"));
    let nameless = sign(Header::new(Algorithm::Es256));
    let (a, b) = (key(&ours, "a"), key(&other, "b"));
    assert_eq!(verify(&named, vec![b.clone(), a.clone()]), Ok(()));
    assert_eq!(verify(&nameless, vec![b.clone(), a]), Ok(()));
    assert_eq!(verify(&named, vec![b.clone()]), Err(JwsError::UnknownKey));
    assert_eq!(verify(&nameless, vec![b]), Err(JwsError::BadSignature));
    assert_eq!(verify(&named, vec![ours.public_jwk().clone()]), Ok(()));
    assert_eq!(
        verify(&named, vec![key(&other, "a")]),
        Err(JwsError::BadSignature)
    );
    assert_eq!(verify(&named, vec![jwk(A2_KEY)]), Err(JwsError::UnknownKey));
    assert_eq!(verify(&named, vec![]), Err(JwsError::UnknownKey));
}

#[test]
fn the_dpop_and_shr_vectors_verify() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../vectors/device-binding.json")).unwrap();
    let dpop = Unverified::parse(vectors["dpop"].as_str().unwrap()).unwrap();
    let key = dpop.header().jwk().unwrap().clone();
    assert_eq!(
        dpop.verify(&key).unwrap().claims().unwrap().required("htm"),
        Ok("POST")
    );

    let shr = Unverified::parse(vectors["shr"].as_str().unwrap()).unwrap();
    let claims = Claims::parse(shr.unverified_payload()).unwrap();
    let key = Jwk::from_value(&claims.get("cnf").unwrap()["jwk"]).unwrap();
    assert_eq!(shr.header().kid(), Some(key.thumbprint().as_str()));
    assert!(shr.verify(&key).is_ok());

    // HS256 is none of ours.
    let prt = Unverified::parse(vectors["prt_use_kdf2"].as_str().unwrap());
    assert_eq!(prt.unwrap_err(), JwsError::Algorithm);
}

mod oracle {
    //! jsonwebtoken, which shares no code with us but the primitives.
    use jsonwebtoken as oracle;

    use super::*;

    #[test]
    fn jsonwebtoken_verifies_what_we_sign() {
        let (key, _) = TestKey::p256();
        let header = Header::new(Algorithm::Es256)
            .with_typ("dpop+jwt")
            .with_jwk(key.public_jwk());
        let token = Unsigned::from_claims(&header, &json!({"jti": "1"}))
            .sign(&key)
            .unwrap();

        let jwk = oracle::decode_header(&token).unwrap().jwk.unwrap();
        let thumbprint = jwk.thumbprint(oracle::jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(thumbprint, key.public_jwk().thumbprint().as_str());
        let mut validation = oracle::Validation::new(oracle::Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let decoding = oracle::DecodingKey::from_jwk(&jwk).unwrap();
        let decoded = oracle::decode::<Value>(&token, &decoding, &validation).unwrap();
        assert_eq!(decoded.claims["jti"], "1");
    }

    #[test]
    fn we_verify_what_jsonwebtoken_signs() {
        let (key, pkcs8) = TestKey::p256();
        let token = oracle::encode(
            &oracle::Header::new(oracle::Algorithm::ES256),
            &json!({"sub": "alice"}),
            &oracle::EncodingKey::from_ec_der(&pkcs8),
        )
        .unwrap();
        let verified = verify(&token, key.public_jwk()).unwrap();
        assert_eq!(verified.claims().unwrap().required("sub"), Ok("alice"));
        assert_eq!(refusal(&token, &jwk(A3_KEY)), JwsError::BadSignature);
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,256}", parts in "[A-Za-z0-9_.-]{0,128}") {
        let _ = Unverified::parse(&text);
        let _ = Unverified::parse(&parts);
    }

    #[test]
    fn arbitrary_parts_never_panic(
        header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()
    ) {
        let token = |header: &[u8]| [header, &payload, &signature].map(base64url::encode).join(".");
        let _ = Unverified::parse(&token(&header));
        for (alg, key) in [("ES256", A3_KEY), ("RS256", A2_KEY), ("EdDSA", ED25519_KEY)] {
            let token = token(json!({ "alg": alg }).to_string().as_bytes());
            prop_assert_eq!(refusal(&token, &jwk(key)), JwsError::BadSignature);
        }
    }
}
