//! The JSON of each kind of record. Whose it is says the record's key.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::{AccessToken, RefreshToken};
use keyward_oauth::time::UnixTime;

use super::{FormatError, grant};
use crate::authority::AuthorityKind;
use crate::binding::{Binding, KeyProtection};
use crate::cache::entity::{AccessTokenEntity, Account, Profile, RefreshTokenEntity};
use crate::cache::key::{AccountKey, Target, Wanted};
use crate::ports::{KeyRef, RecordKey};
use crate::result::TokenType;

#[derive(Serialize, Deserialize)]
pub(super) struct IdTokenJson {
    pub(super) secret: Secret,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EnvironmentJson {
    pub(super) host: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccountJson {
    kind: KindJson,
    profiles: Vec<ProfileJson>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindJson {
    Entra,
    OpenId,
}

#[derive(Serialize, Deserialize)]
struct ProfileJson {
    tenant_id: String,
    local_account_id: String,
    username: String,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    issuer: String,
}

impl From<&Account> for AccountJson {
    fn from(account: &Account) -> Self {
        let profiles = account.profiles.iter().map(|profile| ProfileJson {
            tenant_id: profile.tenant_id.clone(),
            local_account_id: profile.local_account_id.clone(),
            username: profile.username.clone(),
            name: profile.name.clone(),
            given_name: profile.given_name.clone(),
            family_name: profile.family_name.clone(),
            issuer: profile.issuer.clone(),
        });
        Self {
            kind: match account.kind {
                AuthorityKind::Entra => KindJson::Entra,
                AuthorityKind::OpenId => KindJson::OpenId,
            },
            profiles: profiles.collect(),
        }
    }
}

impl AccountJson {
    pub(super) fn into_entity(self, key: &RecordKey) -> Result<Account, FormatError> {
        if self.profiles.is_empty() {
            return Err(FormatError::Malformed);
        }
        let profiles = self.profiles.into_iter().map(|profile| Profile {
            tenant_id: profile.tenant_id,
            local_account_id: profile.local_account_id,
            username: profile.username,
            name: profile.name,
            given_name: profile.given_name,
            family_name: profile.family_name,
            issuer: profile.issuer,
        });
        Ok(Account {
            key: AccountKey::parse(&key.account).ok_or(FormatError::Malformed)?,
            kind: match self.kind {
                KindJson::Entra => AuthorityKind::Entra,
                KindJson::OpenId => AuthorityKind::OpenId,
            },
            profiles: profiles.collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefreshTokenJson {
    secret: Secret,
    scopes: Scopes,
    binding: Binding,
    key: Option<KeyRef>,
    key_protection: KeyProtection,
    issued_at: UnixTime,
}

impl From<&RefreshTokenEntity> for RefreshTokenJson {
    fn from(token: &RefreshTokenEntity) -> Self {
        Self {
            secret: Secret::of(token.secret.expose_secret()),
            scopes: token.scopes.clone(),
            binding: token.binding,
            key: token.key.clone(),
            key_protection: token.key_protection,
            issued_at: token.issued_at,
        }
    }
}

impl RefreshTokenJson {
    pub(super) fn into_entity(self, key: &RecordKey) -> Result<RefreshTokenEntity, FormatError> {
        Ok(RefreshTokenEntity {
            grant: grant(key)?,
            slot: key.detail.clone(),
            secret: RefreshToken::new(self.secret.take()),
            scopes: self.scopes,
            binding: self.binding,
            key: self.key,
            key_protection: self.key_protection,
            issued_at: self.issued_at,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccessTokenJson {
    secret: Secret,
    realm: String,
    token_type: String,
    extension: String,
    requested: String,
    scopes: Scopes,
    key: Option<KeyRef>,
    binding: Binding,
    key_protection: KeyProtection,
    cached_at: UnixTime,
    expires_on: UnixTime,
    ext_expires_on: Option<UnixTime>,
    refresh_on: Option<UnixTime>,
}

impl From<&AccessTokenEntity> for AccessTokenJson {
    fn from(token: &AccessTokenEntity) -> Self {
        Self {
            secret: Secret::of(token.secret.expose_secret()),
            realm: token.target.realm.clone(),
            token_type: token.target.token_type.as_str().to_owned(),
            extension: token.target.extension.clone(),
            requested: token.target.scopes.canonical().to_owned(),
            scopes: token.scopes.clone(),
            key: token.key.clone(),
            binding: token.binding,
            key_protection: token.key_protection,
            cached_at: token.cached_at,
            expires_on: token.expires_on,
            ext_expires_on: token.ext_expires_on,
            refresh_on: token.refresh_on,
        }
    }
}

impl AccessTokenJson {
    pub(super) fn into_entity(self, key: &RecordKey) -> Result<AccessTokenEntity, FormatError> {
        Ok(AccessTokenEntity {
            grant: grant(key)?,
            target: Target {
                realm: self.realm,
                token_type: TokenType::parse(&self.token_type).ok_or(FormatError::Malformed)?,
                extension: self.extension,
                scopes: Wanted::new(&Scopes::parse(&self.requested)),
            },
            secret: AccessToken::new(self.secret.take()),
            scopes: self.scopes,
            key: self.key,
            binding: self.binding,
            key_protection: self.key_protection,
            cached_at: self.cached_at,
            expires_on: self.expires_on,
            ext_expires_on: self.ext_expires_on,
            refresh_on: self.refresh_on,
        })
    }
}

/// A secret on its way into or out of JSON.
pub(super) struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Secret {
    pub(super) fn of(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    pub(super) fn take(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}
