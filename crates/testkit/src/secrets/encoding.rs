//! The ways in which a secret may be written down by somebody who never meant to.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every encoding of a secret: as it is; as forms and URLs carry it (RFC 6749 Appendix B, in both
/// cases); base64 and base64url wherever it stands in the encoded text; UTF-16 in both orders;
/// hexadecimal in both cases; as Rust's `Debug` writes bytes. One that is no text also backwards, as
/// libraries keep numbers.
pub fn every(bytes: &[u8]) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let mut forms = vec![("as it is", bytes.to_vec())];
    let mut add = |encoding, form: Vec<u8>| {
        // Many secrets need no escaping, and then they are encoded as they are.
        if forms.iter().all(|(_, other)| *other != form) {
            forms.push((encoding, form));
        }
    };
    add(
        "percent-encoded",
        percent(bytes, |byte| format!("%{byte:02X}")),
    );
    add(
        "percent-encoded",
        percent(bytes, |byte| format!("%{byte:02x}")),
    );
    for aligned in aligned(bytes) {
        add("base64", STANDARD_NO_PAD.encode(aligned).into_bytes());
        add("base64url", URL_SAFE_NO_PAD.encode(aligned).into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let units: Vec<u16> = text.encode_utf16().collect();
        let written =
            |order: fn(u16) -> [u8; 2]| units.iter().flat_map(|unit| order(*unit)).collect();
        add("utf-16", written(u16::to_le_bytes));
        add("utf-16", written(u16::to_be_bytes));
    } else {
        add("backwards", bytes.iter().rev().copied().collect());
    }
    add(
        "hexadecimal",
        joined(bytes, "", |byte| format!("{byte:02x}")),
    );
    add(
        "hexadecimal",
        joined(bytes, "", |byte| format!("{byte:02X}")),
    );
    add("a list of bytes", joined(bytes, ", ", ToString::to_string));
    forms.into_iter()
}

/// The parts of the secret that are encoded alike whatever stands around it: three bytes become
/// four characters, so it depends on where the secret begins modulo three.
fn aligned(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..3).map(|before| {
        let rest = &bytes[before..];
        &rest[..rest.len() / 3 * 3]
    })
}

fn percent(bytes: &[u8], escaped: impl Fn(u8) -> String) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._*".contains(byte);
    joined(bytes, "", |byte| {
        if plain(byte) {
            char::from(*byte).to_string()
        } else {
            escaped(*byte)
        }
    })
}

fn joined(bytes: &[u8], between: &str, written: impl Fn(&u8) -> String) -> Vec<u8> {
    let written: Vec<_> = bytes.iter().map(written).collect();
    written.join(between).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0.AXoA~refresh+token/with==signs";

    #[test]
    fn base64_is_recognised_at_every_position() {
        for before in ["", "x", "xy", "xyz"] {
            let around = STANDARD_NO_PAD.encode(format!("{before}{SECRET} and more"));
            let found = every(SECRET.as_bytes()).any(|(encoding, form)| {
                encoding == "base64" && around.contains(std::str::from_utf8(&form).unwrap())
            });
            assert!(found, "after {before:?}");
        }
    }

    #[test]
    fn a_debugged_vector_is_recognised() {
        let shown = format!("{:?}", format!("x{SECRET}").into_bytes());
        let (_, form) = every(SECRET.as_bytes()).last().unwrap();
        assert!(shown.contains(std::str::from_utf8(&form).unwrap()));
    }

    #[test]
    fn a_key_is_recognised_in_the_order_in_which_libraries_calculate() {
        let key: Vec<u8> = (0x70..0x90).collect();
        let backwards: Vec<u8> = (0x70..0x90).rev().collect();
        assert!(every(&key).any(|(_, form)| form == backwards));
    }
}
