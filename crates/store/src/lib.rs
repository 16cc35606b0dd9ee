//! The vault: sealed records that survive a crash and a power cut.
//!
//! A SQLite database in a folder only its user may enter. Every record is sealed with AES-256-GCM
//! under a data key of this vault, which in turn is wrapped by a key of this device
//! ([`KeyWrap`]), so a copied database is useless elsewhere. One process holds a vault at a time.
//!
//! # Format
//!
//! `PRAGMA application_id` says that it is a vault, `PRAGMA user_version` in which format. One
//! program reads every format up to its own and migrates older ones in a single transaction whose
//! last statement sets `user_version`; a newer format is refused and nothing is written.
//!
//! Format 1: `meta` holds the vault's random id and the wrapped data key; `record` maps the keyed
//! hash of a record's key to the sealed record (`seal.rs`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod database;
mod error;
mod file_system;
mod place;
mod seal;
mod vault;
mod worker;

pub use vault::Vault;

use zeroize::Zeroizing;

/// A key of this device that wraps the vault's data key.
pub trait KeyWrap: Send {
    /// Seals `key` so that only this device can open it, and only for the same `context`.
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError>;

    /// Opens what [`wrap`](Self::wrap) sealed.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError>;
}

/// Why a data key cannot be wrapped or unwrapped, and what to do. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrapError(pub String);
