//! What is wrong with the vault, and what mending it costs.

use serde::{Deserialize, Serialize};

use crate::binding::KeyProtection;
use crate::ports::RecordKind;

/// What a reading of the whole vault found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultReport {
    /// The database.
    pub path: String,
    /// What is wrong with the vault as a whole, in plain words.
    pub problems: Vec<String>,
    /// The records that can be read.
    pub readable: Vec<ReadableRecords>,
    /// The records that are damaged. What they were about is sealed with them.
    pub damaged: Vec<DamagedRecord>,
    /// How many records the database's index knows of that were not found.
    pub missing: u64,
    /// The records whose key is not here.
    pub sealed: Vec<SealedRecords>,
    /// How a vault that was put back in time is noticed, for each data key that is open.
    pub rollback: Vec<RollbackDetection>,
}

impl VaultReport {
    /// Whether everything in the vault can be read.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.damaged.is_empty() && self.sealed.is_empty()
    }

    /// How many records can be read.
    pub fn records(&self) -> u64 {
        self.readable.iter().map(|readable| readable.records).sum()
    }

    /// How many records can never be read again.
    pub fn lost(&self) -> u64 {
        let sealed = self.sealed.iter().filter(|sealed| sealed.lost);
        let sealed: u64 = sealed.map(|sealed| sealed.records).sum();
        sealed + self.damaged.len() as u64 + self.missing
    }
}

/// Records of one kind that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadableRecords {
    /// What they are.
    pub kind: RecordKind,
    /// Whose key seals them.
    pub key_protection: KeyProtection,
    /// How many there are.
    pub records: u64,
}

/// A record that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedRecord {
    /// Its row in the database.
    pub row: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// Records whose key is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRecords {
    /// Whose key seals them.
    pub key_protection: KeyProtection,
    /// How many there are.
    pub records: u64,
    /// Whether the key is gone for good.
    pub lost: bool,
    /// What is known of it.
    pub reason: String,
}

/// How rollback is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackDetection {
    /// Whose records.
    pub key_protection: KeyProtection,
    /// How.
    pub detection: Detection,
    /// The epoch they are in, where one is counted.
    pub epoch: Option<u64>,
}

/// What notices a vault that was put back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// A counter of the device, which nobody can set back.
    Device,
    /// A file, which whoever can replace the vault can replace as well.
    BestEffort,
    /// Nothing.
    None,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultRepair {
    /// What was found before.
    pub found: VaultReport,
    /// Whether the vault was replaced. Not if this was a rehearsal, and not if nothing was damaged.
    pub repaired: bool,
    /// How many records are, or would be, removed because nothing can read them any more.
    pub lost: u64,
    /// Where the vault is kept as it was.
    pub kept_aside: Option<String>,
}
