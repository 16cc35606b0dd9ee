use proptest::prelude::*;

use super::*;
use crate::issuer::IssuerRule;
use crate::test_fixtures::{form, parameter, response};
use crate::token_request::TokenBinding;

const ISSUER: &str = "https://op.example";
const REDIRECT: &str = "http://127.0.0.1:40123/callback";

fn metadata(endpoint: &str, iss_supported: bool) -> Metadata {
    let body = format!(
        r#"{{"issuer":"{ISSUER}","authorization_endpoint":"{endpoint}",
            "token_endpoint":"{ISSUER}/token","jwks_uri":"{ISSUER}/jwks",
            "authorization_response_iss_parameter_supported":{iss_supported}}}"#
    );
    let rule = IssuerRule::Exact(Issuer::parse(ISSUER).unwrap());
    Metadata::read(&response(200, &[], &body), &rule).unwrap()
}

/// A source that never repeats itself.
fn random() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |bytes| {
        next += 1;
        bytes.fill(next);
    }
}

fn started(extra: &[(&str, &str)], endpoint: &str, iss_supported: bool) -> (Url, Pending) {
    let extra: BTreeMap<String, String> = extra
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let jkt = Thumbprint::parse("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let request = AuthorizationRequest {
        client_id: &ClientId::parse("native").unwrap(),
        redirect_uri: &RedirectUri::new(Url::parse(REDIRECT).unwrap(), None),
        scopes: &Scopes::parse("openid api://x/read"),
        prompt: Some("select_account"),
        login_hint: Some("alice@dev.test"),
        claims: None,
        dpop_jkt: Some(&jkt),
        dialect: Dialect::OpenId,
        extra_parameters: &extra,
    };
    start(&metadata(endpoint, iss_supported), &request, &mut random())
}

fn pending() -> Pending {
    started(&[], "https://op.example/auth", false).1
}

/// The state of [`pending`]: the second 32 bytes drawn.
fn state() -> String {
    base64url::encode(&[2; 32])
}

fn redirect(text: &str) -> Redirect {
    Redirect {
        url: Url::parse(text).unwrap(),
    }
}

fn refusal(text: &str) -> RedirectError {
    pending().finish(&redirect(text)).unwrap_err()
}

