//! The vault, as the engine sees it: a few sealed records, read once and changed atomically.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::KeyProtection;

/// Where records are kept. The engine reads everything once, serves from memory, and writes every
/// change before anybody sees its effect.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Hands over every record, one after the other, in no order that means anything. What cannot
    /// be read is an error among them, so the others are served. `each` must not come back here.
    ///
    /// # Errors
    ///
    /// When nothing can be read at all.
    async fn load(
        &self,
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<(), StoreError>;

    /// Applies all changes or none; on return they survive a crash and a power cut.
    ///
    /// # Errors
    ///
    /// When they do not; then nothing changed.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Removes every record, also those that cannot be read now; on return that survives a crash
    /// and a power cut.
    ///
    /// # Errors
    ///
    /// When they are not removed; then nothing changed.
    async fn remove_all(&self) -> Result<(), StoreError>;

    /// Ends the epoch: from now on, a copy of these records made earlier is refused, where the
    /// device can tell. For what must not come back: a sign-out, keys that were replaced.
    ///
    /// # Errors
    ///
    /// When earlier copies may still pass. No record is touched either way.
    async fn end_epoch(&self) -> Result<(), StoreError>;

    /// Finds out whether the device with this protection could still open what it sealed. If not,
    /// ever, then nothing more is sealed so that only it could. Whether it could not.
    ///
    /// # Errors
    ///
    /// When that could not be found out.
    async fn give_up_lost(&self, protection: KeyProtection) -> Result<bool, StoreError> {
        let _ = protection;
        Ok(false)
    }
}

/// What a record is about. All of it is bound to the sealed value as associated data, so that no
/// record can be put in another's place. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKey {
    /// What is kept.
    pub kind: RecordKind,
    /// `HOME_ACCOUNT_ID@PROVIDER`; empty if it is about no account.
    pub account: String,
    /// The client id; empty if it is about no client.
    pub client: String,
    /// Tells records of one kind, account and client apart.
    pub detail: String,
}

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Who is signed in at which authority.
    Account,
    /// A refresh token, its key and what binds it.
    RefreshToken,
    /// An access token.
    AccessToken,
    /// The ID token of one client in one tenant.
    IdToken,
    /// How a client names an authority.
    Environment,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Account,
        Self::RefreshToken,
        Self::AccessToken,
        Self::IdToken,
        Self::Environment,
    ];

    /// The spelling in the vault.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::RefreshToken => "refresh_token",
            Self::AccessToken => "access_token",
            Self::IdToken => "id_token",
            Self::Environment => "environment",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One record. The value is versioned JSON in clear and holds secrets; sealing is the store's.
#[derive(Clone)]
pub struct Record {
    /// What it is about.
    pub key: RecordKey,
    /// The engine's JSON.
    pub value: Zeroizing<Vec<u8>>,
    /// Which device key seals it. A record that replaces another may be sealed by another key.
    pub protection: KeyProtection,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One change of the vault.
#[derive(Clone, Debug)]
pub enum Change {
    /// Writes a record, in place of the one with the same key.
    Put(Record),
    /// Removes a record; none with that key is no error.
    Delete(RecordKey),
}

/// Why the vault, or one record of it, cannot be used. Texts hold no secret.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing went wrong.
    #[error("the vault cannot be used: {0}")]
    Io(String),
    /// No space is left.
    #[error("the vault cannot be written: the disk is full")]
    Full,
    /// It may not be written here.
    #[error("the vault cannot be written: the file system is read-only")]
    ReadOnly,
    /// Another process holds it.
    #[error("the vault is in use: {0}")]
    InUse(String),
    /// One record is damaged, or sealed by a key that is not here.
    #[error("the record {record} cannot be read: {reason}")]
    Unreadable {
        /// Kind and place of the record.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The device key that seals these records is gone for good: the TPM was cleared or replaced,
    /// or this is another device. They stay where they are and are never served again.
    #[error(
        "{records} records cannot be read, now or later: the {protection} key that seals them is \
         lost ({reason}); sign in again"
    )]
    KeyLost {
        /// Whose key.
        protection: KeyProtection,
        /// How many records.
        records: u64,
        /// What is known of the loss.
        reason: String,
    },
    /// The device key that seals these records cannot be used now. They are served again when it
    /// can.
    #[error(
        "{records} records cannot be read for now: the {protection} key that seals them cannot be \
         used ({reason})"
    )]
    KeyUnavailable {
        /// Whose key.
        protection: KeyProtection,
        /// How many records.
        records: u64,
        /// What keeps it from being used.
        reason: String,
    },
    /// It is older than the newest this device has seen: restored from a backup, or put back by
    /// somebody who wants what was given up to be valid again.
    #[error("the vault was rolled back: {0}")]
    RolledBack(String),
    /// The whole vault is damaged, of a foreign or newer format, or not to be trusted.
    #[error("the vault cannot be read: {0}")]
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_its_own_spelling() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(RecordKind::parse("Account"), None);
    }

    #[test]
    fn debug_of_a_record_shows_no_value() {
        let record = Record {
            key: RecordKey {
                kind: RecordKind::RefreshToken,
                account: "a.b@issuer".to_owned(),
                client: "c".to_owned(),
                detail: String::new(),
            },
            value: Zeroizing::new(b"s3cret".to_vec()),
            protection: KeyProtection::Software,
        };
        let shown = format!("{:?}", Change::Put(record));
        assert!(
            shown.contains("RefreshToken") && !shown.contains("115"),
            "{shown}"
        );
    }
}
