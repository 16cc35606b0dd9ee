//! One span and one line of log per request: who asked for what, and what came of it; a line of
//! level debug for what was at hand. Never a token, never a user name.

use std::future::Future;
use std::time::Instant;

use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::account::AccountInfo;
use keyward_client::binding::Binding;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::request::TokenRequest;
use keyward_client::result::{AuthenticationResult, TokenSource};
use tracing::{Instrument, Span};

/// A request that is being answered. Dropped before its answer, it was cancelled, and says so.
pub(crate) struct Call {
    span: Span,
    started: Instant,
    answered: bool,
}

/// What of an answer is worth a line of log.
pub(crate) trait Outcome {
    /// Where the token came from, and what binds the refresh token behind it.
    fn facts(&self) -> (Option<&'static str>, Option<&'static str>) {
        (None, None)
    }
}

impl Outcome for () {}
impl Outcome for String {}
impl Outcome for Vec<AccountInfo> {}

impl Outcome for AuthenticationResult {
    fn facts(&self) -> (Option<&'static str>, Option<&'static str>) {
        let source = match self.token_source {
            TokenSource::Cache => "cache",
            TokenSource::IdentityProvider => "identity_provider",
        };
        (Some(source), self.binding.map(Binding::as_str))
    }
}

impl Call {
    /// A request for a token.
    pub(crate) fn acquisition(
        operation: &'static str,
        caller: &Caller,
        request: &TokenRequest,
    ) -> Self {
        let correlation_id = Some(request.correlation_id);
        Self::new(operation, caller, Some(&request.client_id), correlation_id)
    }

    /// Any request.
    pub(crate) fn new(
        operation: &'static str,
        caller: &Caller,
        client_id: Option<&ClientId>,
        correlation_id: Option<CorrelationId>,
    ) -> Self {
        let span = tracing::info_span!(
            "request",
            operation,
            correlation_id = correlation_id.map(tracing::field::display),
            client_id = client_id.map(ClientId::as_str),
            pid = caller.pid,
            via = via(&caller.via),
        );
        Self {
            span,
            started: Instant::now(),
            answered: false,
        }
    }

    /// Does the work within the span and writes the line.
    pub(crate) async fn observe<T: Outcome>(
        mut self,
        work: impl Future<Output = Result<T, AcquireTokenError>>,
    ) -> Result<T, AcquireTokenError> {
        let answer = work.instrument(self.span.clone()).await;
        self.answered = true;
        let elapsed_ms = self.elapsed_ms();
        let line = self.span.enter();
        match &answer {
            Ok(value) => {
                let (token_source, binding) = value.facts();
                tracing::info!(token_source, binding, elapsed_ms, "done");
            }
            Err(error) => refused(error, elapsed_ms),
        }
        drop(line);
        answer
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            let elapsed_ms = self.elapsed_ms();
            let _line = self.span.enter();
            tracing::info!(elapsed_ms, "cancelled by the caller");
        }
    }
}

/// A token that was there already costs next to nothing, and applications ask for one before each
/// of their requests: who wants these lines, too, sets `log = "debug"`.
pub(crate) fn at_hand(caller: &Caller, request: &TokenRequest, result: &AuthenticationResult) {
    let (token_source, binding) = result.facts();
    tracing::debug!(
        operation = "acquire_token_silent",
        correlation_id = %request.correlation_id,
        client_id = request.client_id.as_str(),
        pid = caller.pid,
        via = via(&caller.via),
        token_source,
        binding,
        "done"
    );
}

/// The text of an error may repeat what an authority says about a person, so only that of our own
/// vault is written.
fn refused(error: &AcquireTokenError, elapsed_ms: u64) {
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

fn via(via: &Via) -> &'static str {
    match via {
        Via::Socket => "socket",
        Via::Bus { .. } => "bus",
    }
}
