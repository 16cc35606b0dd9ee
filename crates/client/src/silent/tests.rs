use std::sync::atomic::Ordering;

use keyward_oauth::identifiers::HomeAccountId;
use keyward_oauth::secret::AccessToken;

use crate::account::AccountSelector;
use crate::binding::{Binding, KeyProtection};
use crate::error::ErrorKind;
use crate::request::CachePolicy;
use crate::result::{TokenSource, TokenType};
use crate::testing::authority::{GUEST_TENANT, ISSUER, TENANT};
use crate::testing::world::{client, entra, home};
use crate::testing::*;

#[tokio::test]
async fn a_fresh_token_answers_without_the_authority() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let before = world.authority.posts();
    let result = world.token("a").await.unwrap();
    assert_eq!(result.token_source, TokenSource::Cache);
    assert_eq!(result.token_type, TokenType::Bearer);
    assert_eq!(result.account.username, "alice@dev.test");
    assert_eq!(result.account.environment, "idp.example");
    assert_eq!(result.authority, ISSUER);
    assert_eq!(result.key_protection, KeyProtection::Software);
    assert!(result.id_token.is_some());
    assert_eq!(world.authority.posts(), before);
}

#[tokio::test]
async fn silent_never_signs_anybody_in() {
    let world = World::openid(Binds::RefreshTokens).await;
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!((world.agent.shows(), world.authority.posts()), (0, 0));
}

#[tokio::test]
async fn an_ended_token_is_renewed_and_the_rotated_refresh_token_kept() {
    let mut world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for _ in 0..5 {
        world.expire();
        let result = world.token("a b").await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider);
        let valid = world.authority.state().valid_refresh_tokens();
        assert_eq!(valid.len(), 1);
        assert!(world.vault.holds(&valid[0]), "durable before the answer");
        world.restart().await;
    }
}

#[tokio::test]
async fn a_refresh_token_that_does_not_rotate_is_used_again() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().rotates = false;
    world.authority.state().gives_id_token_on_refresh = false;
    let only = world.authority.state().valid_refresh_tokens();
    for _ in 0..3 {
        world.expire();
        let result = world.token("a").await.unwrap();
        assert_eq!(result.account.username, "alice@dev.test");
        assert!(result.id_token.is_some(), "the one of the sign-in");
        assert_eq!(world.authority.last_form()["refresh_token"], only[0]);
    }
}

#[tokio::test]
async fn a_token_about_to_end_is_renewed_five_minutes_early() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.clock.forward(3300);
    assert_eq!(
        world.token("a").await.unwrap().token_source,
        TokenSource::Cache
    );
    world.clock.forward(1);
    assert_eq!(
        world.token("a").await.unwrap().token_source,
        TokenSource::IdentityProvider
    );
}

#[tokio::test]
async fn in_an_outage_a_token_that_is_still_valid_is_served() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.clock.forward(3400);
    let down = || Fault::Answer(503, None, String::new());
    for fault in [Fault::Unreachable, down()] {
        world.authority.fault(fault);
        let result = world.token("a").await.unwrap();
        assert_eq!(result.token_source, TokenSource::Cache);
    }
    world.clock.forward(200);
    world.authority.fault(Fault::Unreachable);
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoNetwork);
    assert!(error.is_retryable());
    world.authority.fault(down());
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerTemporarilyUnavailable);
    world
        .token("a")
        .await
        .expect("the outage is over, and cost nothing");
}

#[tokio::test]
async fn a_forced_refresh_is_not_answered_from_the_cache_not_even_in_an_outage() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let forced = || {
        let mut request = world.silent("a");
        request.cache = CachePolicy::ForceRefresh;
        request
    };
    let result = world.engine.silent(forced()).await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    world.authority.fault(Fault::Unreachable);
    assert!(
        world
            .engine
            .silent(forced())
            .await
            .unwrap_err()
            .is_retryable()
    );
}

