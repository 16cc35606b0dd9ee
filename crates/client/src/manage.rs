//! What a person at this device asks of the broker itself, beside tokens: to see and to change what
//! it holds. Sent as JSON; each side ignores fields it does not know.

use serde::{Deserialize, Serialize};

use crate::audit::{AuditPage, AuditQuery};
use crate::binding::{Binding, KeyProtection};

/// One request about the broker itself.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum ManageRequest {
    /// Which device holds the keys, and which accounts are bound to which of them.
    Device,
    /// The records of outcomes.
    Audit(AuditQuery),
}

/// The answer to a [`ManageRequest`] of the same name.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ManageAnswer {
    /// Which device holds the keys.
    Device(DeviceReport),
    /// The records of outcomes that fit.
    Audit(AuditPage),
}

/// Where keys live, and what is bound to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Where new keys are made.
    pub key_protection: KeyProtection,
    /// Every account and the keys its refresh tokens are bound to.
    pub accounts: Vec<BoundAccount>,
}

/// One account and one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundAccount {
    /// The user's name, as the authority gives it.
    pub username: String,
    /// Issuer of the authority.
    pub authority: String,
    /// What ties its refresh token to this device.
    pub binding: Binding,
    /// Where the key lives.
    pub key_protection: KeyProtection,
    /// The key's name; `None` where no key is needed.
    pub key: Option<String>,
}