#[test]
fn the_url_asks_for_a_code_with_pkce_state_and_nonce() {
    let (url, pending) = started(&[], "https://op.example/auth", false);
    let query = form(url.query().unwrap().as_bytes());
    let challenge = pkce::challenge(&pending.verifier);
    for (name, value) in [
        ("client_id", "native"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid api://x/read"),
        ("state", &*state()),
        ("nonce", &base64url::encode(&[3; 32])),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("prompt", "select_account"),
        ("login_hint", "alice@dev.test"),
        ("dpop_jkt", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
    ] {
        assert_eq!(parameter(&query, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(parameter(&query, "client_info"), None);
    assert!(!url.as_str().contains(pending.verifier.expose_secret()));
}

#[test]
fn extra_parameters_add_and_never_replace() {
    let extra = [
        ("domain_hint", "dev.test"),
        ("state", "s"),
        ("prompt", "none"),
        ("response_mode", "fragment"),
        ("code_challenge_method", "plain"),
        ("request_uri", "https://evil.example"),
    ];
    let (url, _) = started(&extra, "https://op.example/auth?realm=a#x", false);
    let query = form(url.query().unwrap().as_bytes());
    assert_eq!(parameter(&query, "realm").as_deref(), Some("a"));
    assert_eq!(
        parameter(&query, "domain_hint").as_deref(),
        Some("dev.test")
    );
    assert_eq!(parameter(&query, "state"), Some(state()));
    assert_eq!(
        parameter(&query, "prompt").as_deref(),
        Some("select_account")
    );
    assert_eq!(
        parameter(&query, "code_challenge_method").as_deref(),
        Some("S256")
    );
    assert_eq!(parameter(&query, "response_mode"), None);
    assert_eq!(parameter(&query, "request_uri"), None);
    assert_eq!(url.fragment(), None);
}

#[test]
fn a_redirect_becomes_one_exchange() {
    let redirect = redirect(&format!(
        "{REDIRECT}?code=c%2B1&state={}&iss={ISSUER}",
        state()
    ));
    let pending = pending();
    let challenge = pkce::challenge(&pending.verifier);
    let exchange = pending.finish(&redirect).unwrap();
    assert_eq!(exchange.nonce().as_str(), base64url::encode(&[3; 32]));

    let extra = BTreeMap::new();
    let options = TokenOptions {
        dialect: Dialect::OpenId,
        claims: Some("{}"),
        binding: TokenBinding::Dpop,
        correlation_id: crate::identifiers::CorrelationId::from_random([7; 16]),
        extra_parameters: &extra,
    };
    let request = exchange.to_http(&options, Some("a.b.c"));
    assert_eq!(request.url.as_str(), "https://op.example/token");
    assert_eq!(request.headers["dpop"], "a.b.c");
    assert!(request.headers["dpop"].is_sensitive());
    assert!(!request.headers.contains_key("client-request-id"));
    let body = form(&request.body);
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("client_id", "native"),
        ("code", "c+1"),
        ("redirect_uri", REDIRECT),
        ("claims", "{}"),
        ("token_type", "DPoP"),
    ] {
        assert_eq!(parameter(&body, name).as_deref(), Some(value), "{name}");
    }
    let verifier = CodeVerifier::new(parameter(&body, "code_verifier").unwrap());
    assert_eq!(pkce::challenge(&verifier), challenge);
    assert_eq!(parameter(&body, "scope"), None);
}

#[test]
fn entra_is_told_scopes_and_correlation_and_asked_for_client_info() {
    let exchange = pending()
        .finish(&redirect(&format!("{REDIRECT}?code=c&state={}", state())))
        .unwrap();
    let extra = BTreeMap::from([("scope".to_owned(), "evil".to_owned())]);
    let options = TokenOptions {
        dialect: Dialect::Entra,
        claims: None,
        binding: TokenBinding::Pop {
            req_cnf: "abc".to_owned(),
        },
        correlation_id: crate::identifiers::CorrelationId::from_random([7; 16]),
        extra_parameters: &extra,
    };
    let request = exchange.to_http(&options, None);
    let body = form(&request.body);
    for (name, value) in [
        ("scope", "openid api://x/read"),
        ("client_info", "1"),
        ("token_type", "pop"),
        ("req_cnf", "abc"),
    ] {
        assert_eq!(parameter(&body, name).as_deref(), Some(value), "{name}");
    }
    let correlation = options.correlation_id.to_string();
    assert_eq!(request.headers["client-request-id"], correlation.as_str());
    assert!(!request.headers.contains_key("dpop"));
}

#[test]
fn a_redirect_of_another_sign_in_is_refused() {
    let state = state();
    for (text, why) in [
        (format!("{REDIRECT}?code=c"), RedirectError::State),
        (format!("{REDIRECT}?code=c&state="), RedirectError::State),
        (
            format!("{REDIRECT}?code=c&state={state}x"),
            RedirectError::State,
        ),
        (
            format!("{REDIRECT}?code=c&state={}", &state[1..]),
            RedirectError::State,
        ),
        (
            format!("{REDIRECT}?error=access_denied"),
            RedirectError::State,
        ),
        (
            format!("{REDIRECT}#code=c&state={state}"),
            RedirectError::State,
        ),
        (format!("{REDIRECT}?state={state}"), RedirectError::NoCode),
        (
            format!("{REDIRECT}?state={state}&code="),
            RedirectError::NoCode,
        ),
        (
            format!("{REDIRECT}?state={state}&code=a&code=b"),
            RedirectError::Repeated,
        ),
        (
            format!("{REDIRECT}?state=x&state={state}&code=a"),
            RedirectError::Repeated,
        ),
        (
            format!("http://127.0.0.1:40124/callback?code=c&state={state}"),
            RedirectError::Elsewhere,
        ),
        (
            format!("http://localhost:40123/callback?code=c&state={state}"),
            RedirectError::Elsewhere,
        ),
        (
            format!("https://127.0.0.1:40123/callback?code=c&state={state}"),
            RedirectError::Elsewhere,
        ),
        (
            format!("http://127.0.0.1:40123/?code=c&state={state}"),
            RedirectError::Elsewhere,
        ),
        (
            format!("{REDIRECT}?state={state}&code={}", "c".repeat(70_000)),
            RedirectError::TooLong,
        ),
    ] {
        assert_eq!(refusal(&text), why, "{}", &text[..text.len().min(120)]);
    }
}

#[test]
fn a_mix_up_is_noticed() {
    let state = state();
    for iss in ["https://evil.example", "https://op.example/", "x"] {
        let text = format!("{REDIRECT}?code=c&state={state}&iss={iss}");
        assert_eq!(refusal(&text), RedirectError::Issuer, "{iss}");
        // Also in an error answer, which may come from the attacker's authority (RFC 9207 §2.4).
        let text = format!("{REDIRECT}?error=access_denied&state={state}&iss={iss}");
        assert_eq!(refusal(&text), RedirectError::Issuer, "{iss}");
    }
    // An authority that promised `iss` must keep it.
    let promised = || started(&[], "https://op.example/auth", true).1;
    let without = redirect(&format!("{REDIRECT}?code=c&state={state}"));
    assert_eq!(
        promised().finish(&without).unwrap_err(),
        RedirectError::Issuer
    );
    let with = redirect(&format!("{REDIRECT}?code=c&state={state}&iss={ISSUER}"));
    assert!(promised().finish(&with).is_ok());
}

#[test]
fn a_refusal_keeps_the_authoritys_words() {
    let text = format!(
        "{REDIRECT}?error=access_denied&error_subcode=cancel&state={}&error_description=AADSTS65004%3A+no",
        state()
    );
    let RedirectError::Refused(error) = refusal(&text) else {
        panic!("not a refusal");
    };
    assert_eq!(error.error, "access_denied");
    assert_eq!(error.suberror.as_deref(), Some("cancel"));
    assert_eq!(error.description.as_deref(), Some("AADSTS65004: no"));
    assert_eq!(error.codes, [65004]);
}

#[test]
fn debug_shows_no_secret() {
    let pending = pending();
    let verifier = pending.verifier.expose_secret().to_owned();
    let shown = format!("{pending:?}");
    let exchange = pending
        .finish(&redirect(&format!(
            "{REDIRECT}?code=c0de&state={}",
            state()
        )))
        .unwrap();
    let shown = shown + &format!("{exchange:?}{:?}", exchange.nonce());
    for secret in [&*verifier, &*state(), "c0de", &base64url::encode(&[3; 32])] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

proptest! {
    #[test]
    fn an_arbitrary_redirect_never_panics_and_never_passes(query in "\\PC{0,128}") {
        let mut url = Url::parse(REDIRECT).unwrap();
        url.set_query(Some(&query));
        let refused = pending().finish(&Redirect { url }).is_err();
        prop_assert!(refused);
    }
}
