//! The OpenID tenant's code flow.

use keyward_dev_authority::{Authority, OidcMode};

use crate::app::{App, CLIENT_ID, REDIRECT_URI, SCOPE, VERIFIER, alice, authority};
use crate::browser::{Browser, parameter};
use crate::key::{Key, claims};

#[tokio::test]
async fn a_sign_in_gives_a_bearer_access_token_and_plain_identity() {
    let running = authority().await;
    let app = App::oidc(&running);

    let tokens = app.sign_in(&alice(), SCOPE).await;

    assert_eq!(tokens.text("token_type"), "Bearer");
    assert_eq!(tokens.header("cache-control"), "no-store");
    let id = claims(tokens.text("id_token"));
    assert_eq!(id["iss"], format!("{}/oidc", running.http()));
    assert_eq!(
        (&id["aud"], &id["nonce"]),
        (&CLIENT_ID.into(), &"the nonce".into())
    );
    assert_eq!(id["preferred_username"], "alice@dev.test");
    assert_eq!(
        (&id["given_name"], &id["family_name"]),
        (&"Alice".into(), &"Example".into())
    );
    assert_eq!(
        (&id["name"], &id["email"]),
        (&"Alice Example".into(), &"alice@dev.test".into())
    );
    assert!(id.get("oid").is_none() && id.get("tid").is_none());
    assert!(uuid::Uuid::parse_str(id["sub"].as_str().unwrap()).is_err());
    assert!(claims(tokens.text("access_token")).get("cnf").is_none());
}

#[tokio::test]
async fn the_authorize_answer_names_state_and_issuer() {
    let running = authority().await;
    let app = App::oidc(&running);
    let url = app.authorize_url(SCOPE, &[]);

    let redirect = Browser::new().sign_in(&url, &alice()).await.unwrap();

    assert!(redirect.as_str().starts_with(REDIRECT_URI));
    assert_eq!(parameter(&redirect, "state").unwrap(), "the state");
    assert_eq!(
        parameter(&redirect, "iss").unwrap(),
        format!("{}/oidc", running.http())
    );
}

#[tokio::test]
async fn answers_travel_by_fragment_or_form_as_well() {
    let running = authority().await;
    let app = App::oidc(&running);
    for mode in ["fragment", "form_post"] {
        let url = app.authorize_url(SCOPE, &[("response_mode", mode)]);
        let redirect = Browser::new().sign_in(&url, &alice()).await.unwrap();
        let code = match redirect.fragment() {
            Some(fragment) => {
                let mut url = redirect.clone();
                url.set_query(Some(fragment));
                parameter(&url, "code")
            }
            None => parameter(&redirect, "code"),
        };
        assert_eq!(redirect.fragment().is_some(), mode == "fragment");
        app.redeem(&code.unwrap(), &[]).await.ok();
    }
}

#[tokio::test]
async fn an_access_token_is_bound_if_asked_for() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;

    let bound = app
        .refresh(tokens.text("refresh_token"), &[("token_type", "DPoP")])
        .await
        .ok();

    assert_eq!(bound.text("token_type"), "DPoP");
    let jkt = app.key.as_ref().unwrap().jkt();
    assert_eq!(claims(bound.text("access_token"))["cnf"]["jkt"], jkt);

    let without_key = App {
        key: None,
        ..App::oidc(&running)
    };
    let code = without_key.code(&alice(), SCOPE).await;
    let refused = without_key.redeem(&code, &[("token_type", "DPoP")]).await;
    assert_eq!(refused.error(), "invalid_dpop_proof");
    let refused = without_key.redeem(&code, &[("token_type", "mac")]).await;
    assert_eq!(refused.error(), "invalid_request");
}

#[tokio::test]
async fn in_mode_both_access_tokens_are_always_bound() {
    let running = Authority::builder()
        .mode(OidcMode::Both)
        .start()
        .await
        .unwrap();
    let app = App::oidc(&running);

    let tokens = app.sign_in(&alice(), SCOPE).await;
    assert_eq!(tokens.text("token_type"), "DPoP");
    let next = app.refresh(tokens.text("refresh_token"), &[]).await.ok();

    assert_eq!(next.text("token_type"), "DPoP");
    assert_eq!(
        claims(next.text("access_token"))["cnf"]["jkt"],
        app.key.as_ref().unwrap().jkt()
    );

    let without_key = App {
        key: None,
        ..App::oidc(&running)
    };
    let code = without_key.code(&alice(), SCOPE).await;
    let refused = without_key.redeem(&code, &[]).await;
    assert_eq!(refused.error(), "invalid_dpop_proof");
}