#[tokio::test]
async fn claims_bypass_the_cache_and_travel_to_the_authority() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let mut request = world.silent("a");
    request.token.claims = Some(claims.to_owned());
    let result = world.engine.silent(request.clone()).await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    assert_eq!(world.authority.last_form()["claims"], claims);

    let cached = world.token("a").await.unwrap();
    assert_eq!(
        cached.access_token.expose_secret(),
        result.access_token.expose_secret(),
        "the token that was refused is not handed out again"
    );
    request.token.claims = Some("no JSON".to_owned());
    let error = world.engine.silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn claims_among_the_extra_parameters_are_claims() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request
        .token
        .extra_parameters
        .insert("claims".to_owned(), r#"{"a":1}"#.to_owned());
    let result = world.engine.silent(request).await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    assert_eq!(world.authority.last_form()["claims"], r#"{"a":1}"#);
}

#[tokio::test]
async fn a_named_token_is_renewed_only_while_it_is_the_cached_one() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let old = world.token("a").await.unwrap().access_token;
    let renew = |token: &AccessToken| {
        let mut request = world.silent("a");
        request.cache = CachePolicy::Renew(token.clone());
        world.engine.silent(request)
    };
    let new = renew(&old).await.unwrap();
    assert_eq!(new.token_source, TokenSource::IdentityProvider);
    let again = renew(&old).await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    assert_eq!(
        again.access_token.expose_secret(),
        new.access_token.expose_secret()
    );
}

#[tokio::test]
async fn extra_parameters_are_passed_on_and_tell_tokens_apart() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let with = |name: &str, value: &str| {
        let mut request = world.silent("a");
        request
            .token
            .extra_parameters
            .insert(name.to_owned(), value.to_owned());
        world.engine.silent(request)
    };
    let result = with("resource", "https://api.example").await.unwrap();
    assert_eq!(result.token_source, TokenSource::IdentityProvider);
    assert_eq!(
        world.authority.last_form()["resource"],
        "https://api.example"
    );
    let again = with("resource", "https://api.example").await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    let other = with("resource", "https://other.example").await.unwrap();
    assert_eq!(other.token_source, TokenSource::IdentityProvider);
    let telemetry = with("x-client-xtra-sku", "|,|").await.unwrap();
    assert_eq!(telemetry.token_source, TokenSource::Cache);
    with("grant_type", "password").await.unwrap();
    assert_eq!(world.authority.last_form()["grant_type"], "refresh_token");
}

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
async fn a_refresh_due_renews_in_the_background_and_answers_at_once() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().refresh_in = Some(60);
    let mut forced = world.silent("a b");
    forced.cache = CachePolicy::ForceRefresh;
    let old = world.engine.silent(forced).await.unwrap().access_token;
    let before = world.authority.posts();
    world.clock.forward(61);
    let gate = world.authority.stall();
    for _ in 0..50 {
        let result = world.token("a b").await.unwrap();
        assert_eq!(result.token_source, TokenSource::Cache);
        assert_eq!(result.access_token.expose_secret(), old.expose_secret());
    }
    gate.add_permits(1);
    while world
        .token("a b")
        .await
        .unwrap()
        .access_token
        .expose_secret()
        == old.expose_secret()
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        world.authority.posts(),
        before + 1,
        "one renewal, however many asked"
    );
}

#[tokio::test]
async fn a_refresh_ahead_of_need_that_fails_is_nobodys_error_and_not_repeated_at_once() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.authority.state().refresh_in = Some(60);
    let mut forced = world.silent("a b");
    forced.cache = CachePolicy::ForceRefresh;
    world.engine.silent(forced).await.unwrap();
    world.clock.forward(61);
    world.authority.state().unreachable = true;
    world.token("a b").await.unwrap();
    while world.engine.renewals_in_progress() > 0 {
        tokio::task::yield_now().await;
    }
    world.authority.state().unreachable = false;
    let before = world.authority.posts();
    for _ in 0..10 {
        world.token("a b").await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(world.authority.posts(), before, "held for a minute");
    world.clock.forward(61);
    world.token("a b").await.unwrap();
    while world.authority.posts() == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_bound_refresh_token_is_reported_so_and_a_plain_one_is_not() {
    let world = World::openid(Binds::Nothing).await.signed_in().await;
    assert_eq!(
        world.token("a").await.unwrap().binding,
        Binding::SealedAtRest
    );
    assert_eq!(world.keys.count(), 0, "no key where nothing is bound");
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let unproven = world.token("a").await.unwrap().binding;
    assert_eq!(
        unproven,
        Binding::SealedAtRest,
        "never promise more than holds"
    );
}

#[tokio::test]
async fn thousands_of_calls_leave_nothing_behind() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for n in 0..2_000 {
        world.token("a").await.unwrap();
        if n % 100 == 0 {
            world.expire();
        }
    }
    assert_eq!(world.engine.renewals_in_progress(), 0);
    assert_eq!(
        world.vault.records.lock().unwrap().len(),
        5,
        "one record of each kind"
    );
    assert_eq!(world.keys.count(), 1);
    assert!(world.vault.writes.load(Ordering::SeqCst) <= 22);
}
