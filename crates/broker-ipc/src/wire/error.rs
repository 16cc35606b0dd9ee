//! `dev.keyward.Error.KIND`: a message for people and what programs may need.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zbus::Type;

use keyward_client::error::{AcquireTokenError, AuthorityError, ErrorKind};

use crate::names::keyward::ERROR_PREFIX;

use super::WireError;
use super::dict::{Dict, Entries};

/// The body of an error that is sent.
#[derive(Serialize, Type)]
pub(crate) struct Outgoing<'a>(&'a str, Entries<'a>);

/// The body of an error that was received.
#[derive(Deserialize, Type)]
pub(crate) struct Incoming<'a>(&'a str, #[serde(borrow)] Dict<'a>);

/// The D-Bus name of an error of this kind.
pub(crate) fn name(kind: ErrorKind) -> String {
    format!("{ERROR_PREFIX}{}", kind.row().name)
}

/// The kind behind a D-Bus error name of ours.
pub(crate) fn kind(name: &str) -> Option<ErrorKind> {
    ErrorKind::parse(name.strip_prefix(ERROR_PREFIX)?)
}

/// The body that carries everything an error says.
pub(crate) fn write(error: &AcquireTokenError) -> Outgoing<'_> {
    let mut details = Entries::new();
    details
        .maybe_text("claims", error.claims())
        .maybe_number("retry_after", error.retry_after().map(|d| d.as_secs()));
    if let Some(authority) = error.authority() {
        details
            .text("error", &authority.error)
            .maybe_text("error_description", authority.description.as_deref())
            .maybe_text("suberror", authority.suberror.as_deref())
            .maybe_text("correlation_id", authority.correlation_id.as_deref());
        if !authority.codes.is_empty() {
            details.numbers("error_codes", &authority.codes);
        }
    }
    Outgoing(error.message(), details)
}

/// The error a body describes.
pub(crate) fn read(
    kind: ErrorKind,
    Incoming(message, details): &Incoming<'_>,
) -> Result<AcquireTokenError, WireError> {
    let authority = match details.text("error")? {
        None => None,
        Some(error) => Some(AuthorityError {
            error: error.to_owned(),
            description: details.owned_text("error_description")?,
            suberror: details.owned_text("suberror")?,
            codes: details.numbers("error_codes")?,
            correlation_id: details.owned_text("correlation_id")?,
        }),
    };
    Ok(AcquireTokenError::new(kind, *message)
        .with_claims(details.owned_text("claims")?)
        .with_retry_after(details.number("retry_after")?.map(Duration::from_secs))
        .with_authority(authority))
}
