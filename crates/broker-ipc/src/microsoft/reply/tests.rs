use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::oauth::identifiers::{CorrelationId, HomeAccountId};
use keyward_client::oauth::secret::{AccessToken, IdTokenText};
use keyward_client::result::TokenSource;

use super::*;

const UID: &str = "11111111-1111-1111-1111-111111111111";
const UTID: &str = "22222222-2222-2222-2222-222222222222";

fn result(id_token: Option<String>) -> AuthenticationResult {
    AuthenticationResult {
        access_token: AccessToken::new("at".to_owned()),
        token_type: TokenType::Bearer,
        scopes: Scopes::parse("User.Read openid"),
        expires_on: UnixTime::from_secs(1_795_350_519),
        ext_expires_on: None,
        refresh_on: None,
        account: AccountInfo {
            home_account_id: HomeAccountId::new(UID, UTID),
            environment: "login.microsoftonline.com".to_owned(),
            tenant_id: UTID.to_owned(),
            local_account_id: UID.to_owned(),
            username: "alice@dev.test".to_owned(),
            name: Some("Alice".to_owned()),
            given_name: None,
            family_name: None,
        },
        id_token: id_token.map(IdTokenText::new),
        authority: "https://idp.example".to_owned(),
        token_source: TokenSource::Cache,
        binding: Some(Binding::Dpop),
        key_protection: Some(KeyProtection::Software),
        dpop_proof: None,
        correlation_id: CorrelationId::from_random([1; 16]),
    }
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn reply(result: &AuthenticationResult, scopes: &str) -> Value {
    let asked = Asked {
        scopes: Scopes::parse(scopes),
        client_id: "c".to_owned(),
    };
    let text = token(result, &asked).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["brokerTokenResponse"].take()
}

fn claims_of(reply: &Value) -> Value {
    let token = reply["idToken"].as_str().unwrap();
    serde_json::from_slice(&id_token::payload(token).unwrap()).unwrap()
}

#[test]
fn every_mandatory_field_is_there() {
    let reply = reply(&result(None), "User.Read");
    assert_eq!(reply["accessToken"], "at");
    assert_eq!(reply["accessTokenType"], 0);
    assert_eq!(reply["expiresOn"], 1_795_350_519_000_u64);
    assert_eq!(reply["extendedExpiresOn"], 1_795_350_519_000_u64);
    let info = URL_SAFE_NO_PAD
        .decode(reply["clientInfo"].as_str().unwrap())
        .unwrap();
    let info: Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info, json!({"uid": UID, "utid": UTID}));
    assert_eq!(claims_of(&reply)["preferred_username"], "alice@dev.test");
    assert_eq!(claims_of(&reply)["aud"], "c");
}

#[test]
fn every_requested_scope_is_granted_as_it_was_requested() {
    let scopes = |asked| {
        let reply = reply(&result(None), asked);
        reply["grantedScopes"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        scopes("https://graph.microsoft.com/.default"),
        "https://graph.microsoft.com/.default User.Read openid"
    );
    assert_eq!(scopes("USER.READ"), "USER.READ openid");
    let mut nothing = result(None);
    nothing.scopes = Scopes::none();
    assert_eq!(reply(&nothing, "")["grantedScopes"], "openid profile");
}

#[test]
fn an_id_token_that_suffices_is_passed_on_as_it_is() {
    let own = jwt(&json!({"oid": "o", "tid": "t", "preferred_username": "p", "sub": "s"}));
    let reply = reply(&result(Some(own.clone())), "");
    assert_eq!(reply["idToken"], own);
}

#[test]
fn an_id_token_of_another_kind_is_completed() {
    let own = jwt(&json!({"sub": "s", "iss": "https://idp.example", "name": "Al", "amr": ["pwd"]}));
    let reply = reply(&result(Some(own)), "");
    assert_eq!(
        claims_of(&reply),
        json!({"sub": "s", "iss": "https://idp.example", "name": "Al", "amr": ["pwd"],
               "oid": UID, "tid": UTID, "preferred_username": "alice@dev.test"})
    );
    assert_eq!(reply["idToken"].as_str().unwrap().split('.').count(), 3);
}

#[test]
fn whatever_an_id_token_says_its_account_is_the_one_of_the_answer() {
    for (own, rest) in [
        (json!({}), json!({})),
        (json!({"oid": UID}), json!({})),
        (json!({"oid": "somebody else", "x": 1}), json!({"x": 1})),
        (json!({"oid": null, "x": [1]}), json!({"x": [1]})),
        (json!({"tid": 7, "preferred_username": ""}), json!({})),
        (
            json!({"preferred_username": "bob@dev.test", "a": {"oid": "o"}}),
            json!({"a": {"oid": "o"}}),
        ),
    ] {
        let claims = claims_of(&reply(&result(Some(jwt(&own))), ""));
        let mut expected = rest;
        expected["oid"] = json!(UID);
        expected["tid"] = json!(UTID);
        expected["preferred_username"] = json!("alice@dev.test");
        expected["name"] = json!("Alice");
        assert_eq!(claims, expected, "{own}");
    }
    for own in [
        json!([]),
        json!("oid"),
        json!([UID, UTID, "alice@dev.test"]),
    ] {
        let claims = claims_of(&reply(&result(Some(jwt(&own))), ""));
        assert_eq!(claims["oid"], UID, "{own}");
        assert_eq!(claims["aud"], "c", "{own}");
    }
}

#[test]
fn a_pop_token_says_so_and_a_dpop_token_is_refused() {
    let mut bound = result(None);
    bound.token_type = TokenType::Pop;
    assert_eq!(reply(&bound, "")["accessTokenType"], 1);
    bound.token_type = TokenType::Dpop;
    let asked = Asked {
        scopes: Scopes::none(),
        client_id: "c".to_owned(),
    };
    let error = token(&bound, &asked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
}

#[test]
fn accounts_without_what_clients_need_are_left_out() {
    let whole = result(None).account;
    let mut nameless = whole.clone();
    nameless.username = String::new();
    let reply: Value = serde_json::from_str(&accounts(&[whole, nameless])).unwrap();
    let list = reply["accounts"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["homeAccountId"], format!("{UID}.{UTID}"));
    assert_eq!(list[0]["realm"], UTID);
    assert_eq!(list[0]["passwordExpiry"], 0);
    assert_eq!(accounts(&[]), r#"{"accounts":[]}"#);
}
