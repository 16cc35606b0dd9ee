use super::*;
use crate::binding::KeyProtection;
use crate::cache::Cache;
use crate::cache::tests::*;
use crate::ports::Change;
use keyward_oauth::scope::Scopes;

fn bring(cache: &mut Cache, change: impl FnOnce(&mut Answer), now: UnixTime) -> Vec<Edit> {
    let mut answer = answer("alice", "app");
    change(&mut answer);
    let edits = cache.answered(answer, now);
    cache.absorb(edits.clone());
    edits
}

fn secrets(cache: &Cache) -> Vec<String> {
    let grant = cache.grant(&account_key("alice"), &client("app")).unwrap();
    let tokens = grant.access_tokens.iter();
    let mut secrets: Vec<_> = tokens
        .map(|t| t.secret.expose_secret().to_owned())
        .collect();
    secrets.sort_unstable();
    secrets
}

fn token(secret: &str, requested: &str, granted: &str) -> Arc<AccessTokenEntity> {
    let mut token = access_token(grant_key("alice", "app"), secret, requested);
    token.scopes = Scopes::parse(granted);
    token.into()
}

#[test]
fn a_new_token_replaces_those_it_stands_in_for_and_no_others() {
    let mut cache = signed_in(&["alice"], &["app"]);
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-2", "c", "c")),
        at(1),
    );
    assert_eq!(secrets(&cache), ["at-1", "at-2"]);
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-3", "a c", "a c")),
        at(2),
    );
    assert_eq!(secrets(&cache), ["at-1", "at-3"]);
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-4", "a b", "a b")),
        at(3),
    );
    assert_eq!(secrets(&cache), ["at-3", "at-4"]);
}

#[test]
fn a_default_scope_and_its_spelled_out_form_do_not_evict_each_other() {
    let mut cache = Cache::default();
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-1", "api/.default", "api/read")),
        at(0),
    );
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-2", "api/read", "api/read")),
        at(1),
    );
    assert_eq!(secrets(&cache), ["at-1", "at-2"]);
}

#[test]
fn ended_tokens_go_with_the_next_answer() {
    let mut cache = signed_in(&["alice"], &["app"]);
    bring(
        &mut cache,
        |a| a.access_token = Some(token("at-2", "c", "c")),
        at(3600),
    );
    assert_eq!(secrets(&cache), ["at-2"]);
}

#[test]
fn ended_tokens_are_found_wherever_they_are() {
    let mut cache = signed_in(&["alice", "bob"], &["app-1", "app-2"]);
    assert!(cache.expired(at(3599)).is_empty());
    let edits = cache.expired(at(3600));
    assert_eq!(edits.len(), 4);
    cache.absorb(edits);
    assert!(cache.expired(at(3600)).is_empty());
}

#[test]
fn a_sign_in_replaces_the_refresh_token_of_fewer_scopes_and_keeps_one_of_others() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let grant = grant_key("alice", "app");
    let sign_in = |cache: &mut Cache, secret: &str, scopes: &str, now| {
        let mut token = refresh_token(grant.clone(), secret, scopes);
        token.issued_at = now;
        bring(cache, |a| a.refresh_token = Some(token.into()), now);
        let grant = cache.grant(&account_key("alice"), &client("app")).unwrap();
        let tokens = grant.refresh_tokens.iter();
        tokens
            .map(|t| t.secret.expose_secret().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(sign_in(&mut cache, "rt-2", "c", at(1)), ["rt-1", "rt-2"]);
    assert_eq!(sign_in(&mut cache, "rt-3", "a b c", at(2)), ["rt-3"]);
    for n in 0..20 {
        sign_in(
            &mut cache,
            &format!("many-{n}"),
            &format!("s{n}"),
            at(10 + n),
        );
    }
    let left = sign_in(&mut cache, "last", "z", at(100));
    assert_eq!(left.len(), MOST_REFRESH_TOKENS);
    assert!(left.contains(&"last".to_owned()) && left.contains(&"many-19".to_owned()));
}

#[test]
fn a_client_holds_so_many_access_tokens_and_no_more() {
    let mut cache = Cache::default();
    for n in 0..200 {
        let scope = format!("s{n}");
        let mut new = access_token(grant_key("alice", "app"), &scope, &scope);
        new.cached_at = at(n);
        bring(&mut cache, |a| a.access_token = Some(new.into()), at(n));
    }
    let left = secrets(&cache);
    assert_eq!(left.len(), MOST_ACCESS_TOKENS);
    assert!(left.contains(&"s199".to_owned()) && !left.contains(&"s0".to_owned()));
}

#[test]
fn an_answer_that_changes_nothing_about_the_account_does_not_write_it() {
    let mut cache = signed_in(&["alice"], &["app"]);
    let edits = bring(&mut cache, |_| (), at(1));
    let kinds: Vec<_> = edits
        .iter()
        .map(|edit| match edit.to_change(KeyProtection::Software) {
            Change::Put(record) => record.key.kind,
            Change::Delete(key) => panic!("{key:?}"),
        })
        .collect();
    let tokens = [
        RecordKind::RefreshToken,
        RecordKind::AccessToken,
        RecordKind::IdToken,
    ];
    assert_eq!(kinds, tokens);
}

#[test]
fn how_a_client_names_a_provider_is_written_when_it_changes() {
    let mut cache = signed_in(&["alice"], &["app", "other"]);
    assert!(cache.named(environment("app", "idp.example")).is_none());
    let edit = cache.named(environment("app", "localhost")).unwrap();
    cache.absorb(vec![edit]);
    let host = |name: &str| cache.environment(&client(name), PROVIDER).cloned();
    assert_eq!(host("app").as_deref(), Some("localhost"));
    assert_eq!(host("other").as_deref(), Some("idp.example"));
}

#[test]
fn sign_out_removes_everything_of_one_account_for_every_client() {
    let mut cache = signed_in(&["alice", "bob"], &["app-1", "app-2"]);
    let edits = cache.signed_out(&account_key("alice"));
    assert_eq!(edits.len(), 7, "three tokens per client and the account");
    cache.absorb(edits);
    assert_eq!(cache.accounts().count(), 1);
    assert!(
        cache
            .grant(&account_key("alice"), &client("app-1"))
            .is_none()
    );
    assert!(cache.grant(&account_key("bob"), &client("app-2")).is_some());
    assert!(cache.signed_out(&account_key("alice")).is_empty());
}
