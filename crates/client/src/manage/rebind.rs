//! Moving every account to new keys, one after the other.

use serde::{Deserialize, Serialize};

use super::BoundAccount;
use crate::binding::KeyProtection;

/// What a move to new keys will do. Where new keys are made has changed by now; what moves is done
/// one by one ([`ManageRequest::RebindAccount`](super::ManageRequest)), and can be interrupted
/// between any two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebindPlan {
    /// Where new keys are made.
    pub to: KeyProtection,
    /// Whether a move that was interrupted goes on.
    pub resumed: bool,
    /// What has to move.
    pub steps: Vec<RebindStep>,
}

/// One refresh token that has to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebindStep {
    /// As it is bound now.
    pub bound: BoundAccount,
    /// Whether the person has to sign in for it: its authority knows no other way to bind it to
    /// another key.
    pub sign_in: bool,
}

/// What is gone after everything was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// How many accounts were signed out.
    pub accounts: usize,
    /// How many keys were destroyed.
    pub keys: usize,
    /// What could not be destroyed, and why.
    #[serde(default)]
    pub problems: Vec<String>,
}
