//! Comparing secrets.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use keyward_jose::digest::sha256;

/// Whether two secrets are equal, in a time that depends on neither: digests are compared, so not
/// even the length shows.
pub(crate) fn equal(known: &str, given: &str) -> bool {
    verify_slices_are_equal(&sha256(known.as_bytes()), &sha256(given.as_bytes())).is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_equal_secrets_are_equal() {
        assert!(super::equal("secret", "secret"));
        assert!(!super::equal("secret", "secreT") && !super::equal("secret", ""));
    }
}
