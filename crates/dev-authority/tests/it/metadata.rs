//! Discovery of both tenants, under every spelling of loopback.

use keyward_dev_authority::{ENTRA_TENANT, Tenant};
use keyward_jose::JwkSet;
use keyward_jose::jws::Unverified;
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::app::{App, SCOPE, alice, authority, get};
use crate::browser::http;
use crate::key::claims;

/// Every absolute URL in a document that is an endpoint.
fn endpoints(metadata: &Value) -> Vec<&str> {
    let members = metadata.as_object().unwrap();
    let urls = members.values().filter_map(Value::as_str);
    urls.filter(|text| text.contains("://")).collect()
}

#[tokio::test]
async fn every_url_is_on_the_requests_own_origin() {
    let running = authority().await;
    let http = http();
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let origin = format!("http://{host}:{}", running.port());
        for path in [
            "oidc".to_owned(),
            format!("{ENTRA_TENANT}/v2.0"),
            "common/v2.0".to_owned(),
        ] {
            let url = format!("{origin}/{path}/.well-known/openid-configuration");
            let metadata = get(&http, &url).await.ok();
            let urls = endpoints(&metadata.json);
            assert!(urls.len() >= 6, "{urls:?}");
            assert!(urls.iter().all(|url| url.starts_with(&origin)), "{urls:?}");
        }
    }
}

#[tokio::test]
async fn the_openid_tenant_announces_what_it_does() {
    let running = authority().await;
    let url = format!(
        "{}/.well-known/openid-configuration",
        running.issuer(Tenant::Oidc)
    );
    let metadata = get(&http(), &url).await.ok().json;
    assert_eq!(metadata["issuer"], running.issuer(Tenant::Oidc));
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
    assert_eq!(metadata["dpop_signing_alg_values_supported"][0], "ES256");
    assert_eq!(metadata["code_challenge_methods_supported"][0], "S256");
    let rfc_8414 = format!(
        "{}/.well-known/oauth-authorization-server/oidc",
        running.http()
    );
    assert_eq!(get(&http(), &rfc_8414).await.ok().json, metadata);
}

#[tokio::test]
async fn the_derived_guid_leads_to_the_openid_tenant() {
    let running = authority().await;
    let guid = Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        running.issuer(Tenant::Oidc).as_bytes(),
    );
    let origin = format!("http://localhost:{}", running.port());
    for rest in [
        ".well-known/openid-configuration",
        "v2.0/.well-known/openid-configuration",
    ] {
        let metadata = get(&http(), &format!("{origin}/{guid}/{rest}")).await.ok();
        assert_eq!(metadata.text("issuer"), format!("{origin}/oidc"));
        let token_endpoint = metadata.text("token_endpoint");
        assert_eq!(token_endpoint, format!("{origin}/{guid}/token"));
        let keys = get(&http(), metadata.text("jwks_uri")).await.ok();
        assert!(keys.json["keys"].is_array());
    }
}

#[tokio::test]
async fn tokens_come_from_the_endpoints_under_the_derived_guid_as_well() {
    let running = authority().await;
    let issuer = running.issuer(Tenant::Oidc);
    let guid = Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.as_bytes());
    let app = App {
        base: format!("{}/{guid}", running.http()),
        ..App::oidc(&running)
    };
    let tokens = app.sign_in(&alice(), SCOPE).await;
    assert_eq!(claims(tokens.text("id_token"))["iss"], issuer);
    app.refresh(tokens.text("refresh_token"), &[]).await.ok();
}

#[tokio::test]
async fn entra_names_its_tenant_or_a_template() {
    let running = authority().await;
    let issuer = |name: &str| {
        let url = format!(
            "{}/{name}/V2.0/.Well-Known/openid-configuration",
            running.http()
        );
        async move { get(&http(), &url).await }
    };
    let own = running.issuer(Tenant::Entra);
    assert_eq!(issuer(ENTRA_TENANT).await.ok().text("issuer"), own);
    assert_eq!(issuer("dev.TEST").await.ok().text("issuer"), own);
    let template = format!("{}/{{tenantid}}/v2.0", running.http());
    let common = issuer("common").await.ok();
    assert_eq!(common.text("issuer"), template);
    assert_eq!(common.text("msgraph_host"), "graph.microsoft.com");
    assert!(
        common
            .json
            .get("dpop_signing_alg_values_supported")
            .is_none()
    );
    let unknown = issuer("99999999-2222-3333-4444-555555555555").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert_eq!(unknown.json["error_codes"][0], 90_002);
}

#[tokio::test]
async fn instance_discovery_knows_its_own_host_and_the_public_cloud() {
    let running = authority().await;
    let ask = |endpoint: String| {
        let mut url: reqwest::Url = format!("{}/common/discovery/instance", running.http())
            .parse()
            .unwrap();
        url.query_pairs_mut()
            .append_pair("api-version", "1.1")
            .append_pair("authorization_endpoint", &endpoint);
        async move { get(&http(), url.as_str()).await }
    };
    let own = ask(format!("{}/common/oauth2/v2.0/authorize", running.http()))
        .await
        .ok();
    let host = running.http().strip_prefix("http://").unwrap();
    assert_eq!(own.json["metadata"][0]["aliases"][0], host);
    assert!(
        own.text("tenant_discovery_endpoint")
            .starts_with(running.http())
    );
    ask("https://login.windows.net/common/oauth2/v2.0/authorize".to_owned())
        .await
        .ok();
    let unknown = ask("https://evil.example/common/oauth2/v2.0/authorize".to_owned()).await;
    assert_eq!(
        (unknown.status, unknown.error()),
        (StatusCode::BAD_REQUEST, "invalid_instance")
    );
}

#[tokio::test]
async fn the_published_keys_verify_the_id_tokens() {
    let running = authority().await;
    for (app, keys) in [
        (App::oidc(&running), format!("{}/oidc/jwks", running.http())),
        (
            App::entra(&running),
            format!("{}/common/discovery/v2.0/keys", running.http()),
        ),
    ] {
        let tokens = app.sign_in(&alice(), SCOPE).await;
        let body = app
            .http
            .get(&keys)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let keys = JwkSet::parse(&body).unwrap();
        assert!(
            Unverified::parse(tokens.text("id_token"))
                .unwrap()
                .verify(&keys)
                .is_ok()
        );
    }
}
