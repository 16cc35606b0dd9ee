//! Who and what a request is about: clients, accounts, tenants, correlation.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A client identifier (RFC 6749 §2.2), as registered at the authority. Never empty, no control
/// characters, at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ClientId(String);

impl ClientId {
    /// Parses a client identifier.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or holds characters RFC 6749 Appendix A.1 does not allow.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        printable("client_id", text, 512).map(Self)
    }

    /// The identifier as sent on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier of an account across tenants: `uid.utid` of Entra's `client_info`, or GUIDs
/// derived from issuer and subject for plain OpenID providers (`linux-broker-dbus.md` 6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HomeAccountId(String);

impl HomeAccountId {
    /// Joins the user's identifier in the home tenant and the home tenant's identifier.
    pub fn new(uid: &str, utid: &str) -> Self {
        Self(format!("{uid}.{utid}"))
    }

    /// Parses `uid.utid`.
    ///
    /// # Errors
    ///
    /// When it is not two non-empty printable parts around one dot.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        let text = printable("home_account_id", text, 512)?;
        match text.split_once('.') {
            Some((uid, utid)) if !uid.is_empty() && !utid.is_empty() => Ok(Self(text)),
            _ => Err(InvalidIdentifier {
                what: "home_account_id",
                why: "is not UID.UTID",
            }),
        }
    }

    /// The whole identifier, `uid.utid`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's identifier in the home tenant.
    pub fn uid(&self) -> &str {
        self.0
            .split_once('.')
            .map_or(self.0.as_str(), |(uid, _)| uid)
    }

    /// The home tenant's identifier.
    pub fn utid(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, utid)| utid)
    }
}

impl fmt::Display for HomeAccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ties log lines, requests and answers of one acquisition together (MSAL's `correlationId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(Uuid);

impl CorrelationId {
    /// A correlation id from 16 random bytes (version 4).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Parses a GUID in any of its usual spellings; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// An identifier that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct InvalidIdentifier {
    /// The parameter's name on the wire.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

fn printable(what: &'static str, text: &str, longest: usize) -> Result<String, InvalidIdentifier> {
    let why = if text.is_empty() {
        "is empty"
    } else if text.len() > longest {
        "is too long"
    } else if !text.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        "has characters outside printable ASCII"
    } else {
        return Ok(text.to_owned());
    };
    Err(InvalidIdentifier { what, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_account_id_has_two_parts() {
        let id = HomeAccountId::parse("u-1.t-1").unwrap();
        assert_eq!((id.uid(), id.utid()), ("u-1", "t-1"));
        for bad in ["", ".", "a.", ".b", "a", "a\n.b"] {
            assert!(HomeAccountId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_id_is_printable_ascii() {
        assert!(ClientId::parse("04b07795-8ddb-461a-bbee-02f9e1bf7b46").is_ok());
        for bad in ["", "a\0b", "ä"] {
            assert!(ClientId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
