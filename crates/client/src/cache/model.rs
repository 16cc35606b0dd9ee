//! A slow, obvious model of the cache, and the proof that the cache behaves like it.
//!
//! The model is one list of tokens in the order they came. The cache is compared with it after
//! every step, and so is a cache that was written to records and read again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::entity::Entity;
use super::key::{AccountKey, Target, Wanted};
use super::lookup::{Lookup, MARGIN, Query};
use super::tests::{access_token, account_key, answer, at, client, grant_key, refresh_token};
use super::{Cache, Edit, format};
use crate::binding::KeyProtection;
use crate::ports::{Change, Record, RecordKey};
use crate::request::CachePolicy;
use crate::result::TokenType;
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::AccessToken;
use keyward_oauth::time::UnixTime;

const USERS: [&str; 2] = ["alice", "bob"];
const CLIENTS: [&str; 2] = ["app-1", "app-2"];
const REALMS: [&str; 2] = ["realm-1", "guest"];
const TYPES: [TokenType; 2] = [TokenType::Bearer, TokenType::Dpop];
const SCOPES: [&str; 4] = ["a", "b", "c/.default", "openid"];

#[derive(Clone, Debug)]
enum Step {
    Answer {
        place: Place,
        granted: Vec<usize>,
        lifetime: u64,
        refresh_in: Option<u64>,
        rotates: bool,
    },
    SignOut {
        user: usize,
    },
    Wait {
        seconds: u64,
    },
    Sweep,
}

/// Who and what: an index into each of the lists above.
#[derive(Clone, Debug)]
struct Place {
    user: usize,
    client: usize,
    realm: usize,
    token_type: usize,
    scopes: Vec<usize>,
}

impl Place {
    fn target(&self) -> Target {
        Target {
            realm: REALMS[self.realm].to_owned(),
            token_type: TYPES[self.token_type],
            extension: String::new(),
            scopes: Wanted::new(&scopes(&self.scopes)),
        }
    }
}

fn scopes(which: &[usize]) -> Scopes {
    which.iter().map(|&n| SCOPES[n]).collect()
}

#[derive(Clone, Debug)]
struct Token {
    place: Place,
    secret: String,
    granted: Scopes,
    cached_at: UnixTime,
    expires_on: UnixTime,
    refresh_on: Option<UnixTime>,
}

#[derive(Default)]
struct Model {
    tokens: Vec<Token>,
    /// (user, client) with a refresh token.
    renewable: Vec<(usize, usize)>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Fresh(String),
    RefreshDue(String),
    Expiring(String),
    Expired,
    Absent,
}

impl Model {
    fn answer(&mut self, new: Token, rotates: bool) {
        self.tokens.retain(|old| {
            let same = old.place.user == new.place.user && old.place.client == new.place.client;
            !(same && (answers(&new, &old.place) || old.expires_on <= new.cached_at))
        });
        let holder = (new.place.user, new.place.client);
        if rotates && !self.renewable.contains(&holder) {
            self.renewable.push(holder);
        }
        self.tokens.push(new);
    }

    fn look(&self, place: &Place, policy: &CachePolicy, now: UnixTime) -> Outcome {
        let mut newest_first = self.tokens.iter().rev();
        let newest = newest_first.find(|token| {
            token.place.user == place.user
                && token.place.client == place.client
                && answers(token, place)
        });
        let newest = newest.filter(|token| {
            token.expires_on > now
                && match policy {
                    CachePolicy::UseCache => true,
                    CachePolicy::ForceRefresh => false,
                    CachePolicy::Renew(old) => old.expose_secret() != token.secret,
                }
        });
        let renewable = self.renewable.contains(&(place.user, place.client));
        match newest {
            Some(token) if token.expires_on >= now.plus(MARGIN) => {
                let secret = token.secret.clone();
                if renewable && token.refresh_on.is_some_and(|due| due <= now) {
                    Outcome::RefreshDue(secret)
                } else {
                    Outcome::Fresh(secret)
                }
            }
            Some(token) if renewable => Outcome::Expiring(token.secret.clone()),
            None if renewable => Outcome::Expired,
            _ => Outcome::Absent,
        }
    }
}

