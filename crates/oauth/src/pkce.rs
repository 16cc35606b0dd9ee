//! Proof Key for Code Exchange (RFC 7636), method S256 only.

use keyward_jose::{base64url, digest};

use crate::secret::CodeVerifier;

/// The only `code_challenge_method` we use; `plain` protects nothing.
pub const METHOD: &str = "S256";

/// A code verifier from 32 random octets: 43 characters (RFC 7636 §4.1).
pub fn verifier(random: [u8; 32]) -> CodeVerifier {
    CodeVerifier::new(base64url::encode(&random))
}

/// `BASE64URL(SHA256(ASCII(code_verifier)))` (RFC 7636 §4.2).
pub fn challenge(verifier: &CodeVerifier) -> String {
    base64url::encode(&digest::sha256(verifier.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b() {
        let random = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = verifier(random);
        assert_eq!(
            verifier.expose_secret(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(
            challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn another_verifier_has_another_challenge() {
        assert_ne!(challenge(&verifier([0; 32])), challenge(&verifier([1; 32])));
    }
}
