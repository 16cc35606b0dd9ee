//! Base64url without padding (RFC 7515 §2), read strictly: one text per value.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes octets, without padding.
pub fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Decodes text. Padding, white space, the ordinary base64 alphabet and non-zero trailing bits
/// are refused, so no two texts stand for the same octets.
///
/// # Errors
///
/// When the text is not the one canonical encoding of some octets.
pub fn decode(text: &str) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64Url)
}

/// Text that is not canonical base64url without padding. Says nothing about the text, which may
/// be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not base64url without padding")]
pub struct NotBase64Url;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7515_appendix_c() {
        assert_eq!(encode(&[3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(decode("A-z_4ME"), Ok(vec![3, 236, 255, 224, 193]));
    }

    #[test]
    fn only_the_canonical_encoding_is_read() {
        for bad in [
            "A",
            "AB",
            "A-z_4MF",
            "A-z_4ME=",
            "A+z/4ME",
            "A-z_ 4ME",
            "A-z_4ME\n",
            "ä",
        ] {
            assert_eq!(decode(bad), Err(NotBase64Url), "{bad:?}");
        }
    }
}
