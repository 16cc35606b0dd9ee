//! Names and kinds of keys.

use std::fmt;

use keyward_jose::Jwk;

/// Where keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// In files only their user may read.
    Software,
    /// In a TPM 2.0: they cannot leave the device.
    Tpm,
}

impl Protection {
    /// What names of its keys begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Software => "",
            Self::Tpm => "tpm-",
        }
    }
}

/// What a key is for. Each does one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs: ECDSA over P-256 with SHA-256 (ES256).
    Sign,
    /// Agrees on secrets: ECDH over P-256.
    Agree,
    /// Decrypts: RSA-2048 with OAEP.
    Decrypt,
    /// Derives keys: a symmetric secret that came from elsewhere, for HMAC-SHA256.
    Mac,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Sign, Self::Agree, Self::Decrypt, Self::Mac];

    /// What a key of this kind does, for messages.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Sign => "signing",
            Self::Agree => "key agreement",
            Self::Decrypt => "decryption",
            Self::Mac => "key derivation",
        }
    }
}

/// The hash function of an OAEP encryption, and of its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OaepHash {
    /// SHA-1, which Entra ID encrypts session keys with (`RSA-OAEP` of RFC 7518 §4.3).
    Sha1,
    /// SHA-256 (`RSA-OAEP-256` of RFC 7518 §4.3).
    Sha256,
}

/// The public half of a key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Of a P-256 key.
    P256(Jwk),
    /// Of an RSA key, big-endian without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// Names a key, and the provider that made it. No secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// 16 random bytes as the name of a new key.
    pub(crate) fn from_random(protection: Protection, bytes: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(bytes);
        Self(format!("{}{number:032x}", protection.prefix()))
    }

    /// Reads the name of a key: 32 lower-case hexadecimal digits, after `tpm-` if a TPM made it.
    /// Nothing that could be a path.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let tpm = Protection::Tpm.prefix();
        let digits = text.strip_prefix(tpm).unwrap_or(text);
        (digits.len() == 32 && digits.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which provider made the key, and alone can use it.
    pub fn protection(&self) -> Protection {
        if self.0.starts_with(Protection::Tpm.prefix()) {
            Protection::Tpm
        } else {
            Protection::Software
        }
    }

    /// The file it is kept in.
    pub(crate) fn file_name(&self) -> String {
        format!("{self}.key")
    }

    /// The key kept in a file of this name.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(".key")?)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_names_its_provider() {
        for protection in [Protection::Software, Protection::Tpm] {
            let id = KeyId::from_random(protection, [0xab; 16]);
            assert_eq!(id.protection(), protection);
            assert_eq!(KeyId::parse(id.as_str()), Some(id.clone()));
            assert_eq!(KeyId::of_file(&id.file_name()), Some(id));
        }
    }

    #[test]
    fn a_key_id_is_never_a_path() {
        for bad in [
            "",
            "../../etc/passwd",
            &"AB".repeat(16),
            &"a/".repeat(16),
            &"a".repeat(33),
            &format!("TPM-{}", "a".repeat(32)),
            &format!("tpm-tpm-{}", "a".repeat(32)),
            &format!("tpm-{}", "a".repeat(28)),
        ] {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }
}
