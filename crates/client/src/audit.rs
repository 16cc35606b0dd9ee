//! One record per outcome: who asked for what, and what came of it. Never a token, never a user
//! name, never the value of a claim.
//!
//! A record is one line of JSON, in a file as well as in an answer to [`AuditQuery`]. Fields are
//! only ever added; one whose meaning changes raises [`VERSION`]. Readers ignore what they do not
//! know.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The version of the format, `v` of each record.
pub const VERSION: u32 = 1;

/// The [`outcome`](AuditRecord::outcome) of a request that was answered.
pub const DONE: &str = "done";

/// One outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The format, [`VERSION`].
    pub v: u32,
    /// Counts the records of one device's file, also over restarts. A gap is a loss.
    pub seq: u64,
    /// When the request was answered, in UTC (RFC 3339, milliseconds).
    pub time: String,
    /// What was asked: the name of the operation, such as `acquire_token_silent`.
    pub operation: Cow<'static, str>,
    /// Who asked.
    pub who: Who,
    /// The client id the application gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The account, by a name that is the same for all records of this device and can be computed
    /// on no other. Null: none was named or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The scopes asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What was decided about the caller.
    pub verdict: Verdict,
    /// The rule that decided; null where none had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// [`DONE`], or the error's name in the table of errors.
    pub outcome: Cow<'static, str>,
    /// Where the answer came from. Null: there was none, or it needed neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What ties the refresh token behind the answer to this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Cow<'static, str>>,
    /// Where the key of that binding lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_protection: Option<Cow<'static, str>>,
    /// `error` of the authority's answer (RFC 6749 §5.2), where it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Ties record, log and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// How many more outcomes just like this one the record stands for: answers from the cache in
    /// a flood are counted and not written one by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// How many outcomes before this one have no record, because there was no room for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

/// Who asked, as the transport says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The user.
    pub uid: u32,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// `socket`, or `bus`.
    pub via: Cow<'static, str>,
    /// The caller's name on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_name: Option<String>,
    /// The file the process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The Flatpak or Snap it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// What was decided about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The request was let through.
    Allow,
    /// A person was to be asked first.
    Ask,
    /// The request was refused, whatever it was about.
    Deny,
}

impl Verdict {
    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It was kept here.
    Cache,
    /// The authority gave it, or refused it.
    Network,
}

impl Source {
    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Network => "network",
        }
    }
}

/// Which records to see: all conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    /// Only records after this one, the oldest of them first to be given; without it, the newest.
    pub after: Option<u64>,
    /// Only records before this one.
    pub before: Option<u64>,
    /// Only records of this time and later, in seconds since the epoch.
    pub since: Option<u64>,
    /// Only records of this client id.
    pub client_id: Option<String>,
    /// How many at most; the broker gives no more than [`LIMIT`](Self::LIMIT) at once.
    pub limit: usize,
}

impl AuditQuery {
    /// How many records an answer holds at most.
    pub const LIMIT: usize = 500;
}

/// Records, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditRecord>,
    /// The last record there is, whether or not it is among these: what to ask for later ones by.
    pub last: u64,
    /// Whether there are more records that fit the query than are in this answer.
    #[serde(default)]
    pub more: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecord {
        AuditRecord {
            v: VERSION,
            seq: 7,
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            operation: "acquire_token_silent".into(),
            who: Who {
                uid: 1000,
                pid: Some(42),
                via: "socket".into(),
                bus_name: None,
                executable: Some("/usr/bin/app".to_owned()),
                sandbox: None,
            },
            client_id: Some("client-1".to_owned()),
            account: None,
            scopes: vec!["User.Read".to_owned()],
            verdict: Verdict::Allow,
            rule: None,
            outcome: DONE.into(),
            source: Some(Source::Cache),
            binding: None,
            key_protection: None,
            error: None,
            duration_us: 12,
            correlation_id: None,
            repeated: 0,
            lost: 0,
        }
    }

    #[test]
    fn a_record_is_one_line_that_begins_with_its_number() {
        let line = serde_json::to_string(&record()).unwrap();
        assert_eq!(
            line,
            "{\"v\":1,\"seq\":7,\"time\":\"2026-01-02T03:04:05.678Z\",\
             \"operation\":\"acquire_token_silent\",\"who\":{\"uid\":1000,\"pid\":42,\
             \"via\":\"socket\",\"executable\":\"/usr/bin/app\"},\"client_id\":\"client-1\",\
             \"scopes\":[\"User.Read\"],\"verdict\":\"allow\",\"outcome\":\"done\",\
             \"source\":\"cache\",\"duration_us\":12}"
        );
        assert_eq!(
            serde_json::from_str::<AuditRecord>(&line).unwrap(),
            record()
        );
    }

    #[test]
    fn what_later_versions_add_is_ignored() {
        let line = serde_json::to_string(&record()).unwrap();
        let more = line.replacen('{', "{\"later\":{\"x\":[1]},", 1);
        assert_eq!(
            serde_json::from_str::<AuditRecord>(&more).unwrap(),
            record()
        );
    }
}
