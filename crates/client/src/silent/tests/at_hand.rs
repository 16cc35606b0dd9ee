//! What is handed out without waiting for anything.

use keyward_oauth::identifiers::HomeAccountId;
use keyward_oauth::secret::IdTokenText;

use crate::account::AccountSelector;
use crate::request::{AuthenticationScheme, CachePolicy, SilentRequest};
use crate::result::TokenSource;
use crate::testing::world::client;
use crate::testing::*;

fn request(world: &World, account: &HomeAccountId) -> SilentRequest {
    SilentRequest {
        account: AccountSelector::Home(account.clone()),
        ..world.silent("a")
    }
}

#[tokio::test]
async fn it_is_what_a_silent_request_gets() {
    for world in [
        World::openid(Binds::RefreshTokens).await,
        World::entra().await,
    ] {
        let account = world.sign_in("alice").await.unwrap().account;
        let request = request(&world, &account.home_account_id);
        let handed = world.engine.at_hand(&request).unwrap();
        let silent = world.engine.silent(request).await.unwrap();
        assert_eq!(handed.token_source, TokenSource::Cache);
        let compared = [&handed, &silent].map(|result| {
            let id_token = result.id_token.as_ref().map(IdTokenText::expose_secret);
            format!(
                "{result:?} {} {id_token:?}",
                result.access_token.expose_secret()
            )
        });
        assert_eq!(compared[0], compared[1]);
    }
}

#[tokio::test]
async fn nothing_is_at_hand_for_who_asks_for_more_or_after_the_end() {
    let world = World::openid(Binds::RefreshTokens).await;
    let account = world.sign_in("alice").await.unwrap().account;
    let plain = request(&world, &account.home_account_id);
    assert!(world.engine.at_hand(&plain).is_some());

    let mut claims = plain.clone();
    claims.token.claims = Some(r#"{"access_token":{}}"#.to_owned());
    let mut beside = plain.clone();
    let parameter = ("claims".to_owned(), r#"{"access_token":{}}"#.to_owned());
    beside.token.extra_parameters.extend([parameter]);
    let mut parameters = plain.clone();
    let parameter = ("resource".to_owned(), "r".to_owned());
    parameters.token.extra_parameters.extend([parameter]);
    let mut scheme = plain.clone();
    scheme.token.scheme = AuthenticationScheme::Dpop(None);
    let mut scopes = plain.clone();
    scopes.token.scopes = "never granted".into();
    let mut other_client = plain.clone();
    other_client.token.client_id = client("other");
    let mut other_account = plain.clone();
    other_account.account = AccountSelector::Home(HomeAccountId::new("u", "t"));
    let mut untrusted = plain.clone();
    untrusted.token.authority = "https://stranger.example".to_owned();
    let forced = SilentRequest {
        cache: CachePolicy::ForceRefresh,
        ..plain.clone()
    };
    for more in [
        claims,
        beside,
        parameters,
        scheme,
        scopes,
        other_client,
        other_account,
        untrusted,
        forced,
    ] {
        assert!(world.engine.at_hand(&more).is_none(), "{more:?}");
    }
    world.expire();
    assert!(world.engine.at_hand(&plain).is_none());
}
