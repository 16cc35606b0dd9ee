use keyward_jose::Algorithm;
use keyward_jose::jws::{Header, Unsigned};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::test_fixtures::{VectorKey, vectors};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const TID: &str = "11111111-2222-3333-4444-555555555555";
const OP: &str = "https://op.example";
const ENTRA: &str = "https://login.example/{tenantid}/v2.0";

fn keys() -> JwkSet {
    JwkSet::new(vec![
        VectorKey::rsa("device_rsa")
            .jwk("rsa")
            .for_signatures(Algorithm::Rs256),
        VectorKey::p256("device_ec").jwk("ec"),
    ])
}

fn nonce() -> Nonce {
    Nonce::from_random([3; 32])
}

fn claims() -> Value {
    json!({
        "iss": OP, "sub": "alice", "aud": "native", "nonce": nonce().as_str(),
        "iat": NOW.as_secs() - 5, "exp": NOW.as_secs() + 3600,
        "name": "Alice", "email": "alice@dev.test",
    })
}

fn sign(claims: &Value) -> UnverifiedIdToken {
    let header = Header::new(Algorithm::Rs256).with_kid("rsa");
    unverified(VectorKey::rsa("device_rsa").finish(Unsigned::from_claims(&header, claims)))
}

fn unverified(text: String) -> UnverifiedIdToken {
    UnverifiedIdToken::new(IdTokenText::new(text))
}

fn verify_for(
    token: &UnverifiedIdToken,
    issuer: &str,
    nonce: Option<&Nonce>,
) -> Result<IdToken, IdTokenError> {
    let expected = ExpectedIdToken {
        issuer: &Issuer::parse(issuer).unwrap(),
        client_id: &ClientId::parse("native").unwrap(),
        nonce,
    };
    token.verify(&keys(), &expected, NOW)
}

fn verify(claims: &Value) -> Result<IdToken, IdTokenError> {
    verify_for(&sign(claims), OP, Some(&nonce()))
}

/// The refusal when one claim is changed; `null` removes it.
fn refusal(name: &str, value: &Value) -> IdTokenError {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value.clone(),
    }
    verify(&claims).unwrap_err()
}

#[test]
fn a_good_token_says_who_signed_in() {
    let token = verify(&claims()).unwrap();
    assert_eq!((token.issuer(), token.subject()), (OP, "alice"));
    assert_eq!(
        (token.name(), token.username()),
        (Some("Alice"), Some("alice@dev.test"))
    );
    assert_eq!((token.tenant_id(), token.object_id()), (None, None));
    assert_eq!(token.expires_on().as_secs(), NOW.as_secs() + 3600);
    assert!(!format!("{token:?}").contains("alice"));
}

#[test]
fn each_key_of_the_set_signs_with_its_own_algorithm() {
    let key = VectorKey::p256("device_ec");
    for kid in [Some("ec"), None] {
        let mut header = Header::new(Algorithm::Es256);
        if let Some(kid) = kid {
            header = header.with_kid(kid);
        }
        let token = unverified(key.finish(Unsigned::from_claims(&header, &claims())));
        assert!(verify_for(&token, OP, Some(&nonce())).is_ok());
    }
}

#[test]
fn entras_template_takes_the_tenant_of_the_token() {
    let mut claims = claims();
    claims["iss"] = json!(format!("https://login.example/{TID}/v2.0"));
    claims["tid"] = json!(TID);
    claims["oid"] = json!("o");
    let token = verify_for(&sign(&claims), ENTRA, Some(&nonce())).unwrap();
    assert_eq!(
        (token.tenant_id(), token.object_id()),
        (Some(TID), Some("o"))
    );

    for (iss, tid) in [
        (
            json!(format!("https://login.example/{TID}/v2.0")),
            json!("22222222-2222-3333-4444-555555555555"),
        ),
        (
            json!(format!("https://login.example/{TID}/v2.0")),
            Value::Null,
        ),
        (
            json!(format!("https://evil.example/{TID}/v2.0")),
            json!(TID),
        ),
        (json!("https://login.example/x/v2.0"), json!("x")),
    ] {
        claims["iss"] = iss;
        match tid {
            Value::Null => drop(claims.as_object_mut().unwrap().remove("tid")),
            tid => claims["tid"] = tid,
        }
        let refused = verify_for(&sign(&claims), ENTRA, Some(&nonce())).unwrap_err();
        assert_eq!(refused, IdTokenError::Issuer, "{claims}");
    }
}

