//! Public halves out of public areas.

use keyward_jose::Jwk;
use tss_esapi::structures::Public;
use tss_esapi::traits::UnMarshall;

use crate::PublicKey;

/// Length of a coordinate of P-256.
const COORDINATE: usize = 32;

/// The public key in a marshalled public area. `None` for anything but P-256 and RSA.
pub(super) fn key_of(area: &[u8]) -> Option<PublicKey> {
    match Public::unmarshall(area).ok()? {
        Public::Ecc { unique, .. } => {
            let point = uncompressed(unique.x().value(), unique.y().value())?;
            Jwk::p256(&point).ok().map(PublicKey::P256)
        }
        Public::Rsa {
            parameters, unique, ..
        } => {
            // Zero stands for 65537 (TPM 2.0 Library, part 2, §12.2.3.5).
            let exponent = match parameters.exponent().value() {
                0 => 65537,
                other => other,
            };
            let e = exponent.to_be_bytes();
            let leading = e.iter().take_while(|byte| **byte == 0).count();
            Some(PublicKey::Rsa {
                n: unique.value().to_vec(),
                e: e[leading..].to_vec(),
            })
        }
        Public::KeyedHash { .. } | Public::SymCipher { .. } => None,
    }
}

/// `04 || x || y`. A TPM may leave leading zeros of a coordinate away.
fn uncompressed(x: &[u8], y: &[u8]) -> Option<[u8; 65]> {
    let mut point = [0; 65];
    point[0] = 4;
    point[1..33].copy_from_slice(&padded(x)?);
    point[33..].copy_from_slice(&padded(y)?);
    Some(point)
}

/// A number of at most 256 bits with its leading zeros. `None` when it is longer.
pub(super) fn padded(number: &[u8]) -> Option<[u8; COORDINATE]> {
    let mut whole = [0; COORDINATE];
    let start = COORDINATE.checked_sub(number.len())?;
    whole[start..].copy_from_slice(number);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_zeros_come_back() {
        let mut expected = [0; 32];
        expected[31] = 7;
        assert_eq!(padded(&[7]), Some(expected));
        assert_eq!(padded(&[]), Some([0; 32]));
        assert_eq!(padded(&[1; 33]), None);
    }

    proptest! {
        #[test]
        fn no_area_makes_reading_panic(area in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = key_of(&area);
        }

        #[test]
        fn no_area_that_begins_like_one_makes_reading_panic(
            algorithm in prop::sample::select(vec![0x01u8, 0x08, 0x23, 0x25]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = key_of(&[&[0, algorithm, 0, 0x0b], rest.as_slice()].concat());
        }
    }
}
