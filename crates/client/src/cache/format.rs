//! Records: versioned JSON.
//!
//! A field that is added later is optional and absent in older records. A change that older code
//! must not misread raises [`VERSION`]; newer records are refused, never overwritten by guesswork.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::secret::IdTokenText;

use super::entity::{Entity, Environment, IdTokenEntity};
use super::key::{AccountKey, GrantKey};
use crate::binding::KeyProtection;
use crate::ports::{Record, RecordKey, RecordKind};

mod secret_buffer;
mod wire;

use secret_buffer::SecretBuffer;
use wire::{AccessTokenJson, AccountJson, EnvironmentJson, IdTokenJson, RefreshTokenJson, Secret};

/// The version written.
const VERSION: u32 = 1;

/// Writes a record, to be sealed by this device key.
pub fn encode(entity: &Entity, protection: KeyProtection) -> Record {
    let value = match entity {
        Entity::Account(account) => json(&AccountJson::from(&**account)),
        Entity::RefreshToken(token) => json(&RefreshTokenJson::from(&**token)),
        Entity::AccessToken(token) => json(&AccessTokenJson::from(&**token)),
        Entity::IdToken(token) => json(&IdTokenJson {
            secret: Secret::of(token.secret.expose_secret()),
        }),
        Entity::Environment(environment) => json(&EnvironmentJson {
            host: environment.host.to_string(),
        }),
    };
    Record {
        key: entity.key(),
        value,
        protection,
    }
}

/// Reads a record.
///
/// # Errors
///
/// When it is of a newer version, or not what [`encode`] writes.
pub fn decode(record: &Record) -> Result<Entity, FormatError> {
    let Record { key, value, .. } = record;
    Ok(match key.kind {
        RecordKind::Account => {
            Entity::Account(Arc::new(read::<AccountJson>(value)?.into_entity(key)?))
        }
        RecordKind::RefreshToken => {
            Entity::RefreshToken(Arc::new(read::<RefreshTokenJson>(value)?.into_entity(key)?))
        }
        RecordKind::AccessToken => {
            Entity::AccessToken(Arc::new(read::<AccessTokenJson>(value)?.into_entity(key)?))
        }
        RecordKind::IdToken => Entity::IdToken(Arc::new(IdTokenEntity {
            grant: grant(key)?,
            realm: key.detail.clone(),
            secret: IdTokenText::new(read::<IdTokenJson>(value)?.secret.take()),
        })),
        RecordKind::Environment => Entity::Environment(Environment {
            client: client(key)?,
            provider: Arc::from(key.detail.as_str()),
            host: Arc::from(read::<EnvironmentJson>(value)?.host),
        }),
    })
}

/// Why a record cannot be read. Never holds its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Written by a newer version of this program.
    #[error("it was written by a newer version")]
    Newer,
    /// Not what this program writes.
    #[error("it is malformed")]
    Malformed,
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    v: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

fn json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut buffer = SecretBuffer::default();
    let versioned = Versioned { v: VERSION, value };
    // INVARIANT: the types below have string keys only and a buffer in memory takes every byte.
    #[allow(clippy::expect_used)]
    serde_json::to_writer(&mut buffer, &versioned).expect("plain structs serialise");
    buffer.into_inner()
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, FormatError> {
    let version: Version = serde_json::from_slice(value).map_err(|_| FormatError::Malformed)?;
    if version.v > VERSION {
        return Err(FormatError::Newer);
    }
    serde_json::from_slice(value).map_err(|_| FormatError::Malformed)
}

fn grant(key: &RecordKey) -> Result<GrantKey, FormatError> {
    Ok(GrantKey {
        account: AccountKey::parse(&key.account).ok_or(FormatError::Malformed)?,
        client: client(key)?,
    })
}

fn client(key: &RecordKey) -> Result<ClientId, FormatError> {
    ClientId::parse(&key.client).map_err(|_| FormatError::Malformed)
}

#[cfg(test)]
mod tests;