#[test]
fn every_claim_is_checked() {
    let now = NOW.as_secs();
    let bad = |why| IdTokenError::Claims(why);
    for (name, value, why) in [
        ("iss", json!("https://op.example/"), IdTokenError::Issuer),
        ("iss", json!("https://evil.example"), IdTokenError::Issuer),
        ("iss", Value::Null, bad(InvalidClaims::Missing("iss"))),
        ("aud", json!("other"), IdTokenError::Audience),
        ("aud", json!("nativ"), IdTokenError::Audience),
        ("aud", json!(["native", "other"]), IdTokenError::Audience),
        ("aud", json!([]), IdTokenError::Audience),
        ("aud", Value::Null, IdTokenError::Audience),
        ("aud", json!(7), bad(InvalidClaims::Malformed("aud"))),
        ("azp", json!("other"), IdTokenError::Audience),
        ("azp", json!(1), bad(InvalidClaims::Malformed("azp"))),
        ("exp", json!(now - 300), bad(InvalidClaims::Expired)),
        ("exp", json!(0), bad(InvalidClaims::Expired)),
        ("exp", Value::Null, bad(InvalidClaims::Missing("exp"))),
        ("nbf", json!(now + 301), bad(InvalidClaims::NotYetValid)),
        ("iat", json!(now + 301), bad(InvalidClaims::NotYetValid)),
        ("iat", Value::Null, bad(InvalidClaims::Missing("iat"))),
        ("nonce", json!("other"), IdTokenError::Nonce),
        ("nonce", json!(""), IdTokenError::Nonce),
        ("nonce", Value::Null, IdTokenError::Nonce),
        ("sub", Value::Null, bad(InvalidClaims::Missing("sub"))),
        ("tid", json!(1), bad(InvalidClaims::Malformed("tid"))),
    ] {
        assert_eq!(refusal(name, &value), why, "{name} = {value}");
    }
}

#[test]
fn what_the_specification_allows_is_accepted() {
    let now = NOW.as_secs();
    for (name, value) in [
        ("aud", json!(["native"])),
        ("azp", json!("native")),
        ("exp", json!(now - 299)),
        ("iat", json!(now + 300)),
        ("unknown", json!({"a": [1]})),
    ] {
        let mut claims = claims();
        claims[name] = value;
        assert!(verify(&claims).is_ok(), "{claims}");
    }
}

#[test]
fn on_refresh_no_nonce_is_expected() {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove("nonce");
    assert!(verify_for(&sign(&claims), OP, None).is_ok());
}

#[test]
fn an_unsigned_or_foreign_token_is_refused() {
    // `alg: none`, as Entra issues beside a PRT.
    let none = vectors()["prt_response_v2"]["id_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let jws = |why| IdTokenError::Jws(why);
    let refused = |token: String| verify_for(&unverified(token), OP, Some(&nonce())).unwrap_err();
    assert_eq!(refused(none), jws(JwsError::Algorithm));

    let stranger = VectorKey::rsa("transport_rsa");
    let foreign = |kid: &str| {
        let header = Header::new(Algorithm::Rs256).with_kid(kid);
        stranger.finish(Unsigned::from_claims(&header, &claims()))
    };
    assert_eq!(refused(foreign("rsa")), jws(JwsError::BadSignature));
    assert_eq!(refused(foreign("new")), IdTokenError::UnknownKey);
    assert_eq!(refused(foreign("ec")), IdTokenError::UnknownKey);
    // A key in the header is nobody's.
    let header = Header::new(Algorithm::Rs256).with_jwk(&stranger.jwk(""));
    let embedded = stranger.finish(Unsigned::from_claims(&header, &claims()));
    assert_eq!(refused(embedded), jws(JwsError::BadSignature));

    let good = sign(&claims());
    let good = good.0.expose_secret();
    assert_eq!(
        refused(good.replacen('.', "..", 1)),
        jws(JwsError::NotThreeParts)
    );
    assert_eq!(refused(format!("{good}=")), jws(JwsError::NotBase64Url));
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    assert_eq!(refused(format!("{unsigned}.")), jws(JwsError::BadSignature));
}

#[test]
fn a_repeated_claim_is_refused() {
    let text = claims().to_string().replacen('{', r#"{"aud":"other","#, 1);
    let header = Header::new(Algorithm::Rs256).with_kid("rsa");
    let token = VectorKey::rsa("device_rsa").finish(Unsigned::new(&header, text.as_bytes()));
    let refused = verify_for(&unverified(token), OP, Some(&nonce())).unwrap_err();
    assert_eq!(refused, IdTokenError::Claims(InvalidClaims::NotAnObject));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,128}") {
        prop_assert!(verify_for(&unverified(text), OP, None).is_err());
    }

    #[test]
    fn arbitrary_signed_claims_never_panic(
        name in "iss|aud|azp|exp|nbf|iat|nonce|sub|tid",
        value in r#"-?[0-9]{1,20}|"[a-z]{0,8}"|null|\[\]|\{\}|\["native",1\]"#,
    ) {
        let mut claims = claims();
        claims[&*name] = serde_json::from_str(&value).unwrap_or(Value::Null);
        let header = Header::new(Algorithm::Es256).with_kid("ec");
        let token = VectorKey::p256("device_ec").finish(Unsigned::from_claims(&header, &claims));
        let _ = verify_for(&unverified(token), OP, Some(&nonce()));
    }
}
