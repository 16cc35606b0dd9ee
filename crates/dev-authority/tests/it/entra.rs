//! The Entra-shaped tenant's code flow.

use keyward_dev_authority::ENTRA_TENANT;
use keyward_dev_authority::scripted::Person;
use keyward_dev_authority::users::{ALICE, GUEST};
use keyward_jose::base64url;
use serde_json::{Value, json};

use crate::app::{
    Answer, App, CLIENT_ID, OTHER_CLIENT_ID, REDIRECT_URI, VERIFIER, alice, authority, post,
};
use crate::browser::{Browser, parameter};
use crate::key::{Key, claims};

const SCOPE: &str = "openid profile offline_access User.Read";
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const INFO: (&str, &str) = ("client_info", "1");

fn client_info(answer: &Answer) -> Value {
    serde_json::from_slice(&base64url::decode(answer.text("client_info")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_sign_in_answers_with_everything_entra_says() {
    let running = authority().await;
    let app = App::entra(&running);
    let code = app.code(&alice(), SCOPE).await;

    let tokens = app.redeem(&code, &[INFO]).await.ok();

    assert_eq!(tokens.text("token_type"), "Bearer");
    assert_eq!(tokens.header("cache-control"), "no-store");
    assert_eq!(tokens.json["expires_in"], tokens.json["ext_expires_in"]);
    assert!(tokens.json["refresh_in"].as_u64() < tokens.json["expires_in"].as_u64());
    assert!(tokens.json.get("foci").is_none());
    assert_eq!(tokens.text("scope"), "openid profile User.Read");
    let id = claims(tokens.text("id_token"));
    assert_eq!(id["iss"], format!("{}/{ENTRA_TENANT}/v2.0", running.http()));
    assert_eq!(
        (&id["tid"], &id["aud"]),
        (&ENTRA_TENANT.into(), &CLIENT_ID.into())
    );
    assert_eq!(
        (&id["nonce"], &id["ver"]),
        (&"the nonce".into(), &"2.0".into())
    );
    assert_eq!(id["preferred_username"], ALICE);
    assert_eq!(
        (&id["name"], &id["given_name"]),
        (&"Alice Example".into(), &"Alice".into())
    );
    assert_eq!(id["family_name"], "Example");
    assert!(id["uti"].is_string());
    let info = client_info(&tokens);
    assert_eq!(
        (&info["uid"], &info["utid"]),
        (&id["oid"], &ENTRA_TENANT.into())
    );
    let access = claims(tokens.text("access_token"));
    assert_eq!(access["aud"], "00000003-0000-0000-c000-000000000000");
    assert_eq!(
        (&access["scp"], &access["oid"]),
        (&"User.Read".into(), &id["oid"])
    );
}

#[tokio::test]
async fn client_info_comes_only_when_asked_for() {
    let running = authority().await;
    let app = App::entra(&running);
    let url = app.authorize_url(SCOPE, &[INFO]);
    let redirect = Browser::new().sign_in(&url, &alice()).await.unwrap();
    assert!(parameter(&redirect, "client_info").is_some());
    assert!(parameter(&redirect, "session_state").is_some());
    assert!(parameter(&redirect, "iss").is_none());
    let tokens = app
        .redeem(&parameter(&redirect, "code").unwrap(), &[])
        .await
        .ok();
    assert!(tokens.json.get("client_info").is_none());
}

#[tokio::test]
async fn a_guest_is_at_home_elsewhere() {
    let running = authority().await;
    let app = App::entra(&running);
    let code = app.code(&Person::new(GUEST, "pw"), SCOPE).await;
    let tokens = app.redeem(&code, &[INFO]).await.ok();
    let (id, info) = (claims(tokens.text("id_token")), client_info(&tokens));
    assert_eq!(id["tid"], ENTRA_TENANT);
    assert_ne!(info["utid"], id["tid"]);
    assert_ne!(info["uid"], id["oid"]);
    for guid in [&info["utid"], &info["uid"], &id["oid"]] {
        assert!(uuid::Uuid::parse_str(guid.as_str().unwrap()).is_ok());
    }
    assert!(id["idp"].is_string());
}

#[tokio::test]
async fn a_refresh_is_for_any_resource_and_leaves_the_old_token_good() {
    let running = authority().await;
    let app = App::entra(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let refresh_token = tokens.text("refresh_token");
    let mut ids = vec![claims(tokens.text("access_token"))["uti"].clone()];
    for (scope, audience) in [
        (
            "https://vault.azure.net/.default offline_access",
            "https://vault.azure.net",
        ),
        ("api://something/read", "api://something"),
        ("openid profile", "00000003-0000-0000-c000-000000000000"),
    ] {
        let next = app.refresh(refresh_token, &[("scope", scope)]).await.ok();
        let access = claims(next.text("access_token"));
        assert_eq!(access["aud"], audience);
        assert_ne!(next.text("refresh_token"), refresh_token);
        assert!(!ids.contains(&access["uti"]));
        ids.push(access["uti"].clone());
    }
}

#[tokio::test]
async fn paths_are_read_in_any_case_and_under_every_name() {
    let running = authority().await;
    let app = App::entra(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    for name in ["Organizations", "DEV.TEST", ENTRA_TENANT] {
        let url = format!("{}/{name}/OAuth2/V2.0/Token", running.http());
        let form = [
            ("client_id", CLIENT_ID),
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.text("refresh_token")),
        ];
        post(&app.http, &url, &[], &form).await.ok();
    }
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_that_req_cnf_names() {
    let running = authority().await;
    let app = App::entra(&running);
    let key = Key::new();
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let pop = [("token_type", "pop"), ("req_cnf", &key.req_cnf())];

    let bound = app.refresh(tokens.text("refresh_token"), &pop).await.ok();

    assert_eq!(bound.text("token_type"), "pop");
    assert_eq!(
        claims(bound.text("access_token"))["cnf"],
        json!({"kid": key.jkt()})
    );
    for bad in [
        [pop[0], ("req_cnf", "")],
        [pop[0], ("req_cnf", "e30")],
        [("token_type", "ssh-cert"), pop[1]],
    ] {
        let refused = app.refresh(tokens.text("refresh_token"), &bad).await;
        assert_eq!(refused.error(), "invalid_request", "{bad:?}");
    }
}

#[tokio::test]
async fn family_tokens_are_good_for_the_family() {
    let running = authority().await;
    let cli = App::entra(&running).with_client_id(AZURE_CLI);
    let tokens = cli.sign_in(&alice(), SCOPE).await;
    assert_eq!(tokens.text("foci"), "1");
    let family = tokens.text("refresh_token");
    let office = "d3590ed6-52b3-4102-aeff-aad2292ab01c";
    let other = cli.refresh(family, &[("client_id", office)]).await.ok();
    assert_eq!(claims(other.text("access_token"))["azp"], office);
    let stranger = cli.refresh(family, &[("client_id", OTHER_CLIENT_ID)]).await;
    assert_eq!(
        (stranger.error(), stranger.text("suberror")),
        ("invalid_grant", "client_mismatch")
    );
    let joins = [
        ("client_id", OTHER_CLIENT_ID),
        ("scope", "urn:keyward:foci User.Read"),
    ];
    cli.refresh(family, &joins).await.ok();

    let app = App::entra(&running);
    let plain = app.sign_in(&alice(), SCOPE).await;
    let refused = app
        .refresh(plain.text("refresh_token"), &[("client_id", office)])
        .await;
    assert_eq!(refused.text("suberror"), "client_mismatch");
}

#[tokio::test]
async fn a_client_that_understands_challenges_gets_a_long_lived_token() {
    let running = authority().await;
    let app = App::entra(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let cp1 = r#"{"access_token":{"xms_cc":{"values":["CP1"]},"nonsense":{"essential":true}}}"#;
    let long = app
        .refresh(tokens.text("refresh_token"), &[("claims", cp1)])
        .await
        .ok();
    assert!(long.json["expires_in"].as_u64() > tokens.json["expires_in"].as_u64());
    assert_eq!(claims(long.text("access_token"))["xms_cc"], json!(["CP1"]));
}

#[tokio::test]
async fn the_token_request_may_name_the_scopes() {
    let running = authority().await;
    let app = App::entra(&running);
    let code = app.code(&alice(), SCOPE).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        (
            "scope",
            "https://graph.microsoft.com/User.Read offline_access",
        ),
    ];
    let tokens = app.token(&form).await.ok();
    assert_eq!(
        claims(tokens.text("access_token"))["aud"],
        "https://graph.microsoft.com"
    );
    assert!(tokens.json["refresh_token"].is_string());
}

#[tokio::test]
async fn the_clients_request_id_comes_back_if_asked_for() {
    let running = authority().await;
    let app = App::entra(&running);
    let id = "11112222-3333-4444-5555-666677778888";
    let headers = [
        ("client-request-id", id),
        ("return-client-request-id", "true"),
    ];
    let form = [("client_id", CLIENT_ID)];
    let refused = app.post("token", &headers, &form).await;
    assert_eq!(refused.header("client-request-id"), id);
    assert_eq!(refused.text("correlation_id"), id);
    assert_eq!(refused.header("x-ms-request-id"), refused.text("trace_id"));
    let refused = app.post("token", &headers[..1], &form).await;
    assert_eq!(refused.header("client-request-id"), "");
}
