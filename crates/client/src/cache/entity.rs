//! What is kept: accounts, refresh tokens, access tokens, ID tokens.

use std::sync::Arc;

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::{AccessToken, IdTokenText, RefreshToken};
use keyward_oauth::time::UnixTime;

use crate::account::AccountInfo;
use crate::authority::AuthorityKind;
use crate::binding::{Binding, KeyProtection};
use crate::cache::key::{AccountKey, GrantKey, Target};
use crate::ports::{KeyRef, RecordKey, RecordKind};

/// Anything that is kept.
#[derive(Clone, Debug)]
pub enum Entity {
    /// Who is signed in.
    Account(Arc<Account>),
    /// What renews.
    RefreshToken(Arc<RefreshTokenEntity>),
    /// What is handed out.
    AccessToken(Arc<AccessTokenEntity>),
    /// Who it was issued to.
    IdToken(Arc<IdTokenEntity>),
    /// How a client names a provider.
    Environment(Environment),
}

impl Entity {
    /// Where it is kept.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Account(account) => account.key.record(),
            Self::RefreshToken(token) => token.grant.record(RecordKind::RefreshToken, &token.slot),
            Self::AccessToken(token) => token
                .grant
                .record(RecordKind::AccessToken, &token.target.slot()),
            Self::IdToken(token) => token.grant.record(RecordKind::IdToken, &token.realm),
            Self::Environment(environment) => RecordKey {
                kind: RecordKind::Environment,
                account: String::new(),
                client: environment.client.as_str().to_owned(),
                detail: environment.provider.to_string(),
            },
        }
    }
}

/// Who is signed in: one person, with one profile per tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub key: AccountKey,
    /// The dialect of its authority.
    pub kind: AuthorityKind,
    /// One profile per tenant, never empty, the newest last.
    pub profiles: Vec<Profile>,
}

/// An account as one tenant knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The tenant.
    pub tenant_id: String,
    /// The user's identifier in the tenant.
    pub local_account_id: String,
    /// What the user types to sign in.
    pub username: String,
    /// The full name.
    pub name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// The issuer that said so, exactly.
    pub issuer: String,
}

impl Account {
    /// The profile in a tenant.
    pub fn profile(&self, realm: &str) -> Option<&Profile> {
        let mut profiles = self.profiles.iter();
        profiles.find(|p| p.tenant_id.eq_ignore_ascii_case(realm))
    }

    /// The profile in the home tenant, or else the newest.
    pub fn home_profile(&self) -> Option<&Profile> {
        self.profile(self.key.home.utid())
            .or_else(|| self.profiles.last())
    }

    /// This account with `profile` added, or put in place of the one of the same tenant.
    #[must_use]
    pub fn with_profile(&self, profile: Profile) -> Self {
        let mut account = self.clone();
        let same = |p: &&mut Profile| p.tenant_id == profile.tenant_id;
        match account.profiles.iter_mut().find(same) {
            Some(known) => *known = profile,
            None => account.profiles.push(profile),
        }
        account
    }

    /// Whether the user types this to sign in, compared without case.
    pub fn is_called(&self, username: &str) -> bool {
        let lower = username.to_lowercase();
        self.profiles
            .iter()
            .any(|p| p.username.to_lowercase() == lower)
    }

    /// What applications see of a profile.
    pub fn info(&self, profile: &Profile, environment: &str) -> AccountInfo {
        AccountInfo {
            home_account_id: self.key.home.clone(),
            environment: environment.to_owned(),
            tenant_id: profile.tenant_id.clone(),
            local_account_id: profile.local_account_id.clone(),
            username: profile.username.clone(),
            name: profile.name.clone(),
            given_name: profile.given_name.clone(),
            family_name: profile.family_name.clone(),
        }
    }
}

/// A refresh token and what binds it. It never leaves the engine but to its authority.
#[derive(Debug)]
pub struct RefreshTokenEntity {
    /// Whose it is.
    pub grant: GrantKey,
    /// Tells the refresh tokens of a grant apart: one for all scopes at Entra, one per sign-in's
    /// scopes elsewhere, because there a refresh token never gives more than its own (RFC 6749 §6).
    pub slot: String,
    /// The token.
    pub secret: RefreshToken,
    /// The scopes granted with it.
    pub scopes: Scopes,
    /// What is known to bind it.
    pub binding: Binding,
    /// The key of this grant: proofs at the authority, signed requests at resources.
    pub key: Option<KeyRef>,
    /// Where that key lives, or where the vault's own key does if there is none.
    pub key_protection: KeyProtection,
    /// When it was issued.
    pub issued_at: UnixTime,
}

impl RefreshTokenEntity {
    /// The token that takes this one's place, alike in everything else.
    pub fn successor(&self, secret: RefreshToken) -> Self {
        Self {
            grant: self.grant.clone(),
            slot: self.slot.clone(),
            secret,
            scopes: self.scopes.clone(),
            binding: self.binding,
            key: self.key.clone(),
            key_protection: self.key_protection,
            issued_at: self.issued_at,
        }
    }

    /// The same token once more, to be kept with something changed about it.
    pub fn again(&self) -> Self {
        self.successor(RefreshToken::new(self.secret.expose_secret().to_owned()))
    }
}

/// An access token.
#[derive(Debug)]
pub struct AccessTokenEntity {
    /// Whose it is.
    pub grant: GrantKey,
    /// What it was asked for with.
    pub target: Target,
    /// The token.
    pub secret: AccessToken,
    /// The scopes granted.
    pub scopes: Scopes,
    /// The key it is bound to.
    pub key: Option<KeyRef>,
    /// What bound the refresh token it came with.
    pub binding: Binding,
    /// Where that key lives.
    pub key_protection: KeyProtection,
    /// When it was issued.
    pub cached_at: UnixTime,
    /// When it ends.
    pub expires_on: UnixTime,
    /// Until when it may be used in an outage.
    pub ext_expires_on: Option<UnixTime>,
    /// When to renew it ahead of time.
    pub refresh_on: Option<UnixTime>,
}

impl AccessTokenEntity {
    /// The same token, in the keeping of another device key.
    #[must_use]
    pub fn sealed_by(&self, key_protection: KeyProtection) -> Self {
        Self {
            grant: self.grant.clone(),
            target: self.target.clone(),
            secret: self.secret.clone(),
            scopes: self.scopes.clone(),
            key: self.key.clone(),
            key_protection,
            ..*self
        }
    }
}

/// The latest ID token of a grant in one tenant.
#[derive(Debug)]
pub struct IdTokenEntity {
    /// Whose it is.
    pub grant: GrantKey,
    /// The tenant.
    pub realm: String,
    /// The token, as issued.
    pub secret: IdTokenText,
}

/// How a client named a provider last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The client.
    pub client: ClientId,
    /// The provider.
    pub provider: Arc<str>,
    /// The host it named.
    pub host: Arc<str>,
}
