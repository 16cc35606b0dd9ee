use std::collections::BTreeMap;

use super::*;
use crate::identifiers::CorrelationId;
use crate::test_fixtures::{form, parameter};
use crate::token_request::{Dialect, TokenBinding};

fn request(scopes: &str, dialect: Dialect, extra: &BTreeMap<String, String>) -> HttpRequest {
    RefreshRequest {
        token_endpoint: &Url::parse("https://op.example/token").unwrap(),
        client_id: &ClientId::parse("native").unwrap(),
        refresh_token: &RefreshToken::new("r t&1".to_owned()),
        scopes: &Scopes::parse(scopes),
    }
    .to_http(
        &TokenOptions {
            dialect,
            claims: Some(r#"{"access_token":{}}"#),
            binding: TokenBinding::AsIssued,
            correlation_id: CorrelationId::from_random([7; 16]),
            extra_parameters: extra,
        },
        Some("p.r.oof"),
    )
}

#[test]
fn the_body_is_the_refresh_grant() {
    let extra = BTreeMap::from([
        ("dc".to_owned(), "x".to_owned()),
        ("refresh_token".to_owned(), "other".to_owned()),
        ("grant_type".to_owned(), "password".to_owned()),
        ("client_secret".to_owned(), "s".to_owned()),
        ("token_type".to_owned(), "pop".to_owned()),
    ]);
    let request = request("a b", Dialect::OpenId, &extra);
    assert_eq!(request.method, http::Method::POST);
    assert_eq!(
        request.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(request.headers["dpop"], "p.r.oof");
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        "grant_type=refresh_token&client_id=native&refresh_token=r+t%261&scope=a+b\
         &claims=%7B%22access_token%22%3A%7B%7D%7D&dc=x"
    );
}

#[test]
fn without_scopes_all_that_were_granted_are_meant() {
    let body = form(&request("", Dialect::OpenId, &BTreeMap::new()).body);
    assert_eq!(parameter(&body, "scope"), None);
}

#[test]
fn entra_is_asked_for_client_info() {
    let request = request("a", Dialect::Entra, &BTreeMap::new());
    let body = form(&request.body);
    assert_eq!(parameter(&body, "client_info").as_deref(), Some("1"));
    assert!(request.headers.contains_key("client-request-id"));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", request("a", Dialect::OpenId, &BTreeMap::new()));
    assert!(!shown.contains("r t") && !shown.contains("r+t") && !shown.contains("oof"));
}
