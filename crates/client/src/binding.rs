//! What ties a refresh token to this device, and where the key lives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What ties a refresh token to this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Binding {
    /// The authority refuses the refresh token without a proof by a key held on this device.
    #[serde(rename = "sender-constrained:dpop")]
    Dpop,
    /// As above, through Entra ID's Primary Refresh Token.
    #[serde(rename = "sender-constrained:primary-refresh-token")]
    PrimaryRefreshToken,
    /// As above, through Entra ID's bound application refresh tokens.
    #[serde(rename = "sender-constrained:bound-refresh-token")]
    BoundRefreshToken,
    /// The authority offers nothing better, or did not prove that it does: the refresh token
    /// never leaves the broker and is stored sealed.
    #[serde(rename = "sealed-at-rest")]
    SealedAtRest,
}

impl Binding {
    /// Every binding, strongest first.
    pub const ALL: [Self; 4] = [
        Self::BoundRefreshToken,
        Self::PrimaryRefreshToken,
        Self::Dpop,
        Self::SealedAtRest,
    ];

    /// The spelling in JSON, on the bus and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dpop => "sender-constrained:dpop",
            Self::PrimaryRefreshToken => "sender-constrained:primary-refresh-token",
            Self::BoundRefreshToken => "sender-constrained:bound-refresh-token",
            Self::SealedAtRest => "sealed-at-rest",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|binding| binding.as_str() == text)
    }

    /// Whether a stolen refresh token is useless without this device's key.
    pub const fn is_sender_constrained(self) -> bool {
        !matches!(self, Self::SealedAtRest)
    }
}

/// What has to tie a refresh token to this device, for whoever demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequiredBinding {
    /// The authority refuses it without a proof by a key of this device, whichever kind of proof
    /// that is ([`Binding::is_sender_constrained`]).
    SenderConstrained,
}

impl RequiredBinding {
    /// The spelling in JSON, on the bus and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SenderConstrained => "sender-constrained",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        (text == Self::SenderConstrained.as_str()).then_some(Self::SenderConstrained)
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the binding key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProtection {
    /// In a TPM 2.0: it cannot leave the device.
    Tpm,
    /// In a file only this user may read, sealed under the vault's key.
    Software,
}

impl KeyProtection {
    /// The spelling in JSON, on the bus and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::Software => "software",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tpm, Self::Software]
            .into_iter()
            .find(|p| p.as_str() == text)
    }
}

impl fmt::Display for KeyProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
