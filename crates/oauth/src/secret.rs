//! Secrets as types with one loud exit.
//!
//! None of them implements `Display`, `Serialize`, `PartialEq` or `Deref`, and each `Debug` is
//! redacted, so a secret reaches a log, an error or a file only through `expose_secret`, the name
//! reviewers search for. Single-use secrets are not `Clone`.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name(String);

        impl $name {
            /// Takes ownership of the secret's text.
            pub fn new(text: String) -> Self {
                Self(text)
            }

            /// Exposes the secret, to build one request or one answer.
            pub fn expose_secret(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

/// Secrets that are handed out time and again. All clones share one text, which is zeroised with
/// the last of them: there are no more copies in memory than there are owners of different ones.
macro_rules! shared_secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<Zeroizing<String>>);

        impl $name {
            /// Takes ownership of the secret's text.
            pub fn new(text: String) -> Self {
                Self(Arc::new(Zeroizing::new(text)))
            }

            /// Exposes the secret, to build one request or one answer.
            pub fn expose_secret(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

secret! {
    /// A refresh token (RFC 6749 §1.5). Opaque to us: never parsed, never logged.
    RefreshToken
}
secret! {
    /// An authorization code (RFC 6749 §1.3.1). Single use.
    Code
}
secret! {
    /// The PKCE code verifier (RFC 7636 §4.1). Single use.
    CodeVerifier
}
secret! {
    /// The PIN of a key, as a person typed it.
    PinText
}
shared_secret! {
    /// An access token (RFC 6749 §1.4), or a finished signed HTTP request that carries one.
    AccessToken
}
shared_secret! {
    /// An ID token in its compact form. Not a credential, but it names a person.
    IdTokenText
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let token = RefreshToken::new("s3cret".to_owned());
        assert_eq!(format!("{token:?}"), "RefreshToken(redacted)");
        assert_eq!(token.expose_secret(), "s3cret");
    }
}