/// Whether `token` may be handed to somebody who asks as at `place`, spelled out.
fn answers(token: &Token, place: &Place) -> bool {
    let resource = |which: &[usize]| -> Vec<&str> {
        let mut names: Vec<_> = which
            .iter()
            .map(|&n| SCOPES[n])
            .filter(|s| *s != "openid")
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let wanted = resource(&place.scopes);
    token.place.realm == place.realm
        && token.place.token_type == place.token_type
        && (wanted == resource(&token.place.scopes)
            || (!wanted.is_empty() && wanted.iter().all(|scope| token.granted.contains(scope))))
}

fn outcome(lookup: Lookup) -> Outcome {
    let secret = |hit: super::lookup::Hit| hit.token.secret.expose_secret().to_owned();
    match lookup {
        Lookup::Fresh(hit) => Outcome::Fresh(secret(hit)),
        Lookup::RefreshDue(hit, _) => Outcome::RefreshDue(secret(hit)),
        Lookup::Expiring(hit, _) => Outcome::Expiring(secret(hit)),
        Lookup::Expired(_) => Outcome::Expired,
        Lookup::Absent => Outcome::Absent,
    }
}

/// The cache, the records a vault would hold, and the model, side by side.
#[derive(Default)]
struct Bench {
    cache: Cache,
    records: BTreeMap<RecordKey, Record>,
    model: Model,
    now: u64,
    issued: u32,
}

impl Bench {
    fn take(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            match edit.to_change(KeyProtection::Software) {
                Change::Put(record) => self.records.insert(record.key.clone(), record),
                Change::Delete(key) => self.records.remove(&key),
            };
        }
        self.cache.absorb(edits);
    }

    fn step(&mut self, step: Step) {
        let now = at(self.now);
        match step {
            Step::Wait { seconds } => self.now += seconds,
            Step::Sweep => {
                self.model.tokens.retain(|token| token.expires_on > now);
                let edits = self.cache.expired(now);
                self.take(edits);
            }
            Step::SignOut { user } => {
                self.model.tokens.retain(|token| token.place.user != user);
                self.model.renewable.retain(|(holder, _)| *holder != user);
                let edits = self.cache.signed_out(&account_key(USERS[user]));
                self.take(edits);
            }
            Step::Answer {
                place,
                granted,
                lifetime,
                refresh_in,
                rotates,
            } => {
                self.now += 1; // tokens are ordered by the second they were issued in
                self.issued += 1;
                let now = at(self.now);
                let token = Token {
                    secret: format!("at-{}", self.issued),
                    granted: scopes(&granted),
                    cached_at: now,
                    expires_on: at(self.now + lifetime),
                    refresh_on: refresh_in.map(|seconds| at(self.now + seconds)),
                    place,
                };
                let edits = self.edits_for(&token, rotates);
                self.take(edits);
                self.model.answer(token, rotates);
            }
        }
    }

    fn edits_for(&self, token: &Token, rotates: bool) -> Vec<Edit> {
        let (user, name) = (USERS[token.place.user], CLIENTS[token.place.client]);
        let grant = grant_key(user, name);
        let mut entity = access_token(grant.clone(), &token.secret, "");
        entity.target = token.place.target();
        entity.scopes = token.granted.clone();
        entity.cached_at = token.cached_at;
        entity.expires_on = token.expires_on;
        entity.refresh_on = token.refresh_on;
        let mut answer = answer(user, name);
        answer.access_token = Some(entity.into());
        answer.refresh_token = rotates.then(|| refresh_token(grant, "rt", "a").into());
        self.cache.answered(answer, token.cached_at)
    }

    fn reloaded(&self) -> Cache {
        let mut entities: Vec<Entity> = self
            .records
            .values()
            .map(|record| format::decode(record).unwrap())
            .collect();
        entities.sort_by_key(super::load_order);
        let mut cache = Cache::default();
        cache.absorb(entities.into_iter().map(Edit::Put).collect());
        cache
    }

    fn check(&self, place: &Place) -> Result<(), TestCaseError> {
        let account: AccountKey = account_key(USERS[place.user]);
        let reloaded = self.reloaded();
        let latest = self.model.tokens.last().map_or("", |token| &token.secret);
        for policy in [
            CachePolicy::UseCache,
            CachePolicy::ForceRefresh,
            CachePolicy::Renew(AccessToken::new(latest.to_owned())),
        ] {
            let query = Query {
                account: &account,
                client: &client(CLIENTS[place.client]),
                target: &place.target(),
                cache: &policy,
            };
            let expected = self.model.look(place, &policy, at(self.now));
            prop_assert_eq!(&outcome(self.cache.lookup(&query, at(self.now))), &expected);
            prop_assert_eq!(&outcome(reloaded.lookup(&query, at(self.now))), &expected);
        }
        Ok(())
    }
}

fn some_scopes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..SCOPES.len(), 0..4)
}

fn place() -> impl Strategy<Value = Place> {
    (
        0..2_usize,
        0..2_usize,
        0..2_usize,
        0..2_usize,
        some_scopes(),
    )
        .prop_map(|(user, client, realm, token_type, scopes)| Place {
            user,
            client,
            realm,
            token_type,
            scopes,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let answer = (
        place(),
        some_scopes(),
        1..4000_u64,
        proptest::option::of(0..2000_u64),
        any::<bool>(),
    );
    let answer = answer.prop_map(
        |(place, granted, lifetime, refresh_in, rotates)| Step::Answer {
            place,
            granted,
            lifetime,
            refresh_in,
            rotates,
        },
    );
    prop_oneof![
        6 => answer,
        1 => (0..2_usize).prop_map(|user| Step::SignOut { user }),
        3 => (0..2000_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #[test]
    fn the_cache_answers_as_the_model_does_also_after_a_restart(
        steps in proptest::collection::vec(step(), 1..24),
        places in proptest::collection::vec(place(), 8),
    ) {
        let mut bench = Bench::default();
        for step in steps {
            bench.step(step);
            for place in &places {
                bench.check(place)?;
            }
        }
    }
}
