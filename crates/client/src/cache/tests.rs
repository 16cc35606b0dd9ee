//! Fixtures for the tests of the cache, and the tests of its index.

use super::entity::{AccessTokenEntity, IdTokenEntity, Profile, RefreshTokenEntity};
use super::grant::LONGEST_REPLACED;
use super::key::{Target, Wanted};
use super::update::Answer;
use super::*;
use crate::binding::{Binding, KeyProtection};
use crate::result::TokenType;
use keyward_oauth::identifiers::HomeAccountId;
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::{AccessToken, IdTokenText, RefreshToken};
use keyward_oauth::time::UnixTime;

pub(super) const PROVIDER: &str = "https://idp.example";
pub(super) const REALM: &str = "realm-1";

pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(1_000_000 + seconds)
}

pub(super) fn account_key(user: &str) -> AccountKey {
    AccountKey {
        provider: Arc::from(PROVIDER),
        home: HomeAccountId::new(user, REALM),
    }
}

pub(super) fn client(name: &str) -> ClientId {
    ClientId::parse(name).unwrap()
}

pub(super) fn grant_key(user: &str, name: &str) -> GrantKey {
    GrantKey {
        account: account_key(user),
        client: client(name),
    }
}

pub(super) fn account(user: &str) -> Account {
    Account {
        key: account_key(user),
        kind: AuthorityKind::OpenId,
        profiles: vec![Profile {
            tenant_id: REALM.to_owned(),
            local_account_id: user.to_owned(),
            username: format!("{user}@dev.test"),
            name: None,
            given_name: None,
            family_name: None,
            issuer: PROVIDER.to_owned(),
        }],
    }
}

pub(super) fn target(scopes: &str) -> Target {
    Target {
        realm: REALM.to_owned(),
        token_type: TokenType::Bearer,
        extension: String::new(),
        scopes: Wanted::new(&Scopes::parse(scopes)),
    }
}

pub(super) fn access_token(grant: GrantKey, secret: &str, scopes: &str) -> AccessTokenEntity {
    AccessTokenEntity {
        grant,
        target: target(scopes),
        secret: AccessToken::new(secret.to_owned()),
        scopes: Scopes::parse(scopes),
        key: None,
        binding: Binding::SealedAtRest,
        key_protection: KeyProtection::Software,
        cached_at: at(0),
        expires_on: at(3600),
        ext_expires_on: None,
        refresh_on: None,
    }
}

pub(super) fn refresh_token(grant: GrantKey, secret: &str, scopes: &str) -> RefreshTokenEntity {
    RefreshTokenEntity {
        grant,
        slot: key::slot(&[scopes]),
        secret: RefreshToken::new(secret.to_owned()),
        scopes: Scopes::parse(scopes),
        binding: Binding::Dpop,
        key: Some(KeyRef::new("key-1")),
        key_protection: KeyProtection::Software,
        issued_at: at(0),
    }
}

pub(super) fn answer(user: &str, name: &str) -> Answer {
    let grant = grant_key(user, name);
    Answer {
        account: account(user).into(),
        refresh_token: Some(refresh_token(grant.clone(), "rt-1", "a b").into()),
        access_token: Some(access_token(grant.clone(), "at-1", "a b").into()),
        id_token: Some(Arc::new(IdTokenEntity {
            grant,
            realm: REALM.to_owned(),
            secret: IdTokenText::new("id-1".to_owned()),
        })),
        environment: environment(name, "idp.example"),
    }
}

pub(super) fn environment(name: &str, host: &str) -> Environment {
    Environment {
        client: client(name),
        provider: Arc::from(PROVIDER),
        host: Arc::from(host),
    }
}

pub(super) fn signed_in(users: &[&str], clients: &[&str]) -> Cache {
    let mut cache = Cache::default();
    for user in users {
        for name in clients {
            let edits = cache.answered(answer(user, name), at(0));
            assert!(cache.absorb(edits).is_empty());
        }
    }
    cache
}

