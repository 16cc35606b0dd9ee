use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::test_fixtures::response;

fn op() -> IssuerRule {
    IssuerRule::Exact(Issuer::parse("https://op.example").unwrap())
}

/// What npm oidc-provider and Keycloak say, as far as it matters here.
fn document() -> Value {
    json!({
        "issuer": "https://op.example",
        "authorization_endpoint": "https://op.example/auth?realm=1",
        "token_endpoint": "https://op.example/token",
        "jwks_uri": "https://keys.example/jwks",
        "revocation_endpoint": "https://op.example/token/revocation",
        "authorization_response_iss_parameter_supported": true,
        "dpop_signing_alg_values_supported": ["ES256", "Ed25519", "ES512"],
        "code_challenge_methods_supported": ["S256"],
        "unknown": {"ignored": [1]},
    })
}

fn parse(document: &Value) -> Result<Metadata, MetadataError> {
    Metadata::parse(document.to_string().as_bytes(), &op())
}

#[test]
fn a_discovery_document_is_read() {
    let metadata = parse(&document()).unwrap();
    assert_eq!(metadata.issuer.as_str(), "https://op.example");
    assert_eq!(metadata.jwks_uri.as_str(), "https://keys.example/jwks");
    assert!(metadata.authorization_response_iss_parameter_supported);
    assert!(metadata.supports_dpop());
    assert_eq!(metadata.device_authorization_endpoint, None);
    assert_eq!(metadata.scopes_supported, None);
}

#[test]
fn entra_leaves_the_tenant_open() {
    let body = json!({
        "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
        "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
    });
    let rule = IssuerRule::Entra {
        origins: vec!["https://login.microsoftonline.com".to_owned()],
        tenant: "common".to_owned(),
    };
    let metadata = Metadata::parse(body.to_string().as_bytes(), &rule).unwrap();
    assert!(metadata.issuer.is_template());
    assert!(!metadata.supports_dpop());
    assert!(!metadata.authorization_response_iss_parameter_supported);
}

#[test]
fn a_document_about_another_issuer_is_refused() {
    for other in [
        "https://op.example/",
        "https://OP.example",
        "https://evil.example",
    ] {
        let mut document = document();
        document["issuer"] = json!(other);
        assert_eq!(
            parse(&document).unwrap_err(),
            MetadataError::OtherIssuer,
            "{other}"
        );
    }
}

#[test]
fn what_a_sign_in_needs_must_be_there_and_secure() {
    for name in [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
    ] {
        let mut absent = document();
        absent.as_object_mut().unwrap().remove(name);
        let missing = MetadataError::Invalid(InvalidAnswer::Missing(name));
        assert_eq!(parse(&absent).unwrap_err(), missing);
        let mut number = document();
        number[name] = json!(1);
        let malformed = MetadataError::Invalid(InvalidAnswer::Malformed(name));
        assert_eq!(parse(&number).unwrap_err(), malformed);
    }
    for insecure in [
        "http://op.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ] {
        let mut document = document();
        document["token_endpoint"] = json!(insecure);
        let refused = MetadataError::Insecure("token_endpoint");
        assert_eq!(parse(&document).unwrap_err(), refused, "{insecure}");
    }
    let mut loopback = document();
    loopback["token_endpoint"] = json!("http://127.0.0.1:8080/token");
    assert!(parse(&loopback).is_ok());
}

#[test]
fn a_request_asks_beside_the_issuer() {
    for (authority, url) in [
        (
            "https://op.example",
            "https://op.example/.well-known/openid-configuration",
        ),
        (
            "https://op.example/",
            "https://op.example/.well-known/openid-configuration",
        ),
        (
            "https://e.example/t/v2.0",
            "https://e.example/t/v2.0/.well-known/openid-configuration",
        ),
    ] {
        let request = request(&Url::parse(authority).unwrap());
        assert_eq!(request.url.as_str(), url);
        assert_eq!(request.method, http::Method::GET);
    }
}

#[test]
fn only_200_is_metadata() {
    let text = document().to_string();
    assert!(Metadata::read(&response(200, &[], &text), &op()).is_ok());
    for status in [204, 302, 404, 500] {
        let refused = Metadata::read(&response(status, &[], &text), &op()).unwrap_err();
        assert_eq!(refused, MetadataError::Status(status));
        let keys = read_jwks(&response(status, &[], r#"{"keys":[]}"#)).unwrap_err();
        assert_eq!(keys, MetadataError::Status(status));
    }
    assert!(read_jwks(&response(200, &[], r#"{"keys":[]}"#)).is_ok());
    assert!(read_jwks(&response(200, &[], "<html>")).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), text in ".{0,64}") {
        let _ = Metadata::parse(&bytes, &op());
        let mut document = document();
        document["token_endpoint"] = json!(text);
        document["scopes_supported"] = json!([text, 1]);
        let _ = parse(&document);
        document["issuer"] = json!(text);
        let _ = parse(&document);
    }
}
