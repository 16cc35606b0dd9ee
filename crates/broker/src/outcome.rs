//! One span, one line of log and one record per request: who asked for what, and what came of it;
//! a line of level debug for what was at hand. Never a token, never a user name.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use keyward_broker_ipc::rate::{Rate, Rates};
use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::audit::{Source, Verdict};
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_client::ports::BrokerStatus;
use keyward_client::request::{InteractiveRequest, SilentRequest, TokenRequest};
use keyward_client::result::{AuthenticationResult, TokenSource};
use keyward_config::{Config, RateLimits};
use tokio::sync::watch;
use tracing::{Instrument, Span};

use crate::audit::{Audit, Decision, Entry, error_code};

/// The rule that lets a caller do no more for now.
const LIMITS: &str = "limits";

/// Where outcomes go, and what callers may still do by what they have done.
pub(crate) struct Outcomes {
    audit: Audit,
    /// All requests.
    requests: Rates,
    /// Those that reach an authority.
    network: Rates,
}

impl Outcomes {
    /// By this configuration, below this state folder. `in_use` is kept until everything is
    /// written.
    pub(crate) fn new(config: &Config, state_dir: &Path, in_use: watch::Sender<()>) -> Self {
        let RateLimits {
            requests_per_second,
            network_per_minute,
        } = &config.limits;
        let (second, minute) = (requests_per_second.value, network_per_minute.value);
        let burst = second.saturating_mul(RateLimits::BURST_SECONDS);
        let requests = Rate::new(burst, f64::from(second));
        let network = Rate::new(minute, f64::from(minute) / 60.0);
        Self {
            audit: Audit::start(&config.audit, state_dir, in_use),
            requests: Rates::new(requests, "requests"),
            network: Rates::new(network, "requests that reach an authority"),
        }
    }

    /// Takes note that this caller asks for something.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`].
    pub(crate) fn asks(&self, caller: &Caller, now: Instant) -> Result<(), AcquireTokenError> {
        self.requests.take(caller, now)
    }

    /// The record of outcomes.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Records the answer to a request that was at hand. That costs next to nothing, and
    /// applications ask before each of their requests: who wants lines of these in the log, too,
    /// sets `log = "debug"`.
    pub(crate) fn at_hand(
        &self,
        caller: &Caller,
        request: &SilentRequest,
        result: &AuthenticationResult,
        (started, decision): (Instant, Decision),
    ) {
        let facts = result.facts();
        tracing::debug!(
            operation = "acquire_token_silent",
            correlation_id = %request.token.correlation_id,
            client_id = request.token.client_id.as_str(),
            pid = caller.pid,
            via = via(&caller.via),
            token_source = facts.source.map(Source::as_str),
            binding = facts.binding.map(Binding::as_str),
            "done"
        );
        if !self.audit.is_on() {
            return;
        }
        let mut entry = Entry::new("acquire_token_silent", caller);
        entry.take_request(&request.token);
        entry.take_facts(facts);
        entry.decision = decision;
        entry.took = started.elapsed();
        self.audit.record(entry);
    }

    /// Records that a request was refused before it was one.
    pub(crate) fn refused(
        &self,
        caller: &Caller,
        operation: &'static str,
        error: &AcquireTokenError,
    ) {
        let mut entry = Entry::new(operation, caller);
        entry.decision = Decision {
            verdict: Verdict::Deny,
            rule: Some(LIMITS.into()),
        };
        entry.error = Some(error.kind());
        self.audit.record(entry);
    }
}

/// A request that is being answered. Dropped before its answer, it was cancelled, and says so.
pub(crate) struct Call {
    span: Span,
    started: Instant,
    outcomes: Arc<Outcomes>,
    decided: Decided,
    /// Whether the caller may ask for anything at all.
    asked: Result<(), AcquireTokenError>,
    /// Taken when it is recorded.
    entry: Option<Entry>,
}

/// What ties a request to an application and an acquisition, where it has that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids<'a> {
    pub(crate) client_id: Option<&'a ClientId>,
    pub(crate) correlation_id: Option<CorrelationId>,
}

impl<'a> Ids<'a> {
    fn of(request: &'a TokenRequest) -> Self {
        Self {
            client_id: Some(&request.client_id),
            correlation_id: Some(request.correlation_id),
        }
    }

