use proptest::prelude::*;

use super::*;

const CAPTURED_SILENT: &str = r#"{"authParameters": {
  "accessTokenToRenew": "",
  "account": {"alternativeAccountId": "", "clientInfo": "eyJ1aWQi", "environment": "login.microsoftonline.com",
    "familyName": "Example", "givenName": "Alice", "homeAccountId": "11111111-2222-3333-4444-555555555555.22222222-2222-2222-2222-222222222222",
    "homeEnvironment": "", "localAccountId": "11111111-2222-3333-4444-555555555555", "middleName": "", "name": "Alice Example",
    "passwordChangeUrl": "", "passwordExpiry": 0, "realm": "22222222-2222-2222-2222-222222222222", "username": "alice@contoso.example"},
  "additionalQueryParametersForAuthorization": {"x-client-xtra-sku": "|,|0.20.7,|,|,|12.0.2"},
  "authority": "https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222",
  "authorizationType": 1,
  "clientId": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
  "decodedClaims": "", "enrollmentId": "", "isTestMode": false, "password": "", "popParams": null,
  "redirectUri": "https://login.microsoftonline.com/common/oauth2/nativeclient",
  "requestedScopes": ["User.Read"],
  "username": "alice@contoso.example",
  "uxContextHandle": -1}}"#;

const CAPTURED_INTERACTIVE: &str = r#"{"authParameters": {
  "accessTokenToRenew": "", "account": null,
  "additionalQueryParametersForAuthorization": {"x-client-xtra-sku": "|,|0.20.7,|,|,|12.0.2"},
  "authority": "https://login.microsoftonline.com/common", "authorizationType": 6,
  "clientId": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "decodedClaims": "", "enrollmentId": "",
  "isSignIn": true, "isTestMode": false,
  "onboardingBlob": "{\"onboarding_mode\":\"brokered\"}",
  "parentWindow": {"handle": 1}, "password": "", "popParams": null,
  "redirectUri": "https://login.microsoftonline.com/common/oauth2/nativeclient",
  "requestedScopes": ["https://graph.microsoft.com/.default"], "username": "", "uxContextHandle": -1},
 "parentWindowHandle": 1}"#;

fn some_id() -> CorrelationId {
    CorrelationId::from_random([7; 16])
}

fn read_silent(json: &str) -> SilentRequest {
    silent(json, some_id()).unwrap()
}

fn read_interactive(json: &str) -> InteractiveRequest {
    interactive(json, some_id()).unwrap()
}

#[test]
fn the_captured_silent_request_is_understood() {
    let request = read_silent(CAPTURED_SILENT);
    assert_eq!(
        request.token.client_id.as_str(),
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
    );
    assert_eq!(
        request.token.authority,
        "https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222"
    );
    assert_eq!(request.token.scopes.to_string(), "User.Read");
    assert_eq!(request.token.scheme, AuthenticationScheme::Bearer);
    assert_eq!(request.token.claims, None);
    assert_eq!(request.token.extra_parameters.len(), 1);
    assert!(matches!(request.cache, CachePolicy::UseCache));
    let AccountSelector::Home(id) = request.account else {
        panic!("{:?}", request.account);
    };
    assert_eq!(id.uid(), "11111111-2222-3333-4444-555555555555");
}

#[test]
fn the_captured_interactive_request_is_understood() {
    let request = read_interactive(CAPTURED_INTERACTIVE);
    assert_eq!(request.account, None);
    assert_eq!(request.login_hint, None);
    assert_eq!(request.window, ParentWindow::None);
    assert_eq!(
        request.token.scopes.to_string(),
        "https://graph.microsoft.com/.default"
    );
}