#[tokio::test]
async fn without_offline_access_there_is_no_refresh_token() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), "openid").await;
    assert!(tokens.json.get("refresh_token").is_none());
    let tokens = app.sign_in(&alice(), "api.read offline_access").await;
    assert!(tokens.json.get("id_token").is_none());
}

#[tokio::test]
async fn a_refresh_may_name_other_scopes_and_claims_mint_a_new_token() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;

    let other = [
        ("scope", "openid files.write"),
        ("claims", r#"{"access_token":{"x":null}}"#),
    ];
    let next = app.refresh(tokens.text("refresh_token"), &other).await.ok();

    assert_eq!(next.text("scope"), "openid files.write");
    let id = |answer: &crate::app::Answer| claims(answer.text("access_token"))["jti"].clone();
    assert_ne!(id(&tokens), id(&next));
    let bad = app
        .refresh(next.text("refresh_token"), &[("claims", "{")])
        .await;
    assert_eq!(bad.error(), "invalid_request");
    app.refresh(next.text("refresh_token"), &[]).await.ok();
}

#[tokio::test]
async fn the_resource_named_is_the_audience() {
    let running = authority().await;
    let app = App::oidc(&running);
    let code = app.code(&alice(), SCOPE).await;
    let refused = app.redeem(&code, &[("resource", "not a uri")]).await;
    assert_eq!(refused.error(), "invalid_target");
    let tokens = app
        .redeem(&code, &[("resource", "https://files.example/")])
        .await
        .ok();
    assert_eq!(
        claims(tokens.text("access_token"))["aud"],
        "https://files.example/"
    );
}

#[tokio::test]
async fn pkce_is_demanded_and_checked() {
    let running = authority().await;
    let app = App::oidc(&running);
    for bad in [
        [("code_challenge", ""), ("code_challenge_method", "S256")],
        [
            ("code_challenge", VERIFIER),
            ("code_challenge_method", "plain"),
        ],
        [
            ("code_challenge", "short"),
            ("code_challenge_method", "S256"),
        ],
    ] {
        let redirect = Browser::new()
            .get(&app.authorize_url(SCOPE, &bad))
            .await
            .left();
        assert_eq!(parameter(&redirect, "error").unwrap(), "invalid_request");
        assert!(parameter(&redirect, "iss").is_some());
    }
    let code = app.code(&alice(), SCOPE).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
    ];
    let wrong = app
        .token(&[&form[..], &[("code_verifier", CLIENT_ID)]].concat())
        .await;
    assert_eq!(wrong.error(), "invalid_grant");
    assert_eq!(app.token(&form).await.error(), "invalid_request");
    app.redeem(&code, &[]).await.ok();
}

#[tokio::test]
async fn a_code_used_twice_costs_what_came_of_it() {
    let running = authority().await;
    let app = App::oidc(&running);
    let code = app.code(&alice(), SCOPE).await;
    let tokens = app.redeem(&code, &[]).await.ok();

    assert_eq!(app.redeem(&code, &[]).await.error(), "invalid_grant");

    let refused = app.refresh(tokens.text("refresh_token"), &[]).await;
    assert_eq!(refused.error(), "invalid_grant");
}

#[tokio::test]
async fn a_code_bound_to_a_key_needs_its_proof() {
    let running = authority().await;
    let app = App::oidc(&running);
    let jkt = app.key.as_ref().unwrap().jkt();
    let url = app.authorize_url(SCOPE, &[("dpop_jkt", jkt.as_str())]);
    let redirect = Browser::new().sign_in(&url, &alice()).await.unwrap();
    let code = parameter(&redirect, "code").unwrap();

    let thief = App {
        key: Some(Key::new()),
        ..App::oidc(&running)
    };
    assert_eq!(thief.redeem(&code, &[]).await.error(), "invalid_grant");
    let without = App {
        key: None,
        ..App::oidc(&running)
    };
    assert_eq!(without.redeem(&code, &[]).await.error(), "invalid_grant");
    app.redeem(&code, &[]).await.ok();
}
