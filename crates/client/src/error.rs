//! Why no token could be acquired, and whose move it is.

use std::fmt;
use std::time::Duration;

/// Why no token could be acquired.
///
/// [`kind`](Self::kind) says what to do next; the text says what happened, which input, and how
/// to mend it. It never holds a token, a code or a URL with a query.
#[derive(Clone, Debug)]
pub struct AcquireTokenError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    claims: Option<String>,
    retry_after: Option<Duration>,
    authority: Option<AuthorityError>,
}

/// What the authority answered (RFC 6749 §5.2 and Entra's additions, `device-binding.md` 4.4). The
/// description is for the person and may name them: `Debug`, which may reach a log, leaves it out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthorityError {
    /// `error`.
    pub error: String,
    /// `error_description`.
    pub description: Option<String>,
    /// `suberror`.
    pub suberror: Option<String>,
    /// `error_codes`, the numbers behind `AADSTS`.
    pub codes: Vec<u64>,
    /// `correlation_id` as the authority logged it.
    pub correlation_id: Option<String>,
}

impl fmt::Debug for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityError")
            .field("error", &self.error)
            .field("suberror", &self.suberror)
            .field("codes", &self.codes)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

impl AcquireTokenError {
    /// An error of this kind. `message`: lower case, no full stop, no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            claims: None,
            retry_after: None,
            authority: None,
        }))
    }

    /// Adds the claims challenge to pass on to the interactive request.
    #[must_use]
    pub fn with_claims(mut self, claims: Option<String>) -> Self {
        self.0.claims = claims;
        self
    }

    /// Adds how long to wait before the same request can succeed.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }

    /// Adds what the authority answered.
    #[must_use]
    pub fn with_authority(mut self, authority: Option<AuthorityError>) -> Self {
        self.0.authority = authority;
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The claims challenge to pass on to the interactive request.
    pub fn claims(&self) -> Option<&str> {
        self.0.claims.as_deref()
    }

    /// How long to wait before the same request can succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What the authority answered, if it did.
    pub fn authority(&self) -> Option<&AuthorityError> {
        self.0.authority.as_ref()
    }

    /// Whether a person has to sign in: call `acquire_token_interactive`.
    pub fn interaction_required(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::InteractionRequired | ErrorKind::AccountUnusable
        )
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind().row().retryable
    }
}

impl fmt::Display for AcquireTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for AcquireTokenError {}

macro_rules! error_table {
    ($( $(#[$doc:meta])* $kind:ident => $name:literal, $status:literal, $exit:literal, $js:literal, $retryable:literal; )*) => {
        /// What the caller does next. Each kind has one row in the one table of errors.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $( $(#[$doc])* $kind, )* }

        /// The one table: every kind with its name on each face (invariant 7).
        pub const TABLE: &[ErrorRow] = &[ $( ErrorRow {
            kind: ErrorKind::$kind, name: $name, runtime_status: $status, exit_code: $exit,
            msal_js_code: $js, retryable: $retryable,
        }, )* ];
    };
}

/// One row of the table of errors.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRow {
    /// The kind.
    pub kind: ErrorKind,
    /// The last element of its D-Bus error name, `dev.keyward.Error.NAME`, and its name in JSON.
    pub name: &'static str,
    /// `status` of Microsoft's runtime (`linux-broker-dbus.md` 8).
    pub runtime_status: u8,
    /// Exit code of the command line.
    pub exit_code: u8,
    /// `errorCode` that MSAL JS makes of the status.
    pub msal_js_code: &'static str,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

// name, MSALRuntime status, CLI exit code, MSAL JS errorCode, retryable. Exit code 2 is a usage error.
error_table! {
    /// Only a person can help: sign in, passing `claims` on.
    InteractionRequired => "InteractionRequired", 2, 3, "interaction_required", false;
    /// The account is known but cannot be used any more; sign in again.
    AccountUnusable => "AccountUnusable", 13, 4, "interaction_required", false;
    /// No such account here.
    AccountNotFound => "AccountNotFound", 19, 5, "no_account_found", false;
    /// The person closed the sign-in.
    UserCanceled => "UserCanceled", 7, 6, "user_canceled", false;
    /// The application cancelled, or went away.
    ApplicationCanceled => "ApplicationCanceled", 8, 7, "platform_broker_error", false;
    /// Nobody finished the sign-in in time.
    DeadlineExceeded => "DeadlineExceeded", 15, 8, "platform_broker_error", true;
    /// The authority signed in another person than was asked for.
    AccountSwitch => "AccountSwitch", 16, 9, "platform_broker_error", false;
    /// There is no way to the authority.
    NoNetwork => "NoNetwork", 3, 10, "no_network_connectivity", true;
    /// The authority is overloaded or broken; try again later.
    ServerTemporarilyUnavailable => "ServerTemporarilyUnavailable", 5, 11, "server_unavailable", true;
    /// The authority is neither well known nor configured.
    AuthorityUntrusted => "AuthorityUntrusted", 11, 12, "untrusted_authority", false;
    /// The authority refused; it will refuse the same request again.
    Rejected => "Rejected", 6, 13, "platform_broker_error", false;
    /// The authority's answer breaks the protocol.
    InvalidResponse => "InvalidResponse", 0, 14, "platform_broker_error", false;
    /// The request cannot be understood or breaks the contract.
    InvalidRequest => "InvalidRequest", 6, 15, "platform_broker_error", false;
    /// What was asked for is not offered here.
    NotSupported => "NotSupported", 6, 16, "platform_broker_error", false;
    /// The configuration of broker, authority or application does not allow this.
    IncorrectConfiguration => "IncorrectConfiguration", 9, 17, "platform_broker_error", false;
    /// Keys or vault on this device cannot be used.
    Storage => "Storage", 0, 18, "platform_broker_error", false;
    /// The binding key is gone.
    KeyNotFound => "KeyNotFound", 18, 19, "platform_broker_error", false;
    /// The device that holds the binding key does not answer now.
    KeyUnavailable => "KeyUnavailable", 5, 23, "server_unavailable", true;
    /// There is no broker, or it does not answer.
    BrokerUnavailable => "BrokerUnavailable", 20, 20, "platform_broker_error", true;
    /// The broker has too much to do for this caller.
    TooManyRequests => "TooManyRequests", 15, 21, "platform_broker_error", true;
    /// A fault of ours.
    Unexpected => "Unexpected", 0, 22, "platform_broker_error", false;
}

impl ErrorKind {
    /// This kind's row of the table.
    pub fn row(self) -> &'static ErrorRow {
        // INVARIANT: the table is generated from the same list as the variants, in their order.
        &TABLE[self as usize]
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.kind)
    }

    /// The kind that stands for a status of Microsoft's runtime, for answers of other brokers.
    pub fn from_runtime_status(status: i64) -> Self {
        match status {
            4 | 15 => Self::ServerTemporarilyUnavailable,
            6 => Self::InvalidRequest,
            _ => TABLE
                .iter()
                .find(|row| status != 0 && i64::from(row.runtime_status) == status)
                .map_or(Self::Unexpected, |row| row.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_one_row_name_and_exit_code() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index);
            assert_eq!(ErrorKind::parse(row.name), Some(row.kind));
            assert!(row.exit_code > 2 && row.runtime_status <= 21 && row.runtime_status != 12);
        }
        let exits: HashSet<u8> = TABLE.iter().map(|row| row.exit_code).collect();
        assert_eq!(exits.len(), TABLE.len());
    }
}
