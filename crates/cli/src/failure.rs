//! Why a command ends without success: what is said, and the exit code.

use keyward::{AcquireTokenError, ErrorKind};

/// Exit code of wrong usage, as clap has it.
pub const USAGE: u8 = 2;

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub exit_code: u8,
    /// What happened: lower case, no full stop. Empty: it was said already.
    pub message: String,
    /// What to do next: a command to run, where there is one.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of this kind, with the hint that helps for its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            exit_code: kind.row().exit_code,
            message: message.into(),
            hint: hint(kind).map(str::to_owned),
        }
    }

    /// The command line cannot be understood, or lacks something.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            exit_code: USAGE,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// A failure that was already shown as data.
    pub fn shown(kind: ErrorKind) -> Self {
        Self {
            exit_code: kind.row().exit_code,
            message: String::new(),
            hint: None,
        }
    }

    /// With a hint that knows more.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<AcquireTokenError> for Failure {
    fn from(error: AcquireTokenError) -> Self {
        let failure = Self::new(error.kind(), message(&error));
        if error.interaction_required() {
            return match error.claims() {
                Some(claims) => {
                    failure.with_hint(format!("keyward login --claims {}", quoted(claims)))
                }
                None => failure,
            };
        }
        match error.retry_after() {
            Some(wait) => failure.with_hint(format!("try again in {} s", wait.as_secs())),
            None => failure,
        }
    }
}

/// What happened, and what the authority says of it in its own words.
fn message(error: &AcquireTokenError) -> String {
    let words = error
        .authority()
        .and_then(|answer| answer.description.as_deref())
        .and_then(|text| text.lines().next());
    match words {
        Some(words) => format!("{}; the authority says: {words}", error.message()),
        None => error.message().to_owned(),
    }
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What helps for each kind of error.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::InteractionRequired | ErrorKind::AccountUnusable => "keyward login",
        ErrorKind::AccountNotFound => "keyward accounts shows who is signed in; keyward login",
        ErrorKind::DeadlineExceeded => "keyward login --timeout SECONDS gives more time",
        ErrorKind::AccountSwitch => "keyward login --prompt select-account",
        ErrorKind::NoNetwork => "check the network connection, then try again",
        ErrorKind::ServerTemporarilyUnavailable | ErrorKind::TooManyRequests => {
            "try again in a moment"
        }
        ErrorKind::AuthorityUntrusted | ErrorKind::IncorrectConfiguration => {
            "keyward config check shows what is configured, and where"
        }
        ErrorKind::Storage | ErrorKind::KeyNotFound | ErrorKind::BrokerUnavailable => {
            "keyward doctor"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn exit_codes_are_those_of_the_one_table() {
        for row in keyward::ERROR_TABLE {
            let failure = Failure::from(AcquireTokenError::new(row.kind, "x"));
            assert_eq!(failure.exit_code, row.exit_code);
        }
    }

    #[test]
    fn a_claims_challenge_is_passed_on_to_the_login() {
        let error = AcquireTokenError::new(ErrorKind::InteractionRequired, "more is needed")
            .with_claims(Some(r#"{"a":"it's"}"#.to_owned()));
        assert_eq!(
            Failure::from(error).hint.as_deref(),
            Some(r#"keyward login --claims '{"a":"it'\''s"}'"#)
        );
    }

    #[test]
    fn the_wait_an_authority_asks_for_is_said() {
        let error = AcquireTokenError::new(ErrorKind::ServerTemporarilyUnavailable, "busy")
            .with_retry_after(Some(Duration::from_secs(7)));
        assert_eq!(
            Failure::from(error).hint.as_deref(),
            Some("try again in 7 s")
        );
    }
}
