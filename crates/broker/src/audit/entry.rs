//! One outcome, as it waits to be written down.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::audit::{AuditRecord, DONE, Source, VERSION, Verdict, Who};
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::ErrorKind;
use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::time::UnixTime;
use keyward_keystore::Pseudonyms;

/// How many scopes of a request are written down; more than any application asks for.
const MOST_SCOPES: usize = 32;
/// How many characters of a text somebody else chose are written down.
const LONGEST: usize = 256;

/// One outcome. What it costs to make is paid by every answer from the cache, so it only holds what
/// there is already; everything else is the writer's work.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: SystemTime,
    pub(crate) operation: &'static str,
    pub(crate) caller: Caller,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) account: Option<HomeAccountId>,
    pub(crate) scopes: Scopes,
    pub(crate) decision: Decision,
    pub(crate) error: Option<ErrorKind>,
    pub(crate) source: Option<Source>,
    pub(crate) binding: Option<Binding>,
    pub(crate) key_protection: Option<KeyProtection>,
    /// `error` of the authority's answer.
    pub(crate) authority_error: Option<String>,
    pub(crate) took: Duration,
    pub(crate) correlation_id: Option<CorrelationId>,
}

/// What was decided about a caller, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Option<Arc<str>>,
}

impl Default for Decision {
    /// No rule had to decide.
    fn default() -> Self {
        Self {
            verdict: Verdict::Allow,
            rule: None,
        }
    }
}

impl Entry {
    /// Nothing but who asked for what, now.
    pub(crate) fn new(operation: &'static str, caller: &Caller) -> Self {
        Self {
            at: SystemTime::now(),
            operation,
            caller: caller.clone(),
            client_id: None,
            account: None,
            scopes: Scopes::none(),
            decision: Decision::default(),
            error: None,
            source: None,
            binding: None,
            key_protection: None,
            authority_error: None,
            took: Duration::ZERO,
            correlation_id: None,
        }
    }

    /// Whether it cost next to nothing, so that a caller can have any number of them.
    pub(crate) fn is_cheap(&self) -> bool {
        let waited_for = matches!(
            self.operation,
            "acquire_token_interactive" | "sign_out" | "manage"
        );
        self.source != Some(Source::Network) && !waited_for
    }

    /// Whether the two differ in nothing but when they were.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.client_id == other.client_id
            && self.account == other.account
            && self.error == other.error
            && self.source == other.source
            && self.binding == other.binding
            && self.key_protection == other.key_protection
            && self.decision == other.decision
            && self.scopes.canonical() == other.scopes.canonical()
            && self.caller == other.caller
    }

    /// What is written down.
    pub(crate) fn record(&self, pseudonyms: Option<&Pseudonyms>) -> AuditRecord {
        let account = self.account.as_ref().zip(pseudonyms);
        AuditRecord {
            v: VERSION,
            seq: 0,
            time: time(self.at),
            operation: self.operation.into(),
            who: who(&self.caller),
            client_id: self.client_id.as_ref().map(|id| id.as_str().to_owned()),
            account: account.map(|(id, pseudonyms)| pseudonyms.of(id.as_str())),
            scopes: self.scopes.iter().take(MOST_SCOPES).map(short).collect(),
            verdict: self.decision.verdict,
            rule: self.decision.rule.as_deref().map(short),
            outcome: self.error.map_or(DONE, |kind| kind.row().name).into(),
            source: self.source,
            binding: self.binding.map(|binding| binding.as_str().into()),
            key_protection: self.key_protection.map(|keys| keys.as_str().into()),
            error: self.authority_error.clone(),
            duration_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            correlation_id: self.correlation_id.map(|id| id.to_string()),
            repeated: 0,
            lost: 0,
        }
    }
}

/// An authority's `error`, where it is one of the words RFC 6749 §5.2 and its successors define;
/// anything else may be about a person.
pub(crate) fn error_code(text: &str) -> Option<String> {
    let is_word = text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then(|| text.to_owned())
}

fn who(caller: &Caller) -> Who {
    let (via, bus_name) = match &caller.via {
        Via::Socket => ("socket", None),
        Via::Bus { unique_name } => ("bus", Some(short(unique_name))),
    };
    let program = &caller.program;
    Who {
        uid: caller.uid,
        pid: caller.pid,
        via: Cow::Borrowed(via),
        bus_name,
        executable: program.executable.as_ref().map(|file| short(&file.path)),
        sandbox: program.sandbox.as_ref().map(|sandbox| short(&sandbox.id())),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// RFC 3339 with milliseconds. All texts of it are equally long, so that they sort by time.
pub(crate) fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = UnixTime::from_secs(since.as_secs()).rfc3339();
    let seconds = seconds.trim_end_matches('Z');
    format!("{seconds}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_standard_are_kept_and_other_texts_are_not() {
        assert_eq!(
            error_code("invalid_grant").as_deref(),
            Some("invalid_grant")
        );
        for other in ["alice@dev.test", "Invalid", &"a".repeat(65)] {
            assert_eq!(error_code(other), None);
        }
    }

    #[test]
    fn times_sort_as_texts() {
        let at = |millis| time(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(1_735_689_599_007), "2024-12-31T23:59:59.007Z");
        assert!(at(999) < at(1000) && at(1000) < at(10_000));
    }

    #[test]
    fn what_somebody_else_chose_is_cut_where_it_is_too_long() {
        let caller = Caller::new(1, None, Via::Socket);
        let mut entry = Entry::new("acquire_token_silent", &caller);
        let scopes: Vec<String> = (0..100)
            .map(|n| format!("{n}{}", "ä".repeat(600)))
            .collect();
        entry.scopes = scopes.iter().map(String::as_str).collect();
        let record = entry.record(None);
        assert_eq!(record.scopes.len(), MOST_SCOPES);
        assert!(record.scopes[0].chars().count() == LONGEST + 1);
    }
}
