//! Secrets as types with one loud exit.
//!
//! None of them implements `Display`, `Serialize`, `PartialEq` or `Deref`, and each `Debug` is
//! redacted, so a secret reaches a log, an error or a file only through `expose_secret`, the name
//! reviewers search for. Single-use secrets are not `Clone`.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

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

secret! {
    /// A refresh token (RFC 6749 §1.5). Opaque to us: never parsed, never logged.
    RefreshToken
}
secret! {
    /// An access token (RFC 6749 §1.4), or a finished signed HTTP request that carries one.
    AccessToken
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
    /// An ID token in its compact form. Not a credential, but it names a person.
    IdTokenText
}

/// Access tokens are handed to several waiters of one renewal.
impl Clone for AccessToken {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// ID tokens are handed to several waiters of one renewal.
impl Clone for IdTokenText {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
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
