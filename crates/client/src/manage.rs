//! What a person at this device asks of the broker itself, beside tokens: to see and to change what
//! it holds. Sent as JSON; each side ignores fields it does not know.

use serde::{Deserialize, Serialize};

use crate::audit::{AuditPage, AuditQuery};
use crate::binding::{Binding, KeyProtection};

mod apps;
mod rebind;
mod vault;

pub use apps::{AppReport, AppVerdict, AppsReport};

pub use crate::interactive::{PromptKind, PromptStatus};
pub use rebind::{Forgotten, RebindPlan, RebindStep};
pub use vault::{
    DamagedRecord, Detection, ReadableRecords, RollbackDetection, SealedRecords, VaultRepair,
    VaultReport,
};

/// One request about the broker itself.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum ManageRequest {
    /// Which device holds the keys, and which accounts are bound to which of them.
    Device,
    /// Makes new keys somewhere else from now on, or anew where they are, and says what has to
    /// move.
    RebindBegin {
        /// Where. `None`: in a TPM if one can be reached, as far as the configuration leaves it
        /// open.
        to: Option<KeyProtection>,
        /// User name or home account id of the one account that moves. `None`: every one.
        account: Option<String>,
    },
    /// Moves one refresh token, with a sign-in where one is needed.
    RebindAccount(Box<BoundAccount>),
    /// Signs everybody out and destroys every key.
    Forget,
    /// The records of outcomes.
    Audit(AuditQuery),
    /// What is wrong with the vault.
    VaultCheck,
    /// Puts a clean vault in the place of a damaged one.
    VaultRepair {
        /// Only says what would be lost.
        dry_run: bool,
    },
    /// Which programs have asked for tokens, and what was answered about them.
    Apps,
    /// Takes back what was answered.
    RevokeApp {
        /// A name, path, sandbox or client id. `None`: all of them.
        name: Option<String>,
    },
}

/// The answer to a [`ManageRequest`] of the same name.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ManageAnswer {
    /// Which device holds the keys.
    Device(DeviceReport),
    /// What has to move.
    RebindBegin(RebindPlan),
    /// It has moved.
    RebindAccount,
    /// Everything is gone.
    Forget(Forgotten),
    /// The records of outcomes that fit.
    Audit(AuditPage),
    /// What is wrong with the vault.
    VaultCheck(VaultReport),
    /// What a repair did, or would do.
    VaultRepair(VaultRepair),
    /// Which programs have asked.
    Apps(AppsReport),
    /// How many answers were taken back.
    RevokeApp {
        /// How many.
        revoked: usize,
    },
}

/// Where keys live, and what is bound to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Where new keys are made.
    pub key_protection: KeyProtection,
    /// What holds them. `None`: it cannot be asked now; `problems` says why.
    #[serde(default)]
    pub device: Option<DeviceDescription>,
    /// Why keys are made there. `None`: nothing was decided.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// The names of all keys there are, whoever holds them.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Every account and the keys its refresh tokens are bound to.
    pub accounts: Vec<BoundAccount>,
    /// What is wrong with it, in plain words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// What holds keys, in its own words. All of it is unknown for files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDescription {
    /// Who made it.
    pub maker: Option<String>,
    /// Its model, as its maker calls it.
    pub model: Option<String>,
    /// The version of its firmware.
    pub firmware: Option<String>,
    /// Whether it is a program that behaves like a device, and protects nothing from this computer.
    pub simulator: bool,
}

/// Where new keys are made, decided once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Where.
    pub choice: KeyProtection,
    /// Why, in plain words.
    pub reason: String,
    /// When (RFC 3339).
    pub decided_at: String,
    /// Who made the TPM that was chosen.
    #[serde(default)]
    pub maker: Option<String>,
}

/// One refresh token and the key it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundAccount {
    /// The user's name, as the authority gives it.
    pub username: String,
    /// The account, as `UID.UTID`.
    #[serde(default)]
    pub home_account_id: String,
    /// Issuer of the authority.
    pub authority: String,
    /// The client the refresh token was issued to.
    #[serde(default)]
    pub client_id: String,
    /// What ties its refresh token to this device.
    pub binding: Binding,
    /// Where the key lives.
    pub key_protection: KeyProtection,
    /// The key's name; `None` where no key is needed.
    pub key: Option<String>,
}
