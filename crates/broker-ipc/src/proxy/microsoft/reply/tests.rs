use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::request::Demands;

use super::*;

fn asked() -> TokenRequest {
    TokenRequest {
        client_id: ClientId::parse("c").unwrap(),
        authority: "https://login.microsoftonline.com/common".to_owned(),
        scopes: Scopes::parse("User.Read"),
        scheme: AuthenticationScheme::Bearer,
        claims: None,
        redirect_uri: None,
        extra_parameters: BTreeMap::new(),
        demands: Demands::default(),
        correlation_id: CorrelationId::from_random([0; 16]),
    }
}

fn base64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn id_token() -> String {
    let claims = json!({"oid": "o", "tid": "t", "preferred_username": "alice@x", "name": "Alice"});
    format!("e30.{}.c2ln", base64(&claims))
}

fn read(response: &Value) -> Result<AuthenticationResult, AcquireTokenError> {
    let json = json!({"brokerTokenResponse": response}).to_string();
    token(&json, &asked())
}

#[test]
fn a_reply_of_microsofts_broker_is_understood() {
    let result = read(&json!({
        "accessToken": "at", "accessTokenType": 0, "expiresOn": 1_795_350_519_438_i64,
        "extendedExpiresOn": "1795354119438", "grantedScopes": "User.Read openid",
        "idToken": id_token(), "clientInfo": base64(&json!({"uid": "u", "utid": "v"})),
    }))
    .unwrap();
    assert_eq!(result.expires_on.as_secs(), 1_795_350_519);
    assert_eq!(result.ext_expires_on.unwrap().as_secs(), 1_795_354_119);
    assert_eq!(result.account.home_account_id.as_str(), "u.v");
    assert_eq!(result.account.local_account_id, "o");
    assert_eq!(result.account.tenant_id, "t");
    assert_eq!(result.account.username, "alice@x");
    assert_eq!(result.account.environment, "login.microsoftonline.com");
    assert!(result.scopes.contains("openid"));
    // It may be bound to a TPM, or to nothing: nobody here knows.
    assert_eq!((result.binding, result.key_protection), (None, None));
}

#[test]
fn a_reply_of_another_broker_is_understood_too() {
    let result = read(&json!({
        "accessToken": "at", "accessTokenType": "0", "expiresOn": 1_795_350_519,
        "grantedScopes": ["User.Read"],
        "account": {"homeAccountId": "u.v", "localAccountId": "l", "realm": "v",
                    "username": "alice@x", "environment": "login.windows.net"},
    }))
    .unwrap();
    assert_eq!(result.expires_on.as_secs(), 1_795_350_519);
    assert_eq!(result.account.local_account_id, "l");
    assert_eq!(result.account.environment, "login.windows.net");
    assert_eq!(result.scopes.to_string(), "User.Read");
}

#[test]
fn an_error_is_found_in_both_places() {
    let error = json!({"status": "2", "errorCode": 50_076, "tag": 1, "context": "more is needed"});
    for json in [
        json!({"error": error, "brokerTokenResponse": {"accessToken": "at"}}),
        json!({"brokerTokenResponse": {"error": error}}),
    ] {
        let error = token(&json.to_string(), &asked()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InteractionRequired);
        assert!(error.message().ends_with("more is needed"));
        assert_eq!(error.authority().unwrap().codes, [50_076]);
    }
    let absent = json!({"error": null, "brokerTokenResponse": {"error": "text"}});
    let error = token(&absent.to_string(), &asked()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
}

#[test]
fn every_error_of_ours_comes_back_as_its_status_says() {
    for row in keyward_client::error::TABLE {
        let json = json!({"error": {"status": row.runtime_status, "errorCode": 0, "tag": 1}});
        let error = token(&json.to_string(), &asked()).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::from_runtime_status(i64::from(row.runtime_status))
        );
    }
}

#[test]
fn a_bearer_token_is_no_answer_to_pop() {
    let mut pop = asked();
    pop.scheme = AuthenticationScheme::Pop(keyward_client::request::PopParameters {
        method: "GET".to_owned(),
        host: "h".to_owned(),
        path: "/".to_owned(),
        nonce: None,
        client_claims: None,
    });
    let response = |kind: i32| {
        json!({"brokerTokenResponse": {"accessToken": "at", "accessTokenType": kind,
               "expiresOn": 1_795_350_519, "idToken": id_token(),
               "clientInfo": base64(&json!({"uid": "u", "utid": "v"}))}})
        .to_string()
    };
    assert_eq!(
        token(&response(1), &pop).unwrap().token_type,
        TokenType::Pop
    );
    let error = token(&response(0), &pop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert!(token(&response(1), &asked()).is_err());
}

#[test]
fn accounts_without_an_identity_are_left_out() {
    let json = r#"{"accounts":[{"homeAccountId":"u.v","username":"a","environment":"e"},
                               {"username":"b"},null,5]}"#;
    let accounts = accounts(json).unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0].tenant_id, "v");
    assert!(super::accounts("{}").unwrap().is_empty());
    assert!(super::accounts(r#"{"error":{"status":0}}"#).is_err());
}

proptest! {
    #[test]
    fn any_answer_is_survived(json in ".*") {
        let _ = token(&json, &asked());
        let _ = accounts(&json);
        let _ = version(&json);
    }
}
