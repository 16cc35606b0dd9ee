//! The vault: sealed records that survive a crash and a power cut.
//!
//! A SQLite database in a folder only its user may enter. Every record is sealed with AES-256-GCM
//! under a data key of this vault, which in turn is wrapped by a key of this device
//! ([`KeyWrap`]), so a copied database is useless elsewhere. One process holds a vault at a time.
//!
//! # Format
//!
//! `PRAGMA application_id` says that the database is a vault, `PRAGMA user_version` in which format
//! it is. Format 2 has three tables (`schema.rs`):
//!
//! - `meta`: the vault's random id.
//! - `data_key`: one key for each protection that seals records, made when the first such record is
//!   written: its number, its protection, the key wrapped by its device, its epoch sealed by the
//!   key itself, and whether another took its place because it was lost. What is wrapped begins
//!   with 2; the data key and the name key follow, wrapped for `keyward vault data key 2 `, the
//!   vault's id, the number (8 octets) and the protection. All data keys share the name key.
//! - `record`: the keyed hash of a record's key, the sealed record and the number of its data key
//!   (`seal.rs`).
//!
//! A device that is away makes the records of its data key unreadable, and no others. One that is
//! *lost* never comes back: the next record with its protection brings a new data key, and the old
//! one retires. Retired and lost records stay in the file until a repair removes them.
//!
//! # Migration
//!
//! One program reads every format up to its own. An older vault is migrated when it is opened, in a
//! single transaction whose last statement sets `user_version`, so a crash leaves the old format or
//! the new one. Migrating needs no key: sealed records and wrapped keys are taken over as they are,
//! and how they were made is told by their first octet. A newer or foreign format is refused, and
//! nothing is written.
//!
//! Format 1 had one data key, in `meta`, wrapped by the software provider for `keyward vault data
//! key 1 ` and the vault's id; the name key was derived from it. It becomes data key 1 with 1 in
//! front, and is wrapped anew when its first epoch is recorded. Format 1 knew no epochs: that a
//! copy of it was put back is not noticed.
//!
//! # Rollback
//!
//! See `epoch.rs`. A vault of an earlier epoch is refused as a whole. Rollback within an epoch is
//! not noticed, nor is a vault that nothing counts for ([`Rollback`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod check;
mod data_key;
mod database;
mod epoch;
mod error;
mod file_counter;
mod file_system;
#[cfg(fuzzing)]
pub mod fuzzing;
mod image;
mod lock;
mod machine;
mod place;
mod provider;
mod repair;
mod scan;
mod schema;
mod seal;
mod vault;
mod worker;

pub use file_counter::FileCounter;
pub use machine::StateFolder;
pub use provider::{CounterError, EpochCounter, KeyProvider, KeyWrap, Rollback, WrapError};
pub use vault::Vault;