#[test]
fn what_is_put_is_found_where_it_belongs() {
    let cache = signed_in(&["alice", "bob"], &["app-1", "app-2"]);
    assert_eq!(cache.accounts().count(), 2);
    let grant = cache
        .grant(&account_key("alice"), &client("app-2"))
        .unwrap();
    assert_eq!(grant.refresh_tokens[0].secret.expose_secret(), "rt-1");
    assert_eq!(grant.access_tokens[0].grant, grant_key("alice", "app-2"));
    assert_eq!(cache.grants_of(&client("app-1")).count(), 2);
    assert!(
        cache
            .grant(&account_key("alice"), &client("app-3"))
            .is_none()
    );
}

#[test]
fn tokens_of_an_account_that_is_not_here_are_not_kept() {
    let mut cache = Cache::default();
    let token = access_token(grant_key("alice", "app"), "at", "a");
    cache.absorb(vec![Edit::Put(Entity::AccessToken(Arc::new(token)))]);
    assert!(cache.grant(&account_key("alice"), &client("app")).is_none());
}

#[test]
fn a_key_is_released_when_nothing_refers_to_it_any_more() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let grant = grant_key("alice", "app");
    let mut bound = access_token(grant.clone(), "at-2", "c");
    bound.key = Some(KeyRef::new("key-1"));
    cache.absorb(vec![Edit::Put(Entity::AccessToken(Arc::new(bound)))]);

    let mut new = refresh_token(grant.clone(), "rt-2", "a b");
    new.key = Some(KeyRef::new("key-2"));
    let put = vec![Edit::Put(Entity::RefreshToken(Arc::new(new)))];
    assert!(
        cache.absorb(put).is_empty(),
        "an access token still needs the old key"
    );

    let delete = vec![Edit::Delete(
        grant.record(RecordKind::AccessToken, &target("c").slot()),
    )];
    assert_eq!(cache.absorb(delete), [KeyRef::new("key-1")]);

    let released = cache.absorb(cache.signed_out(&account_key("alice")));
    assert_eq!(released, [KeyRef::new("key-2")]);
}

#[test]
fn a_replaced_dpop_token_gets_proofs_until_it_ends() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let dpop = |secret: &str| {
        let mut token = access_token(grant_key("alice", "app"), secret, "c");
        token.target.token_type = TokenType::Dpop;
        token.key = Some(KeyRef::new("key-1"));
        vec![Edit::Put(Entity::AccessToken(Arc::new(token)))]
    };
    for n in 0..40 {
        cache.absorb(dpop(&format!("at-{n}")));
    }
    let grant = cache.grant(&account_key("alice"), &client("app")).unwrap();
    let key = KeyRef::new("key-1");
    assert_eq!(
        grant.key_of(&AccessToken::new("at-39".to_owned()), at(10)),
        Some(&key)
    );
    assert_eq!(
        grant.key_of(&AccessToken::new("at-38".to_owned()), at(10)),
        Some(&key)
    );
    assert_eq!(
        grant.key_of(&AccessToken::new("at-38".to_owned()), at(3600)),
        None,
        "it has ended"
    );
    assert_eq!(
        grant.key_of(&AccessToken::new("at-1".to_owned()), at(10)),
        None,
        "only so many are remembered"
    );
    assert_eq!(
        grant.key_of(&AccessToken::new("forged".to_owned()), at(10)),
        None
    );
    assert_eq!(grant.replaced.len(), LONGEST_REPLACED);
}

#[test]
fn a_bearer_token_gets_no_proofs() {
    let cache = signed_in(&["alice"], &["app"]);
    let grant = cache.grant(&account_key("alice"), &client("app")).unwrap();
    assert_eq!(
        grant.key_of(&AccessToken::new("at-1".to_owned()), at(10)),
        None
    );
}

#[test]
fn an_issuer_in_use_is_found_by_its_derived_guid() {
    let cache = signed_in(&["alice"], &["app"]);
    let guid = derived_tenant(PROVIDER).to_string();
    assert_eq!(cache.issuer_of(&guid).as_deref(), Some(PROVIDER));
    assert_eq!(cache.issuer_of("other"), None);
}