#[test]
fn without_an_account_the_hint_or_the_only_account_counts() {
    let hinted = read_silent(
        r#"{"authParameters":{"account":null,"isSignIn":true,"clientId":"c","username":"bob@x"}}"#,
    );
    assert_eq!(
        hinted.account,
        AccountSelector::Username("bob@x".to_owned())
    );
    let unhinted =
        read_silent(r#"{"authParameters":{"account":null,"clientId":"c","username":""}}"#);
    assert_eq!(unhinted.account, AccountSelector::Only);
    let hinted = read_interactive(
        r#"{"authParameters":{"clientId":"c",
            "additionalQueryParametersForAuthorization":{"login_hint":"bob@x","Client_ID":"evil"}}}"#,
    );
    assert_eq!(hinted.login_hint.as_deref(), Some("bob@x"));
    assert!(hinted.token.extra_parameters.is_empty());
}

#[test]
fn both_shapes_of_a_field_are_understood() {
    let request = read_silent(
        r#"{"account":{"homeAccountId":"u.t"},"clientId":"c","requestedScopes":"a b",
            "decodedClaims":{"access_token":{"nbf":{"essential":true}}},
            "accessTokenToRenew":"old","unknown":[1,{"x":null}]}"#,
    );
    assert_eq!(request.token.scopes.to_string(), "a b");
    assert_eq!(
        request.token.claims.as_deref(),
        Some(r#"{"access_token":{"nbf":{"essential":true}}}"#)
    );
    assert!(matches!(request.cache, CachePolicy::Renew(_)));
    assert!(matches!(request.account, AccountSelector::Home(_)));
    assert_eq!(request.token.authority, DEFAULT_AUTHORITY);
}

