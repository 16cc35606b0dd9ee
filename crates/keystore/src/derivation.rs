//! NIST SP 800-108 in counter mode: what the pseudorandom function is applied to.

/// The one block of input for 256 bits of output: counter, label, separator, context, length
/// (SP 800-108 §4.1, both numbers as 32 bits).
pub(crate) fn block(label: &[u8], context: &[u8]) -> Vec<u8> {
    const FIRST: [u8; 4] = 1u32.to_be_bytes();
    const BITS: [u8; 4] = 256u32.to_be_bytes();
    [&FIRST, label, &[0], context, &BITS].concat()
}
