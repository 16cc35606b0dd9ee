//! The closed list of signature algorithms (RFC 7518 §3.1, RFC 8037, RFC 9864).

use std::fmt;

/// A signature algorithm. There is no `none`, and no symmetric one: whoever can verify those can
/// also sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256; signatures are `r || s`, 64 bytes.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// EdDSA with Ed25519 (RFC 8037), which RFC 9864 names `Ed25519`.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, preferred first.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Ps256, Self::Rs256];

    /// The value of `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads a value of `alg`; `None` for every algorithm that is not on the list. Names are
    /// case-sensitive (RFC 7515 §4.1.1). `Ed25519` (RFC 9864) is read as [`EdDsa`](Self::EdDsa).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_algorithms_are_read() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
        for bad in ["none", "None", "", "HS256", "es256", "ES384", "RS1"] {
            assert_eq!(Algorithm::parse(bad), None, "{bad}");
        }
    }
}
