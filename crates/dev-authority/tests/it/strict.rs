//! An authority that knows only configured clients.

use keyward_dev_authority::{Authority, StrictClient};
use keyward_oauth::scope::Scopes;

use crate::app::{App, CLIENT_ID, OTHER_CLIENT_ID, REDIRECT_URI, alice};
use crate::browser::{Browser, parameter};

fn registered() -> StrictClient {
    StrictClient {
        client_id: CLIENT_ID.to_owned(),
        redirect_uris: vec!["http://localhost/".to_owned()],
        scopes: Some(Scopes::parse("openid profile offline_access api.read")),
    }
}

#[tokio::test]
async fn only_configured_clients_redirect_uris_and_scopes_are_known() {
    let running = Authority::builder()
        .strict_clients([registered()])
        .start()
        .await
        .unwrap();
    let scope = "openid offline_access api.read";
    for (app, client, uri, scope_error, refresh_error) in [
        (
            App::entra(&running),
            "AADSTS700016",
            "AADSTS50011",
            "invalid_scope",
            "invalid_grant",
        ),
        (
            App::oidc(&running),
            "invalid_client",
            "invalid_redirect_uri",
            "invalid_scope",
            "invalid_scope",
        ),
    ] {
        let page = async |more| {
            Browser::new()
                .get(&app.authorize_url(scope, &[more]))
                .await
                .error()
        };
        assert_eq!(page(("client_id", OTHER_CLIENT_ID)).await, client);
        assert_eq!(
            page(("redirect_uri", "http://localhost:1/other")).await,
            uri
        );
        assert_eq!(page(("redirect_uri", "com.example.app://auth")).await, uri);
        let more = app.authorize_url("openid api.write", &[]);
        let redirect = Browser::new().get(&more).await.left();
        assert_eq!(parameter(&redirect, "error").unwrap(), scope_error);
        assert!(redirect.as_str().starts_with(REDIRECT_URI));

        let tokens = app.sign_in(&alice(), scope).await;
        let refused = app
            .refresh(tokens.text("refresh_token"), &[("scope", "api.write")])
            .await;
        assert_eq!(refused.error(), refresh_error);
        app.refresh(tokens.text("refresh_token"), &[("scope", "api.read")])
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_client_may_be_configured_by_its_id_alone() {
    let running = Authority::builder()
        .strict_clients(["native-app"])
        .start()
        .await
        .unwrap();
    let app = App::oidc(&running).with_client_id("native-app");
    app.sign_in(&alice(), "openid anything").await;
    let other = App::oidc(&running);
    let shown = Browser::new()
        .get(&other.authorize_url("openid", &[]))
        .await;
    assert_eq!(shown.error(), "invalid_client");
}