#[test]
fn windows_come_as_numbers_texts_and_exported_handles() {
    let window = |json: &str| {
        read_interactive(&format!(
            r#"{{"authParameters":{{"clientId":"c",{json}}}}}"#
        ))
        .window
    };
    assert_eq!(window(r#""parentWindow":{"handle":0}"#), ParentWindow::None);
    assert_eq!(
        window(r#""parentWindow":{"handle":"83886087"}"#),
        ParentWindow::Handle(83_886_087)
    );
    assert_eq!(
        window(r#""parentWindow":{"handle":1,"exportedHandle":"tok"}"#),
        ParentWindow::Portal("wayland:tok".to_owned())
    );
    let at_the_root = r#"{"authParameters":{"clientId":"c"},"parentWindowHandle":99}"#;
    assert_eq!(
        read_interactive(at_the_root).window,
        ParentWindow::Handle(99)
    );
}

#[test]
fn pop_parameters_make_the_scheme() {
    let request = read_silent(
        r#"{"authParameters":{"clientId":"c","popParams":{"clientClaims":"","homeAccountId":"",
            "httpMethod":"get","nonce":"n","uriHost":"api.example.com:8443","uriPath":"/v1/me"}}}"#,
    );
    assert_eq!(
        request.token.scheme,
        AuthenticationScheme::Pop(PopParameters {
            method: "GET".to_owned(),
            host: "api.example.com:8443".to_owned(),
            path: "/v1/me".to_owned(),
            nonce: Some("n".to_owned()),
            client_claims: None,
        })
    );
    for (host, path) in [
        ("[::1]:1", "/"),
        ("api.example.com", ""),
        ("localhost:65535", "/a"),
    ] {
        let pop = format!(r#"{{"httpMethod":"GET","uriHost":"{host}","uriPath":"{path}"}}"#);
        let json = format!(r#"{{"authParameters":{{"clientId":"c","popParams":{pop}}}}}"#);
        assert!(silent(&json, some_id()).is_ok(), "{json}");
    }
}

#[test]
fn pop_parameters_that_cannot_be_read_never_ask_for_a_bearer_token() {
    for pop in [
        "{}",
        "[]",
        "1",
        "true",
        r#""x""#,
        r#"{"httpMethod":"GET","uriHost":"a b","uriPath":"/"}"#,
        r#"{"httpMethod":"GET","uriHost":"http://x/y","uriPath":"/"}"#,
        r#"{"httpMethod":"GET","uriHost":"x@y","uriPath":"/"}"#,
        r#"{"httpMethod":"GET","uriHost":"x:99999","uriPath":"/"}"#,
        r#"{"httpMethod":"GET","uriHost":"x","uriPath":"v1"}"#,
    ] {
        let json = format!(r#"{{"authParameters":{{"clientId":"c","popParams":{pop}}}}}"#);
        let error = silent(&json, some_id()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{pop}");
    }
}

#[test]
fn an_account_that_cannot_be_read_is_not_whichever_there_is() {
    for account in [
        r#""x""#,
        "5",
        "[1]",
        r#"{"homeAccountId":"not-an-id"}"#,
        r#"{"homeAccountId":"not-an-id","username":"alice@x"}"#,
        r#"{"localAccountId":"bob"}"#,
        r#"{"clientInfo":"!"}"#,
        r#"{"realm":"11111111-2222-3333-4444-555555555555"}"#,
    ] {
        let json = format!(r#"{{"authParameters":{{"clientId":"c","account":{account}}}}}"#);
        for error in [
            silent(&json, some_id()).unwrap_err(),
            interactive(&json, some_id()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{account}");
        }
    }
}

#[test]
fn what_cannot_be_understood_is_an_invalid_request_that_quotes_nothing() {
    for json in [
        "",
        "[]",
        "null",
        "\"secret\"",
        "{\"authParameters\":{\"clientId\":{\"secret\":1}}}",
        "{\"authParameters\":{}}",
        "{\"authParameters\":{\"clientId\":\"c\"",
    ] {
        let error = silent(json, some_id()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{json}");
        assert!(!error.message().contains("secret"), "{}", error.message());
    }
    let password = r#"{"authParameters":{"clientId":"c","password":"pw"}}"#;
    let error = silent(password, some_id()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
}

#[test]
fn an_account_to_remove_is_found_wherever_it_is() {
    for json in [
        r#"{"account":{"homeAccountId":"u.t"},"clientId":"c"}"#,
        r#"{"account":{"homeAccountId":"u.t"},"authParameters":{"clientId":"c"}}"#,
        r#"{"authParameters":{"clientId":"c","account":{"homeAccountId":"u.t"}}}"#,
        r#"{"clientId":"c","authParameters":{"account":{"homeAccountId":"u.t"}}}"#,
    ] {
        let request = sign_out(json, some_id()).unwrap();
        assert_eq!(request.account.as_str(), "u.t");
        assert_eq!(request.client_id.as_str(), "c");
    }
    assert!(sign_out(r#"{"clientId":"c"}"#, some_id()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_survived(json in ".*") {
        let _ = silent(&json, some_id());
        let _ = interactive(&json, some_id());
        let _ = sign_out(&json, some_id());
        let _ = client_id(&json);
    }

    #[test]
    fn any_damage_to_a_real_request_is_survived(
        at in 0..CAPTURED_SILENT.len(),
        byte in 0_u8..128,
        cut in 0..CAPTURED_SILENT.len(),
    ) {
        let mut damaged = CAPTURED_SILENT.as_bytes().to_vec();
        damaged[at] = byte;
        let damaged = String::from_utf8(damaged).unwrap();
        let _ = silent(&damaged, some_id());
        let _ = interactive(&damaged[..cut], some_id());
    }

    #[test]
    fn any_type_in_any_field_is_survived(
        field in prop::sample::select(vec![
            "account", "authority", "clientId", "decodedClaims", "parentWindow", "password",
            "popParams", "prompt", "redirectUri", "requestedScopes", "username",
            "accessTokenToRenew", "additionalQueryParametersForAuthorization",
        ]),
        value in prop::sample::select(vec![
            "null", "true", "0", "-1", "1.5", "1e400", "\"\"", "\"x\"", "[]", "[[]]", "[1,\"a\"]",
            "{}", "{\"a\":{}}", "{\"handle\":[]}", "{\"homeAccountId\":5}", "18446744073709551616",
        ]),
    ) {
        let json = format!(r#"{{"authParameters":{{"{field}":{value}}}}}"#);
        let _ = silent(&json, some_id());
        let _ = interactive(&json, some_id());
    }
}
