//! What was asked and what came of it. No token, code or password is in it.

use std::collections::VecDeque;

use keyward_oauth::time::UnixTime;
use serde::Serialize;

use crate::locked::Locked;
use crate::tenant::Tenant;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// When it came, by the machine's clock, in seconds since the epoch.
    pub time: UnixTime,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The tenant asked, if one was.
    pub tenant: Option<Tenant>,
    /// The `grant_type` of a token request.
    pub grant_type: Option<String>,
    /// The client that asked.
    pub client_id: Option<String>,
    /// Whom it was about, as far as that could be known.
    pub user: Option<String>,
    /// The correlation id, the client's own if it sent one.
    pub correlation_id: String,
    /// The HTTP status; 0 if the connection was closed unanswered.
    pub status: u16,
    /// `ok`, or the name of the error: `invalid_grant`, `use_dpop_nonce`, `AADSTS50126`…
    pub outcome: String,
}

/// The latest requests.
#[derive(Default)]
pub(crate) struct RequestLog(Locked<VecDeque<LogEntry>>);

/// How many are kept.
const KEPT: usize = 20_000;

impl RequestLog {
    pub(crate) fn add(&self, entry: LogEntry) {
        self.0.with(|entries| {
            if entries.len() >= KEPT {
                entries.pop_front();
            }
            entries.push_back(entry);
        });
    }

    /// Oldest first.
    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.0.with(|entries| entries.iter().cloned().collect())
    }

    pub(crate) fn clear(&self) {
        self.0.with(VecDeque::clear);
    }
}
