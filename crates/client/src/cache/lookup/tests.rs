use super::*;
use crate::cache::Edit;
use crate::cache::entity::Entity;
use crate::cache::tests::*;
use crate::ports::RecordKind;
use crate::result::TokenType;
use keyward_oauth::secret::AccessToken;

fn look(cache: &Cache, target: &Target, policy: &CachePolicy, now: UnixTime) -> Lookup {
    let query = Query {
        account: &account_key("alice"),
        client: &client("app"),
        target,
        cache: policy,
    };
    cache.lookup(&query, now)
}

fn with(change: impl FnOnce(&mut AccessTokenEntity)) -> Cache {
    let mut cache = signed_in(&["alice"], &["app"]);
    let mut token = access_token(grant_key("alice", "app"), "at-1", "a b");
    change(&mut token);
    cache.absorb(vec![Edit::Put(Entity::AccessToken(token.into()))]);
    cache
}

#[test]
fn a_token_is_fresh_until_less_than_the_margin_is_left() {
    let cache = signed_in(&["alice"], &["app"]);
    let at = |seconds| look(&cache, &target("a"), &CachePolicy::UseCache, at(seconds));
    assert!(matches!(at(0), Lookup::Fresh(_)));
    assert!(matches!(at(3300), Lookup::Fresh(_)));
    assert!(matches!(at(3301), Lookup::Expiring(..)));
    assert!(matches!(at(3599), Lookup::Expiring(..)));
    assert!(matches!(at(3600), Lookup::Expired(_)));
}

#[test]
fn a_token_past_refresh_on_answers_and_is_renewed_meanwhile() {
    let cache = with(|token| token.refresh_on = Some(at(100)));
    let at = |seconds| look(&cache, &target("a"), &CachePolicy::UseCache, at(seconds));
    assert!(matches!(at(99), Lookup::Fresh(_)));
    assert!(matches!(at(100), Lookup::RefreshDue(..)));
    assert!(matches!(at(3400), Lookup::Expiring(..)));
}

#[test]
fn without_a_refresh_token_a_token_answers_while_it_lasts_and_then_nothing_does() {
    let mut cache = with(|token| token.refresh_on = Some(at(100)));
    let slot = crate::cache::key::slot(&["a b"]);
    let key = grant_key("alice", "app").record(RecordKind::RefreshToken, &slot);
    cache.absorb(vec![Edit::Delete(key)]);
    let at = |seconds| look(&cache, &target("a"), &CachePolicy::UseCache, at(seconds));
    assert!(matches!(at(200), Lookup::Fresh(_)));
    assert!(matches!(at(3400), Lookup::Absent));
}

#[test]
fn a_forced_refresh_never_answers_from_the_cache() {
    let cache = signed_in(&["alice"], &["app"]);
    let found = look(&cache, &target("a"), &CachePolicy::ForceRefresh, at(0));
    assert!(matches!(found, Lookup::Expired(_)));
}

#[test]
fn only_the_token_that_is_cached_is_renewed_on_demand() {
    let cache = signed_in(&["alice"], &["app"]);
    let renew = |token: &str| {
        let policy = CachePolicy::Renew(AccessToken::new(token.to_owned()));
        look(&cache, &target("a"), &policy, at(0))
    };
    assert!(matches!(renew("at-1"), Lookup::Expired(_)));
    assert!(matches!(renew("an older one"), Lookup::Fresh(_)));
}

#[test]
fn a_token_of_another_tenant_type_or_extension_never_answers() {
    let cache = signed_in(&["alice"], &["app"]);
    let mut others = [target("a"), target("a"), target("a")];
    others[0].realm = "guest-tenant".to_owned();
    others[1].token_type = TokenType::Dpop;
    others[2].extension = "resource=https://api".to_owned();
    for other in others {
        let found = look(&cache, &other, &CachePolicy::UseCache, at(0));
        assert!(matches!(found, Lookup::Expired(_)), "{other:?}");
    }
}

#[test]
fn a_token_of_another_account_or_client_never_answers() {
    let cache = signed_in(&["bob"], &["app"]);
    assert!(matches!(
        look(&cache, &target("a"), &CachePolicy::UseCache, at(0)),
        Lookup::Absent
    ));
    let cache = signed_in(&["alice"], &["app-2"]);
    assert!(matches!(
        look(&cache, &target("a"), &CachePolicy::UseCache, at(0)),
        Lookup::Absent
    ));
}

#[test]
fn the_newest_of_several_answers() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let mut newer = access_token(grant_key("alice", "app"), "newer", "b c");
    newer.cached_at = at(10);
    cache.absorb(vec![Edit::Put(Entity::AccessToken(newer.into()))]);
    let found = look(&cache, &target("b"), &CachePolicy::UseCache, at(20));
    let Lookup::Fresh(hit) = found else {
        panic!("{found:?}")
    };
    assert_eq!(hit.token.secret.expose_secret(), "newer");
    assert_eq!(hit.id_token.unwrap().secret.expose_secret(), "id-1");
}

#[test]
fn a_clock_that_went_back_far_makes_tokens_worthless_and_a_little_does_not() {
    let cache = with(|token| {
        token.cached_at = at(1000);
        token.expires_on = at(4600);
    });
    let at = |seconds| look(&cache, &target("a"), &CachePolicy::UseCache, at(seconds));
    assert!(matches!(at(700), Lookup::Fresh(_)));
    assert!(matches!(at(699), Lookup::Expired(_)));
}

#[test]
fn the_refresh_token_that_was_granted_the_scopes_is_taken() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let mut other = refresh_token(grant_key("alice", "app"), "rt-other", "x y");
    other.issued_at = at(50);
    cache.absorb(vec![Edit::Put(Entity::RefreshToken(other.into()))]);
    let taken =
        |scopes: &str| match look(&cache, &target(scopes), &CachePolicy::ForceRefresh, at(60)) {
            Lookup::Expired(redeemable) => redeemable.token.secret.expose_secret().to_owned(),
            found => panic!("{found:?}"),
        };
    assert_eq!(taken("b"), "rt-1");
    assert_eq!(taken("y"), "rt-other");
    assert_eq!(taken("never granted"), "rt-other", "the newest");
}
