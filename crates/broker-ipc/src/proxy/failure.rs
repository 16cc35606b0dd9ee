//! What a failed call means.

use std::io;

use zbus::fdo;

use keyward_client::error::{AcquireTokenError, ErrorKind};

use crate::wire::{self, WireError};

/// The error behind a failed call of the typed interface.
pub(super) fn of_call(error: &zbus::Error) -> AcquireTokenError {
    match error {
        zbus::Error::MethodError(name, text, message) => match wire::error::kind(name) {
            Some(kind) => message
                .body()
                .deserialize()
                .map_err(|_| WireError::Body("sa{sv}"))
                .and_then(|body| wire::error::read(kind, &body))
                .unwrap_or_else(|error| error.in_response()),
            None => AcquireTokenError::new(
                ErrorKind::Unexpected,
                format!(
                    "the broker failed in a way this version does not know: {name}: {}",
                    text.as_deref().unwrap_or("no text")
                ),
            ),
        },
        zbus::Error::FDO(error) => of_bus(error),
        error => broken(error),
    }
}

/// The error behind an answer of the bus, or of zbus-like services.
pub(super) fn of_bus(error: &fdo::Error) -> AcquireTokenError {
    match error {
        fdo::Error::UnknownMethod(_)
        | fdo::Error::UnknownInterface(_)
        | fdo::Error::UnknownObject(_) => AcquireTokenError::new(
            ErrorKind::NotSupported,
            "the broker does not know this request: it is older than this program",
        ),
        error => AcquireTokenError::new(
            ErrorKind::BrokerUnavailable,
            format!("the broker does not answer: {error}"),
        ),
    }
}

/// The connection is gone.
pub(super) fn broken(error: &zbus::Error) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::BrokerUnavailable,
        format!("the connection to the broker broke: {error}"),
    )
}

/// Whether the connection broke, so that nothing is known about what became of the call.
pub(super) fn is_broken(error: &zbus::Error) -> bool {
    !matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_))
}

/// Whether the call never got through: nobody read at the other end any more. A broker that ends
/// because nobody asked stops reading before it closes.
pub(super) fn was_not_sent(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::BrokenPipe)
}
