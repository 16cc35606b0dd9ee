//! The answer in the redirect (RFC 6749 §4.1.2).

use std::collections::BTreeMap;

use url::Url;
use zeroize::Zeroize;

use crate::error_response::ErrorResponse;

/// The longest redirect read, in bytes.
const LONGEST: usize = 64 * 1024;

/// The parameters of a redirect, each at most once. They hold the code: wiped when dropped.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Takes the query of a URL that differs from the redirect URI in nothing else.
    pub(super) fn read(url: &Url, expected: &Url) -> Result<Self, RedirectError> {
        if url.as_str().len() > LONGEST {
            return Err(RedirectError::TooLong);
        }
        let same = url.scheme() == expected.scheme()
            && url.host() == expected.host()
            && url.port_or_known_default() == expected.port_or_known_default()
            && url.path() == expected.path();
        if !same {
            return Err(RedirectError::Elsewhere);
        }
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in url.query_pairs() {
            // RFC 6749 §3.1: parameters must not be included more than once.
            if parameters
                .0
                .insert(name.into_owned(), value.into_owned())
                .is_some()
            {
                return Err(RedirectError::Repeated);
            }
        }
        Ok(parameters)
    }

    /// Moves a parameter out; an empty one counts as absent (RFC 6749 §3.1).
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// Why a redirect does not end the sign-in it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It went to another address.
    #[error("the redirect did not go to the redirect URI of this sign-in")]
    Elsewhere,
    /// It is longer than anything an authority sends.
    #[error("the redirect is too long")]
    TooLong,
    /// A parameter is there twice.
    #[error("the redirect repeats a parameter")]
    Repeated,
    /// `state` is missing or belongs to another sign-in.
    #[error("the redirect does not carry the state of this sign-in")]
    State,
    /// `iss` is missing or names another authority (RFC 9207): a mix-up.
    #[error("the redirect does not come from the authority that was asked")]
    Issuer,
    /// There is neither a code nor an error.
    #[error("the redirect carries neither a code nor an error")]
    NoCode,
    /// The authority or the person refused.
    #[error("the authority refused: {0}")]
    Refused(Box<ErrorResponse>),
}
