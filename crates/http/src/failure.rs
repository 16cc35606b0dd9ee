//! What a failed exchange is called.

use std::error::Error;
use std::io;

use keyward_oauth::transport::TransportError;

use crate::client::DEADLINE;

/// Names a failure of reqwest. Its own text is not used: it holds the whole URL.
pub(crate) fn classify(error: &reqwest::Error, host: &str) -> TransportError {
    let host = host.to_owned();
    let reason = innermost(error);
    if error.is_timeout() {
        TransportError::TimedOut {
            host,
            after: DEADLINE,
        }
    } else if is_tls(error) {
        TransportError::Tls { host, reason }
    } else if error.is_connect() {
        TransportError::Connect { host, reason }
    } else {
        TransportError::Broken { host, reason }
    }
}

/// What the operating system or the library below said, without what the layers above repeat.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: Option<&(dyn Error + 'static)> = None;
    let mut next = error.source();
    while let Some(cause) = next {
        innermost = Some(cause);
        next = cause.source();
    }
    innermost.map_or_else(
        || "the exchange was cut short".to_owned(),
        ToString::to_string,
    )
}

/// Whether rustls refused: it reports through an I/O error of this kind, and no other layer of the
/// connection does.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        // An I/O error hides the one it wraps from `source`.
        let mut wrapped = cause.downcast_ref::<io::Error>();
        while let Some(io) = wrapped {
            if io.kind() == io::ErrorKind::InvalidData && io.get_ref().is_some() {
                return true;
            }
            wrapped = io.get_ref().and_then(|inner| inner.downcast_ref());
        }
        next = cause.source();
    }
    false
}