    /// Of an application that gave no correlation id.
    pub(crate) fn client(client_id: &'a ClientId) -> Self {
        Self {
            client_id: Some(client_id),
            correlation_id: None,
        }
    }
}

/// What was decided about a request, said while it is worked on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided(Arc<Mutex<Decision>>);

impl Decided {
    /// This verdict, by this rule.
    pub(crate) fn by(&self, verdict: Verdict, rule: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Decision {
            verdict,
            rule: Some(rule.into()),
        };
    }

    /// Takes note of the rule that refused, where one did.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn unless_denied<T>(
        &self,
        rule: &str,
        decision: Result<T, AcquireTokenError>,
    ) -> Result<T, AcquireTokenError> {
        decision.inspect_err(|_| self.by(Verdict::Deny, rule))
    }

    fn get(&self) -> Decision {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What of an answer is worth a line of log.
pub(crate) trait Outcome {
    /// Where it came from, for whom, and what binds the refresh token behind it.
    fn facts(&self) -> Facts<'_> {
        Facts::default()
    }
}

/// What of an answer is worth a line of log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    source: Option<Source>,
    account: Option<&'a HomeAccountId>,
    binding: Option<Binding>,
    key_protection: Option<KeyProtection>,
}

impl Outcome for () {}
impl Outcome for BrokerStatus {}
impl Outcome for String {}
impl Outcome for Vec<AccountInfo> {}

impl Outcome for AuthenticationResult {
    fn facts(&self) -> Facts<'_> {
        Facts {
            source: Some(match self.token_source {
                TokenSource::Cache => Source::Cache,
                TokenSource::IdentityProvider => Source::Network,
            }),
            account: Some(&self.account.home_account_id),
            binding: self.binding,
            key_protection: self.key_protection,
        }
    }
}

impl Entry {
    fn take_request(&mut self, request: &TokenRequest) {
        self.client_id = Some(request.client_id.clone());
        self.scopes = request.scopes.clone();
        self.correlation_id = Some(request.correlation_id);
    }

    fn take_facts(&mut self, facts: Facts<'_>) {
        self.source = facts.source;
        self.binding = facts.binding;
        self.key_protection = facts.key_protection;
        if let Some(account) = facts.account {
            self.account = Some(account.clone());
        }
    }

    fn take_error(&mut self, error: &AcquireTokenError) {
        self.error = Some(error.kind());
        if let Some(answer) = error.authority() {
            self.source = Some(Source::Network);
            self.authority_error = error_code(&answer.error);
        }
    }
}

impl Call {
    /// A request for a token without interaction, of a caller who `asked`.
    pub(crate) fn silent(
        outcomes: Arc<Outcomes>,
        caller: &Caller,
        request: &SilentRequest,
        asked: Result<(), AcquireTokenError>,
    ) -> Self {
        let ids = Ids::of(&request.token);
        let call = Self::of_asked(outcomes, "acquire_token_silent", caller, ids, asked);
        call.about(&request.token, Some(&request.account))
    }

    /// A request for a token for which a person may have to sign in.
    pub(crate) fn interactive(
        outcomes: Arc<Outcomes>,
        caller: &Caller,
        request: &InteractiveRequest,
    ) -> Self {
        let ids = Ids::of(&request.token);
        let call = Self::new(outcomes, "acquire_token_interactive", caller, ids);
        call.about(&request.token, request.account.as_ref())
    }

    /// Any request.
    pub(crate) fn new(
        outcomes: Arc<Outcomes>,
        operation: &'static str,
        caller: &Caller,
        ids: Ids<'_>,
    ) -> Self {
        let asked = outcomes.asks(caller, Instant::now());
        Self::of_asked(outcomes, operation, caller, ids, asked)
    }

    fn of_asked(
        outcomes: Arc<Outcomes>,
        operation: &'static str,
        caller: &Caller,
        ids: Ids<'_>,
        asked: Result<(), AcquireTokenError>,
    ) -> Self {
        let span = tracing::info_span!(
            "request",
            operation,
            correlation_id = ids.correlation_id.map(tracing::field::display),
            client_id = ids.client_id.map(ClientId::as_str),
            pid = caller.pid,
            via = via(&caller.via),
        );
        let mut entry = Entry::new(operation, caller);
        entry.client_id = ids.client_id.cloned();
        entry.correlation_id = ids.correlation_id;
        Self {
            span,
            started: Instant::now(),
            outcomes,
            decided: Decided::default(),
            asked,
            entry: Some(entry),
        }
    }

