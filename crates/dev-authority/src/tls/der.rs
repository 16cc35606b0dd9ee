//! As much of DER (ITU-T X.690) as a certificate needs: values are written, never read.

/// A value that other values are part of.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// A set with these parts, of which there must be one: DER sorts several.
pub(crate) fn set_of_one(part: &[u8]) -> Vec<u8> {
    tagged(0x31, part)
}

/// An integer that is not negative, octets in network order.
pub(crate) fn unsigned(octets: &[u8]) -> Vec<u8> {
    let octets = without_zeros(octets);
    // A leading bit that is set would make it negative.
    let negative = octets.first().is_some_and(|first| *first >= 0x80);
    let sign: &[u8] = if negative { &[0] } else { &[] };
    tagged(0x02, &[sign, octets].concat())
}

/// An object identifier, given as its encoded octets.
pub(crate) fn oid(encoded: &[u8]) -> Vec<u8> {
    tagged(0x06, encoded)
}

/// `TRUE`.
pub(crate) fn yes() -> Vec<u8> {
    tagged(0x01, &[0xff])
}

/// A string of whole octets as bits.
pub(crate) fn bits(octets: &[u8]) -> Vec<u8> {
    tagged(0x03, &[&[0], octets].concat())
}

/// The bit string in which only the first bit is set.
pub(crate) fn first_bit() -> Vec<u8> {
    tagged(0x03, &[7, 0x80])
}

/// A string of octets.
pub(crate) fn octets(octets: &[u8]) -> Vec<u8> {
    tagged(0x04, octets)
}

/// Text.
pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tagged(0x0c, text.as_bytes())
}

/// A time, `YYYYMMDDhhmmssZ`.
pub(crate) fn generalized_time(text: &str) -> Vec<u8> {
    tagged(0x18, text.as_bytes())
}

/// A time before 2050, `YYMMDDhhmmssZ`.
pub(crate) fn utc_time(text: &str) -> Vec<u8> {
    tagged(0x17, text.as_bytes())
}

/// A primitive value with a context-specific tag.
pub(crate) fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0x80 | number, content)
}

/// A constructed value with a context-specific tag.
pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0xa0 | number, content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag], &*length(content.len()), content].concat()
}

/// Lengths below 128 are one octet; others say first how many octets they take.
fn length(length: usize) -> Vec<u8> {
    if let Ok(short @ ..0x80) = u8::try_from(length) {
        return vec![short];
    }
    let octets = length.to_be_bytes();
    let octets = without_zeros(&octets);
    let count = u8::try_from(octets.len()).unwrap_or(u8::MAX);
    [&[0x80 | count], octets].concat()
}

/// Octets in network order without those that add nothing; the last one stays.
fn without_zeros(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| *octet != 0);
    let start = start.unwrap_or(octets.len().saturating_sub(1));
    octets.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_signs_are_as_x_690_wants_them() {
        assert_eq!(octets(&[7; 3]), [0x04, 3, 7, 7, 7]);
        assert_eq!(octets(&[0; 0x7f])[..2], [0x04, 0x7f]);
        assert_eq!(octets(&[0; 0x80])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(octets(&[0; 0x1_02])[..4], [0x04, 0x82, 1, 2]);
        assert_eq!(unsigned(&[0, 0, 0x7f]), [0x02, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [0x02, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0]), [0x02, 1, 0]);
    }
}
