//! The dictionaries of `dev.keyward.Broker1`, one module per direction.
//!
//! Every method but [`bearer`]'s takes and returns `a{sv}`. Unknown keys are ignored, a missing required key or a
//! value of another type is [`ErrorKind::InvalidRequest`] naming the key (in answers:
//! [`ErrorKind::InvalidResponse`]). Each type is written and read in the same file, so that both
//! ends can be compared at a glance. No refresh token and no private key has a key here.

pub(crate) mod bearer;
pub(crate) mod caller;
pub(crate) mod dict;
pub(crate) mod error;
pub(crate) mod manage;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod status;

use keyward_client::error::{AcquireTokenError, ErrorKind};

/// A dictionary that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A required key is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key has a value of another type.
    #[error("{0} has another type than {1}")]
    Type(&'static str, &'static str),
    /// A value has the right type but no meaning.
    #[error("{key} {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with the value. Never the value itself.
        why: String,
    },
    /// The body is no dictionary.
    #[error("the message body is not of type {0}")]
    Body(&'static str),
    /// The payload was larger than [`MAX_PAYLOAD`](crate::names::MAX_PAYLOAD).
    #[error("the message is larger than 1 MiB")]
    TooLarge,
}

impl WireError {
    pub(crate) fn value(key: &'static str, why: &(impl ToString + ?Sized)) -> Self {
        Self::Value {
            key,
            why: why.to_string(),
        }
    }

    /// As the answer to a request that cannot be understood.
    pub(crate) fn in_request(&self) -> AcquireTokenError {
        AcquireTokenError::new(
            ErrorKind::InvalidRequest,
            format!("the request cannot be understood: {self}"),
        )
    }

    /// As the outcome of a call whose answer cannot be understood.
    pub(crate) fn in_response(&self) -> AcquireTokenError {
        AcquireTokenError::new(
            ErrorKind::InvalidResponse,
            format!("the broker's answer cannot be understood: {self}"),
        )
    }
}
