use proptest::prelude::*;

use super::super::RedirectUri;
use super::*;
use crate::identifiers::ClientId;
use crate::issuer::{Issuer, IssuerRule};
use crate::jose::Thumbprint;
use crate::scope::Scopes;
use crate::test_fixtures::{form, parameter, response};
use crate::token_request::Dialect;

const ENDPOINT: &str = "https://op.example/auth";

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn read(response: &HttpResponse) -> Verdict {
    verdict(response, &url(ENDPOINT), &url("http://localhost:4711/"))
}

fn said(status: u16, body: &str) -> Verdict {
    read(&response(status, &[], body))
}

fn refusal(status: u16, body: &str) -> ErrorResponse {
    match said(status, body) {
        Verdict::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_request_shows_nothing_and_says_nothing_of_the_person() {
    let body = format!(
        r#"{{"issuer":"https://op.example","authorization_endpoint":"{ENDPOINT}",
            "token_endpoint":"https://op.example/t","jwks_uri":"https://op.example/j"}}"#
    );
    let rule = IssuerRule::Exact(Issuer::parse("https://op.example").unwrap());
    let metadata = Metadata::read(&response(200, &[], &body), &rule).unwrap();
    let jkt = Thumbprint::parse("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let extra = [("domain_hint".to_owned(), "dev.test".to_owned())].into();
    let request = AuthorizationRequest {
        client_id: &ClientId::parse("native").unwrap(),
        redirect_uri: &RedirectUri::new(url("http://localhost:4711/"), None),
        scopes: &Scopes::parse("openid api://x/read"),
        prompt: Some("login"),
        login_hint: Some("alice@dev.test"),
        claims: Some("{}"),
        dpop_jkt: Some(&jkt),
        dialect: Dialect::Entra,
        extra_parameters: &extra,
    };
    let asked = rehearsal(&metadata, &request, &mut |bytes| bytes.fill(7));
    assert_eq!(asked.method, http::Method::GET);
    let query = form(asked.url.query().unwrap().as_bytes());
    for (name, value) in [
        ("prompt", "none"),
        ("client_id", "native"),
        ("redirect_uri", "http://localhost:4711"),
        ("scope", "openid api://x/read"),
    ] {
        assert_eq!(parameter(&query, name).as_deref(), Some(value), "{name}");
    }
    for name in ["login_hint", "claims", "dpop_jkt", "domain_hint"] {
        assert_eq!(parameter(&query, name), None, "{name}");
    }
}

#[test]
fn a_redirect_to_the_redirect_uri_says_that_it_is_allowed() {
    for (location, verdict) in [
        (
            "http://localhost:4711?error=login_required",
            Verdict::Allowed,
        ),
        (
            "http://localhost:4711/#error=login_required",
            Verdict::Allowed,
        ),
        (
            "http://localhost:4712/?error=login_required",
            Verdict::Unsaid,
        ),
        ("http://localhost:4711/other?error=x", Verdict::Unsaid),
        ("https://localhost:4711/?error=x", Verdict::Unsaid),
        (
            "/login?redirect_uri=http%3A%2F%2Flocalhost",
            Verdict::Unsaid,
        ),
        ("//[", Verdict::Unsaid),
    ] {
        let answer = response(302, &[("location", location)], "AADSTS50011: no");
        assert_eq!(read(&answer), verdict, "{location}");
    }
}

#[test]
fn entra_says_so_in_a_page_of_whatever_status() {
    let script = r#"<html><script>$Config={"fShow":true,"strServiceExceptionMessage":"AADSTS50011: The redirect URI \u0027http://localhost:4711\u0027 specified in the request does not match.","iErrorCode":50011}</script>"#;
    let text = "<p>AADSTS50011: The redirect URI &#39;http://localhost:4711&#39; specified in the request does not match.</p>";
    let lines = r#"x="AADSTS50011: The redirect URI \u0027http://localhost:4711\u0027 specified in the request does not match.\r\nTrace ID: 1""#;
    let marked = format!("<p data-error=\"AADSTS50011\">{}</p>", &text[3..]);
    for (status, page) in [(200, script), (400, text), (200, lines), (400, &marked)] {
        let refusal = refusal(status, page);
        assert_eq!(refusal.codes, [50011]);
        assert_eq!(
            refusal.description.as_deref(),
            Some(
                "AADSTS50011: The redirect URI 'http://localhost:4711' specified in the request \
                 does not match."
            )
        );
    }
}

#[test]
fn others_say_so_in_words() {
    for (body, description) in [
        (
            "<p class=\"instruction\">Invalid parameter: redirect_uri</p>",
            "Invalid parameter: redirect_uri",
        ),
        (
            "<pre>redirect_uri did not match any of the client's registered redirect_uris</pre>",
            "redirect_uri did not match any of the client's registered redirect_uris",
        ),
        (
            "The redirect_uri is unknown\nbye",
            "The redirect_uri is unknown",
        ),
        (
            r#"{"error":"invalid_request","error_description":"redirect_uri is not registered"}"#,
            "redirect_uri is not registered",
        ),
    ] {
        assert_eq!(refusal(400, body).description.as_deref(), Some(description));
    }
    assert_eq!(
        refusal(403, r#"{"error":"redirect_uri_mismatch"}"#).error,
        "redirect_uri_mismatch"
    );
}

#[test]
fn everything_else_says_nothing() {
    for (status, body) in [
        (200, "<form>Sign in</form>"),
        (200, "<p>Invalid parameter: redirect_uri</p>"),
        (500, "<p>redirect_uri: internal error</p>"),
        (
            400,
            "<p>Blocked: /auth?client_id=a&redirect_uri=http%3A%2F%2Flocalhost</p>",
        ),
        (400, "<p>Blocked: %26redirect_uri%3Dhttp</p>"),
        (400, "<p>AADSTS700016: no such application</p>"),
        (400, r#"{"error":"invalid_scope"}"#),
        (429, ""),
        (200, "AADSTS"),
    ] {
        assert_eq!(said(status, body), Verdict::Unsaid, "{status} {body}");
    }
}

#[test]
fn long_descriptions_are_cut_between_characters() {
    let page = format!("AADSTS50011: {}", "ä".repeat(5000));
    let description = refusal(200, &page).description.unwrap();
    assert!((LONGEST - 1..=LONGEST).contains(&description.len()));
    let far = format!("<p>{} redirect_uri is unknown</p>", "ä".repeat(5000));
    let description = refusal(400, &far).description.unwrap();
    assert_eq!(description, "redirect_uri is unknown");
}

proptest! {
    #[test]
    fn an_arbitrary_page_never_panics(text in "(AADSTS50011|redirect_uri|[<>\"\\\\rnä ]){0,20}", status in 200u16..600) {
        let _ = said(status, &text);
    }
}
