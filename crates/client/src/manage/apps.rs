//! Programs that have asked for tokens, and what was answered about them.

use serde::{Deserialize, Serialize};

use crate::interactive::PromptStatus;

/// The programs, and what waits for the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppsReport {
    /// Every program that has asked, with each of its client ids.
    pub apps: Vec<AppReport>,
    /// What is shown to the person, and what waits to be, in this order.
    #[serde(default)]
    pub prompts: Vec<PromptStatus>,
    /// What is wrong with it, in plain words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A program with one client id, and what was answered about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppReport {
    /// What tells it from other programs: a path (with the file's number and time where others
    /// than root could replace it), a sandbox, or `unknown`.
    pub program: String,
    /// What it called itself.
    pub name: Option<String>,
    /// The path of its executable.
    pub path: Option<String>,
    /// The client id; empty: it manages the broker itself.
    pub client_id: String,
    /// What it may ask for, or has asked for where nobody was asked about it.
    pub scopes: Vec<String>,
    /// The account the answer is about. `None`: any.
    pub home_account_id: Option<String>,
    /// The name of that account, if it is signed in.
    #[serde(default)]
    pub username: Option<String>,
    /// What was answered.
    pub verdict: AppVerdict,
    /// When (RFC 3339): of the answer, or of the first request.
    pub since: String,
    /// When it was answered last (RFC 3339); to the day after a restart.
    #[serde(default)]
    pub last_used: Option<String>,
}

/// What was answered about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppVerdict {
    /// Nobody was asked: the rules allow it.
    Unasked,
    /// The person allowed it.
    Allowed,
    /// The person refused it.
    Denied,
}

impl AppVerdict {
    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}
