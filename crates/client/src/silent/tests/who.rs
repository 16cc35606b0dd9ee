//! Which account, which tenant, which name.

use keyward_oauth::identifiers::HomeAccountId;

use crate::account::AccountSelector;
use crate::error::ErrorKind;
use crate::result::TokenSource;
use crate::testing::authority::{GUEST_TENANT, ISSUER, TENANT};
use crate::testing::world::{client, entra, home};
use crate::testing::*;

#[tokio::test]
async fn the_account_is_found_by_home_id_by_name_or_as_the_only_one() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let alice = world.token("a").await.unwrap().account.home_account_id;
    let by = |account: AccountSelector| {
        let mut request = world.silent("a");
        request.account = account;
        world.engine.silent(request)
    };
    for account in [
        AccountSelector::Home(alice.clone()),
        AccountSelector::Username("ALICE@dev.test".to_owned()),
        AccountSelector::Only,
    ] {
        assert_eq!(by(account).await.unwrap().account.home_account_id, alice);
    }
    for account in [
        AccountSelector::Home(HomeAccountId::new("other", "tenant")),
        AccountSelector::Username("mallory@dev.test".to_owned()),
    ] {
        let error = by(account).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    }
}

#[tokio::test]
async fn among_two_accounts_each_gets_its_own_token_and_nobody_gets_any() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let bob = world.sign_in("bob").await.unwrap();
    for (name, user) in [("alice@dev.test", "alice"), ("bob@dev.test", "bob")] {
        for _ in 0..2 {
            let mut request = world.silent("a");
            request.account = AccountSelector::Username(name.to_owned());
            let result = world.engine.silent(request).await.unwrap();
            assert!(result.access_token.expose_secret().ends_with(user));
            assert_eq!(result.account.username, name);
            world.expire();
        }
    }
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired, "several fit");
    assert_eq!(world.engine.accounts(&client("app")).unwrap().len(), 2);
    assert_ne!(bob.account.home_account_id.uid(), "");
}

#[tokio::test]
async fn an_account_with_nothing_left_does_not_stand_in_the_others_way() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.expire();
    world.authority.state().revoke_everything();
    world.token("a").await.unwrap_err();
    world.sign_in("bob").await.unwrap();
    assert_eq!(
        world.token("a").await.unwrap().account.username,
        "bob@dev.test"
    );
}

#[tokio::test]
async fn another_client_sees_the_account_and_gets_no_token_of_it() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.client_id = client("other");
    for account in [
        AccountSelector::Only,
        AccountSelector::Username("alice@dev.test".to_owned()),
    ] {
        request.account = account;
        let error = world.engine.silent(request.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    }
    assert_eq!(world.engine.accounts(&client("other")).unwrap().len(), 1);
}

#[tokio::test]
async fn a_guest_tenant_never_gets_a_token_of_the_home_tenant() {
    let world = World::entra().await;
    world.sign_in("alice").await.unwrap();
    let at = |tenant: &str| {
        let mut request = world.silent("a");
        request.token.authority = entra(tenant);
        request.account = AccountSelector::Home(home("alice"));
        world.engine.silent(request)
    };
    let home_token = at("common").await.unwrap();
    assert_eq!(home_token.token_source, TokenSource::Cache);
    assert_eq!(home_token.account.tenant_id, TENANT);
    let named = at(TENANT).await.unwrap();
    assert_eq!(
        named.token_source,
        TokenSource::Cache,
        "the same tenant by its own name"
    );
    let domain = at("dev.test").await.unwrap();
    assert_eq!(domain.token_source, TokenSource::Cache, "and by its domain");

    let guest = at(GUEST_TENANT).await.unwrap();
    assert_eq!(guest.token_source, TokenSource::IdentityProvider);
    assert_eq!(guest.account.tenant_id, GUEST_TENANT);
    assert_eq!(guest.account.home_account_id, home("alice"));
    assert_ne!(
        guest.access_token.expose_secret(),
        home_token.access_token.expose_secret()
    );
    assert_eq!(
        at(GUEST_TENANT).await.unwrap().token_source,
        TokenSource::Cache
    );
    assert_eq!(at("common").await.unwrap().token_source, TokenSource::Cache);
}

#[tokio::test]
async fn an_answer_for_another_tenant_is_refused() {
    let world = World::entra().await;
    world.sign_in("alice").await.unwrap();
    world.authority.fault(Fault::OfTenant(TENANT));
    let mut request = world.silent("a");
    request.token.authority = entra(GUEST_TENANT);
    let error = world.engine.silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    world.expire();
    world
        .token("a")
        .await
        .expect("the rotated refresh token was kept all the same");
}

#[tokio::test]
async fn every_name_of_an_authority_means_the_same_account() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let tenant = crate::authority::derived_tenant(ISSUER);
    let names = [
        "https://localhost/common".to_owned(),
        format!("https://other.example/{tenant}"),
    ];
    for (name, environment) in names.iter().zip(["localhost", "other.example"]) {
        let mut request = world.silent("a");
        request.token.authority.clone_from(name);
        let result = world.engine.silent(request).await.unwrap();
        assert_eq!(result.token_source, TokenSource::Cache);
        assert_eq!(result.account.environment, environment);
        assert_eq!(result.account.tenant_id, tenant.to_string());
    }
    let mut request = world.silent("a");
    request.token.authority = "https://evil.example/realms/dev".to_owned();
    let error = world.engine.silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthorityUntrusted);
}

#[tokio::test]
async fn a_derived_tenant_leads_back_to_its_authority_whatever_is_configured() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let tenant = crate::authority::derived_tenant(ISSUER);
    world.restart_unconfigured().await;
    // Microsoft's runtime puts an account's tenant in the place of `common`, whoever's it is.
    for host in ["localhost", "login.microsoftonline.com", "sts.windows.net"] {
        world.expire();
        let mut request = world.silent("a");
        request.token.authority = format!("https://{host}/{tenant}");
        let result = world.engine.silent(request).await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider, "{host}");
        assert_eq!(result.authority, ISSUER);
    }
}
