//! The token cache: everything kept, in memory, indexed for a silent call.
//!
//! The cache never changes by itself. [`update`] turns what happened into a list of [`Edit`]s;
//! the engine writes them to the vault, and only then the cache [absorbs](Cache::absorb) them. So
//! memory never shows what a crash could take back.

use std::collections::HashMap;
use std::sync::Arc;

use keyward_oauth::identifiers::ClientId;

use crate::authority::{AuthorityKind, derived_tenant};
use crate::binding::KeyProtection;
use crate::ports::{Change, KeyRef, RecordKey, RecordKind};

pub mod entity;
pub mod format;
pub mod grant;
pub mod key;
pub mod lookup;
pub mod update;

use entity::{Account, Entity, Environment, IdTokenEntity, RefreshTokenEntity};
use grant::Grant;
use key::{AccountKey, GrantKey};

/// One change of the cache and of the vault.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Keeps this, in place of what has the same key.
    Put(Entity),
    /// Forgets what has this key.
    Delete(RecordKey),
}

impl Edit {
    /// Whether this keeps a refresh token.
    pub fn is_refresh_token(&self) -> bool {
        matches!(self, Self::Put(Entity::RefreshToken(_)))
    }

    /// What protects the key of the token this keeps.
    pub fn protection(&self) -> Option<KeyProtection> {
        match self {
            Self::Put(Entity::RefreshToken(token)) => Some(token.key_protection),
            Self::Put(Entity::AccessToken(token)) => Some(token.key_protection),
            Self::Put(_) | Self::Delete(_) => None,
        }
    }

    /// The same change for the vault. Tokens are sealed by the device that holds their key, so that
    /// one that is away takes no others with it; everything else by this one.
    pub fn to_change(&self, other: KeyProtection) -> Change {
        match self {
            Self::Put(entity) => {
                let protection = self.protection().unwrap_or(other);
                Change::Put(format::encode(entity, protection))
            }
            Self::Delete(key) => Change::Delete(key.clone()),
        }
    }
}

/// Everything kept.
#[derive(Debug, Default)]
pub struct Cache {
    accounts: HashMap<AccountKey, Entry>,
    environments: HashMap<ClientId, Vec<Environment>>,
    /// Issuers in use, by the tenant GUID derived from them.
    issuers: HashMap<String, Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    grants: HashMap<ClientId, Grant>,
}

impl Cache {
    /// Applies edits, in order. Returns the keys nothing refers to any more.
    pub fn absorb(&mut self, edits: Vec<Edit>) -> Vec<KeyRef> {
        let mut released = Vec::new();
        for edit in edits {
            match edit {
                Edit::Put(entity) => released.extend(self.put(entity)),
                Edit::Delete(key) => released.extend(self.delete(&key)),
            }
        }
        released.sort_unstable();
        released.dedup();
        released.retain(|key| !self.refers_to(key));
        released
    }

    fn put(&mut self, entity: Entity) -> Option<KeyRef> {
        match entity {
            Entity::Account(account) => {
                self.put_account(account);
                None
            }
            Entity::RefreshToken(token) => self.grant_mut(&token.grant)?.put_refresh_token(token),
            Entity::AccessToken(token) => self.grant_mut(&token.grant)?.put_access_token(token),
            Entity::IdToken(token) => {
                let tokens = &mut self.grant_mut(&token.grant)?.id_tokens;
                tokens.retain(|old| old.realm != token.realm);
                tokens.push(token);
                None
            }
            Entity::Environment(environment) => {
                let client = environment.client.clone();
                let known = self.environments.entry(client).or_default();
                known.retain(|old| old.provider != environment.provider);
                known.push(environment);
                None
            }
        }
    }

    fn put_account(&mut self, account: Arc<Account>) {
        if account.kind == AuthorityKind::OpenId {
            let issuer = &account.key.provider;
            let guid = derived_tenant(issuer).to_string();
            self.issuers.insert(guid, Arc::clone(issuer));
        }
        if let Some(entry) = self.accounts.get_mut(&account.key) {
            entry.account = account;
        } else {
            let key = account.key.clone();
            let grants = HashMap::new();
            self.accounts.insert(key, Entry { account, grants });
        }
    }

    /// The grant to put something in. `None`: its account is not here, so nothing of it may be.
    fn grant_mut(&mut self, key: &GrantKey) -> Option<&mut Grant> {
        let entry = self.accounts.get_mut(&key.account)?;
        Some(entry.grants.entry(key.client.clone()).or_default())
    }

    fn delete(&mut self, key: &RecordKey) -> Vec<KeyRef> {
        if key.kind == RecordKind::Environment {
            if let Ok(client) = ClientId::parse(&key.client)
                && let Some(known) = self.environments.get_mut(&client)
            {
                known.retain(|old| *old.provider != *key.detail);
            }
            return Vec::new();
        }
        let Some(account) = AccountKey::parse(&key.account) else {
            return Vec::new();
        };
        if key.kind == RecordKind::Account {
            let entry = self.accounts.remove(&account);
            return entry.map(|entry| entry.keys()).unwrap_or_default();
        }
        let grant = ClientId::parse(&key.client)
            .ok()
            .and_then(|client| self.accounts.get_mut(&account)?.grants.get_mut(&client));
        grant.map(|grant| grant.delete(key)).unwrap_or_default()
    }

