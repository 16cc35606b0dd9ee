use proptest::prelude::*;

use super::*;
use crate::test_fixtures::{response, vectors};

const NOW: UnixTime = UnixTime::from_secs(784_111_770);

fn ok(body: &str) -> TokenResponse {
    read(&response(200, &[], body), NOW).unwrap()
}

fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> TokenError {
    read(&response(status, headers, body), NOW).unwrap_err()
}

#[test]
fn the_example_of_rfc_6749() {
    let answer = ok(
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
            "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}"#,
    );
    assert_eq!(
        answer.access_token.expose_secret(),
        "2YotnFZFEjr1zCsicMWpAA"
    );
    assert_eq!(
        answer.refresh_token.unwrap().expose_secret(),
        "tGzv3JOkF0XG5Qx2TlKWIA"
    );
    assert_eq!(answer.expires_in, Some(Duration::from_secs(3600)));
    assert!(answer.scopes.is_none() && answer.id_token.is_none());
}

#[test]
fn entras_extras_are_read_as_numbers_or_strings() {
    for body in [
        r#"{"token_type":"Bearer","scope":"a b","expires_in":4799,"ext_expires_in":4800,
            "refresh_in":43199,"access_token":"at","foci":"1"}"#,
        r#"{"token_type":"bearer","scope":"b a","expires_in":"4799","ext_expires_in":"4800",
            "refresh_in":"43199","access_token":"at","foci":"1"}"#,
    ] {
        let answer = ok(body);
        assert!(answer.is_type("Bearer") && !answer.is_type("DPoP"));
        assert_eq!(answer.scopes, Some(Scopes::parse("a b")));
        assert_eq!(answer.expires_in, Some(Duration::from_secs(4799)));
        assert_eq!(answer.ext_expires_in, Some(Duration::from_secs(4800)));
        assert_eq!(answer.refresh_in, Some(Duration::from_secs(43199)));
        assert_eq!(answer.foci.as_deref(), Some("1"));
    }
}

#[test]
fn the_answer_of_the_vectors_is_read() {
    let mut body = vectors()["prt_response_v2"].clone();
    body["access_token"] = "at".into();
    let answer = ok(&body.to_string());
    assert_eq!(answer.expires_in, Some(Duration::from_secs(1_209_599)));
    assert_eq!(answer.ext_expires_in, Some(Duration::ZERO));
    assert_eq!(
        answer.refresh_token_expires_in,
        Some(Duration::from_secs(1_209_599))
    );
    let info = answer.client_info.unwrap();
    assert_eq!(info.utid(), "11111111-2222-3333-4444-555555555555");
    assert!(answer.id_token.is_some());
}

#[test]
fn a_success_without_what_it_must_have_is_no_success() {
    let invalid = |why| TokenError::Invalid(why);
    for (body, why) in [
        (
            r#"{"token_type":"Bearer"}"#,
            InvalidAnswer::Missing("access_token"),
        ),
        (
            r#"{"access_token":"","token_type":"x"}"#,
            InvalidAnswer::Missing("access_token"),
        ),
        (
            r#"{"access_token":"a"}"#,
            InvalidAnswer::Missing("token_type"),
        ),
        (
            r#"{"access_token":1,"token_type":"x"}"#,
            InvalidAnswer::Malformed("access_token"),
        ),
        (
            r#"{"access_token":"a","token_type":"x","expires_in":-1}"#,
            InvalidAnswer::Malformed("expires_in"),
        ),
        (
            r#"{"access_token":"a","token_type":"x","refresh_token":{}}"#,
            InvalidAnswer::Malformed("refresh_token"),
        ),
        (
            r#"{"access_token":"a","token_type":"x","client_info":"!"}"#,
            InvalidAnswer::Malformed("client_info"),
        ),
        (
            r#"{"access_token":"a","access_token":"b","token_type":"x"}"#,
            InvalidAnswer::NotJson,
        ),
        ("<html>", InvalidAnswer::NotJson),
        ("", InvalidAnswer::NotJson),
    ] {
        assert_eq!(error(200, &[], body), invalid(why), "{body}");
    }
}