    fn about(mut self, request: &TokenRequest, account: Option<&AccountSelector>) -> Self {
        if let Some(entry) = &mut self.entry {
            entry.take_request(request);
        }
        match account {
            Some(AccountSelector::Home(account)) => self.for_account(account),
            // A user name is nothing to write down.
            _ => self,
        }
    }

    /// About this account.
    pub(crate) fn for_account(mut self, account: &HomeAccountId) -> Self {
        if let Some(entry) = &mut self.entry {
            entry.account = Some(account.clone());
        }
        self
    }

    /// Where to say what was decided about the caller.
    pub(crate) fn decided(&self) -> Decided {
        self.decided.clone()
    }

    /// Whether the caller does not ask too often.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`].
    pub(crate) fn in_bounds(&self) -> Result<(), AcquireTokenError> {
        self.decided.unless_denied(LIMITS, self.asked.clone())
    }

    /// Whether the caller may ask for this now, and what comes of it can be recorded, as far as that
    /// is demanded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyRequests`] and [`ErrorKind::Storage`].
    pub(crate) fn admit(&self) -> Result<(), AcquireTokenError> {
        self.in_bounds()?;
        let recorded = self.outcomes.audit.admit();
        self.decided.unless_denied("audit", recorded)
    }

    /// The same for what may reach an authority, of which each caller has a share.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub(crate) fn admit_to_network(&self) -> Result<(), AcquireTokenError> {
        self.admit()?;
        let Some(entry) = &self.entry else {
            return Ok(());
        };
        let in_bounds = self.outcomes.network.check(&entry.caller, self.started);
        self.decided.unless_denied(LIMITS, in_bounds)
    }

    /// Does the work within the span, and writes line and record.
    pub(crate) async fn observe<T: Outcome>(
        mut self,
        work: impl Future<Output = Result<T, AcquireTokenError>>,
    ) -> Result<T, AcquireTokenError> {
        let answer = work.instrument(self.span.clone()).await;
        if let Some(mut entry) = self.entry.take() {
            match &answer {
                Ok(value) => entry.take_facts(value.facts()),
                Err(error) => entry.take_error(error),
            }
            self.tell(&entry, answer.as_ref().err());
            self.record(entry);
        }
        answer
    }

    /// The line. The text of an error may repeat what an authority says about a person, so only that
    /// of our own vault is written.
    fn tell(&self, entry: &Entry, error: Option<&AcquireTokenError>) {
        let elapsed_ms = self.elapsed_ms();
        let _line = self.span.enter();
        let Some(error) = error else {
            let token_source = entry.source.map(Source::as_str);
            let binding = entry.binding.map(Binding::as_str);
            tracing::info!(token_source, binding, elapsed_ms, "done");
            return;
        };
        let kind = error.kind();
        let authority = error.authority();
        tracing::info!(
            kind = kind.row().name,
            error = authority.map(|answer| answer.error.as_str()),
            suberror = authority.and_then(|answer| answer.suberror.as_deref()),
            reason = (kind == ErrorKind::Storage).then(|| error.message()),
            elapsed_ms,
            "refused"
        );
    }

    fn record(&self, mut entry: Entry) {
        if entry.source == Some(Source::Network) {
            self.outcomes.network.charge(&entry.caller, Instant::now());
        }
        entry.at = SystemTime::now();
        entry.took = self.started.elapsed();
        entry.decision = self.decided.get();
        self.outcomes.audit.record(entry);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        let elapsed_ms = self.elapsed_ms();
        let line = self.span.enter();
        tracing::info!(elapsed_ms, "cancelled by the caller");
        drop(line);
        entry.error = Some(ErrorKind::ApplicationCanceled);
        self.record(entry);
    }
}

fn via(via: &Via) -> &'static str {
    match via {
        Via::Socket => "socket",
        Via::Bus { .. } => "bus",
    }
}