    fn refers_to(&self, key: &KeyRef) -> bool {
        let grants = self
            .accounts
            .values()
            .flat_map(|entry| entry.grants.values());
        grants.flat_map(Grant::keys).any(|used| used == key)
    }

    /// Everything of accounts with tokens of this protection, and with none.
    pub fn protected_by(&self, protection: KeyProtection) -> Vec<Entity> {
        let mut entities = Vec::new();
        for Entry { account, grants } in self.accounts.values() {
            let protected: Vec<_> = grants
                .values()
                .filter(|grant| grant.is_protected_by(protection))
                .collect();
            if protected.is_empty() && !grants.values().all(Grant::is_spent) {
                continue;
            }
            entities.push(Entity::Account(Arc::clone(account)));
            entities.extend(protected.into_iter().flat_map(Grant::entities));
        }
        entities
    }

    /// Whether there is something with this key.
    pub fn holds(&self, key: &RecordKey) -> bool {
        if key.kind == RecordKind::Environment {
            let known = ClientId::parse(&key.client)
                .ok()
                .and_then(|client| self.environments.get(&client));
            return known.is_some_and(|known| known.iter().any(|e| *e.provider == *key.detail));
        }
        let Some(account) = AccountKey::parse(&key.account) else {
            return false;
        };
        let Some(entry) = self.accounts.get(&account) else {
            return false;
        };
        let grant = ClientId::parse(&key.client)
            .ok()
            .and_then(|client| entry.grants.get(&client));
        key.kind == RecordKind::Account || grant.is_some_and(|grant| grant.holds(key))
    }

    /// An account.
    pub fn account(&self, key: &AccountKey) -> Option<&Arc<Account>> {
        self.accounts.get(key).map(|entry| &entry.account)
    }

    /// Every account.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values().map(|entry| &entry.account)
    }

    /// What a client holds of an account.
    pub fn grant(&self, account: &AccountKey, client: &ClientId) -> Option<&Grant> {
        self.accounts.get(account)?.grants.get(client)
    }

    /// What anybody holds of an account.
    pub fn grants(&self, account: &AccountKey) -> impl Iterator<Item = (&ClientId, &Grant)> {
        self.accounts
            .get(account)
            .into_iter()
            .flat_map(|entry| &entry.grants)
    }

    /// Everything a client holds.
    pub fn grants_of<'a>(&'a self, client: &'a ClientId) -> impl Iterator<Item = &'a Grant> {
        self.accounts
            .values()
            .filter_map(move |entry| entry.grants.get(client))
    }

    /// Whether this refresh token is still the one kept in its place.
    pub fn is_current(&self, token: &Arc<RefreshTokenEntity>) -> bool {
        let grant = self.grant(&token.grant.account, &token.grant.client);
        let mut kept = grant.into_iter().flat_map(|grant| &grant.refresh_tokens);
        kept.any(|kept| Arc::ptr_eq(kept, token))
    }

    /// Everything but refresh and access tokens, whose keys say where they belong.
    pub fn beside_tokens(&self) -> impl Iterator<Item = Entity> {
        let accounts = self.accounts().cloned().map(Entity::Account);
        let grants = self
            .accounts
            .values()
            .flat_map(|entry| entry.grants.values());
        let id_tokens = grants.flat_map(|grant| grant.id_tokens.iter().cloned());
        let environments = self.environments.values().flatten().cloned();
        accounts
            .chain(id_tokens.map(Entity::IdToken))
            .chain(environments.map(Entity::Environment))
    }

    /// The ID token of a grant in a tenant.
    pub fn id_token(&self, grant: &GrantKey, realm: &str) -> Option<Arc<IdTokenEntity>> {
        self.grant(&grant.account, &grant.client)?
            .id_token(realm)
            .cloned()
    }

    /// How many issuers were used here. Never falls.
    pub fn issuers(&self) -> usize {
        self.issuers.len()
    }

    /// The issuer a tenant GUID was derived from, if it was used here.
    pub fn issuer_of(&self, derived_tenant: &str) -> Option<Arc<str>> {
        self.issuers.get(derived_tenant).cloned()
    }

    /// The host by which a client named a provider last.
    pub fn environment(&self, client: &ClientId, provider: &str) -> Option<&Arc<str>> {
        let known = self.environments.get(client)?;
        known
            .iter()
            .find(|e| &*e.provider == provider)
            .map(|e| &e.host)
    }
}

impl Entry {
    fn keys(&self) -> Vec<KeyRef> {
        self.grants
            .values()
            .flat_map(Grant::keys)
            .cloned()
            .collect()
    }
}

/// Orders what was loaded so that it can be absorbed: accounts first, then by age.
pub fn load_order(entity: &Entity) -> (bool, u64) {
    match entity {
        Entity::Account(_) => (false, 0),
        Entity::AccessToken(token) => (true, token.cached_at.as_secs()),
        Entity::RefreshToken(token) => (true, token.issued_at.as_secs()),
        Entity::IdToken(_) | Entity::Environment(_) => (true, 0),
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