#[test]
fn a_hint_that_cannot_be_read_was_not_given() {
    let answer = ok(
        r#"{"access_token":"a","token_type":"x","ext_expires_in":"never","refresh_in":[],"foci":1}"#,
    );
    assert_eq!((answer.ext_expires_in, answer.refresh_in), (None, None));
    assert_eq!(answer.foci, None);
}

#[test]
fn a_refusal_is_told_from_an_outage() {
    let refused = error(
        400,
        &[],
        r#"{"error":"invalid_grant","suberror":"bad_token"}"#,
    );
    let refusal = refused.refusal().unwrap();
    assert_eq!(refusal.error.suberror.as_deref(), Some("bad_token"));
    assert!(!refusal.is_temporary());

    for (status, body) in [
        (429, "{}"),
        (500, "<html>"),
        (502, ""),
        (404, "[]"),
        (302, ""),
    ] {
        let outage = TokenError::Unavailable {
            status,
            retry_after: None,
        };
        assert_eq!(error(status, &[], body), outage);
    }
    for (status, body) in [
        (503, r#"{"error":"invalid_grant"}"#),
        (429, r#"{"error":"slow"}"#),
        (400, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        let refused = error(status, &[], body);
        assert!(refused.refusal().unwrap().is_temporary(), "{status} {body}");
    }
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let refused = error(200, &[], r#"{"error":"invalid_grant"}"#);
    assert_eq!(refused.refusal().unwrap().status, 200);
    // And tokens with another status are no tokens.
    let tokens = r#"{"access_token":"a","token_type":"x"}"#;
    assert!(matches!(
        error(400, &[], tokens),
        TokenError::Unavailable { .. }
    ));
}

#[test]
fn retry_after_is_kept_with_every_failure() {
    let seven = Some(Duration::from_secs(7));
    for value in ["7", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let headers = [("retry-after", value)];
        let outage = TokenError::Unavailable {
            status: 503,
            retry_after: seven,
        };
        assert_eq!(error(503, &headers, "busy"), outage);
        let refused = error(429, &headers, r#"{"error":"throttled"}"#);
        assert_eq!(refused.refusal().unwrap().retry_after, seven);
    }
}

#[test]
fn a_dpop_nonce_is_wanted_by_name() {
    let refused = error(400, &[("dpop-nonce", "n")], r#"{"error":"use_dpop_nonce"}"#);
    assert!(refused.refusal().unwrap().error.wants_dpop_nonce());
}

#[test]
fn neither_debug_nor_errors_show_a_token() {
    let shown = format!(
        "{:?}",
        ok(
            r#"{"access_token":"s3cret","refresh_token":"s3cret","id_token":"s3cret","token_type":"x"}"#
        )
    );
    assert!(!shown.contains("s3cret"), "{shown}");
    let failed = error(
        200,
        &[],
        r#"{"access_token":"s3cret","refresh_token":"s3cret"}"#,
    );
    assert!(!format!("{failed:?}{failed}").contains("s3cret"));
}

proptest! {
    #[test]
    fn arbitrary_answers_never_panic(
        status in 100u16..600, body in any::<Vec<u8>>(), retry in "[ -~]{0,40}",
        value in r#"-?[0-9]{1,25}|"[ -~&&[^"\\]]{0,24}"|null|\[\]|\{\}"#,
    ) {
        let mut answer = response(status, &[("retry-after", &retry)], "");
        answer.body = zeroize::Zeroizing::new(body);
        let _ = read(&answer, NOW);
        for name in ["expires_in", "error", "error_codes", "client_info", "id_token", "scope"] {
            let body = format!(r#"{{"access_token":"a","token_type":"x","{name}":{value}}}"#);
            let _ = read(&response(status, &[], &body), NOW);
            let _ = read(&response(200, &[], &body), NOW);
        }
    }
}
