use std::sync::atomic::Ordering;

use crate::binding::{Binding, KeyProtection};
use crate::testing::authority::{ENTRA, ISSUER, TENANT};
use crate::testing::world::{client, until};
use crate::testing::*;

#[tokio::test]
async fn accounts_are_listed_under_the_name_the_client_uses() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let environment = |world: &World, name: &str| {
        let accounts = world.engine.accounts(&client(name)).unwrap();
        assert_eq!(accounts.len(), 1);
        accounts[0].environment.clone()
    };
    assert_eq!(environment(&world, "app"), "idp.example");
    let mut request = world.silent("a");
    request.token.authority = "https://localhost/common".to_owned();
    world.engine.silent(request).await.unwrap();
    until(|| environment(&world, "app") == "localhost").await;
    assert_eq!(
        environment(&world, "other"),
        "idp.example",
        "that client named nothing yet"
    );
    world.restart().await;
    assert_eq!(environment(&world, "app"), "localhost");
}

#[tokio::test]
async fn status_names_an_account_as_its_clients_do() {
    let world = World::openid(Binds::RefreshTokens).await;
    let status = || {
        let accounts = world.engine.status().accounts;
        accounts[0].account.environment.clone()
    };
    let accounts = |name: &str| {
        let accounts = world.engine.accounts(&client(name)).unwrap();
        accounts[0].environment.clone()
    };
    let sign_in = |name: &str, authority: &str| {
        let mut request = world.interactive("a");
        request.token.client_id = client(name);
        authority.clone_into(&mut request.token.authority);
        world.show(request)
    };
    sign_in("app", "https://localhost/common").await.unwrap();
    sign_in("other", "https://localhost/common").await.unwrap();
    assert_eq!(
        [status(), accounts("app"), accounts("other")],
        ["localhost"; 3]
    );
    sign_in("third", ISSUER).await.unwrap();
    assert_eq!(accounts("app"), "localhost");
    assert_eq!(accounts("third"), "idp.example");
    assert_eq!(status(), "idp.example", "they do not agree");
}

#[tokio::test]
async fn a_client_of_two_names_does_not_make_us_write_for_every_call() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.vault.writes.load(Ordering::SeqCst);
    for n in 0..100 {
        let mut request = world.silent("a");
        if n % 2 == 0 {
            request.token.authority = "https://localhost/common".to_owned();
        }
        world.engine.silent(request).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(world.vault.writes.load(Ordering::SeqCst) <= before + 1);
}

#[tokio::test]
async fn the_aliases_of_a_cloud_are_one_environment() {
    let world = World::entra().await.signed_in().await;
    let mut request = world.silent("a");
    request.token.authority = "https://sts.windows.net/common".to_owned();
    let result = world.engine.silent(request).await.unwrap();
    assert_eq!(result.account.environment, "login.microsoftonline.com");
    let accounts = world.engine.accounts(&client("other")).unwrap();
    assert_eq!(accounts[0].environment, "login.microsoftonline.com");
    assert_eq!(accounts[0].tenant_id, TENANT);
}

#[tokio::test]
async fn status_says_who_is_signed_in_where_and_what_binds_it() {
    let world = World::openid(Binds::RefreshTokens).await;
    let nobody = world.engine.status();
    assert!(nobody.accounts.is_empty() && nobody.problems.is_empty());
    assert_eq!(nobody.key_protection, Some(KeyProtection::Software));
    assert_eq!(nobody.form, "session");
    world.sign_in("bob").await.unwrap();
    world.sign_in("alice").await.unwrap();
    let accounts = world.engine.status().accounts;
    let names: Vec<_> = accounts
        .iter()
        .map(|status| &*status.account.username)
        .collect();
    assert_eq!(names, ["alice@dev.test", "bob@dev.test"]);
    assert!(accounts.iter().all(|status| status.authority == ISSUER));
    assert!(
        accounts
            .iter()
            .all(|status| status.binding == Binding::SealedAtRest)
    );

    let world = World::entra().await.signed_in().await;
    let accounts = world.engine.status().accounts;
    assert_eq!(accounts[0].authority, format!("{ENTRA}/{TENANT}/v2.0"));
}

#[tokio::test]
async fn the_weakest_binding_of_an_account_is_the_one_that_is_reported() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut bound = world.interactive("a");
    bound.token.client_id = client("other");
    bound.token.scheme = crate::request::AuthenticationScheme::Dpop(None);
    assert_eq!(
        world.show(bound).await.unwrap().binding,
        Some(Binding::Dpop)
    );
    assert_eq!(
        world.engine.status().accounts[0].binding,
        Binding::SealedAtRest
    );
}
