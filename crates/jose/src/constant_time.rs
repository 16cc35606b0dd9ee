//! Comparison that does not tell, by its duration, where two values differ.

/// Whether two values are equal. Only their lengths may show in the time it takes.
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn only_the_same_octets_are_equal() {
        assert!(equal(b"", b"") && equal(b"state", b"state"));
        assert!(!equal(b"state", b"stat") && !equal(b"state", b"statE"));
    }
}
