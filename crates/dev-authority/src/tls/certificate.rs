//! A certificate for loopback (RFC 5280), signed with its own key.

use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_oauth::time::UnixTime;

use super::der;
use crate::calendar::certificate_date;
use crate::random;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key and a certificate for it.
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// The private key.
    pub(crate) pkcs8: Vec<u8>,
}

impl Certificate {
    /// Makes a key, and a certificate that is good from the day before `now` for a year: longer
    /// than any session, shorter than what clients find suspicious.
    pub(crate) fn generate(now: UnixTime) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .map_err(|_| Unspecified)?;
        let unsigned = to_be_signed(pair.public_key().as_ref(), now);
        let signature = pair.sign(&random, &unsigned)?;
        let der = der::sequence(&[
            &unsigned,
            &signature_algorithm(),
            &der::bits(signature.as_ref()),
        ]);
        Ok(Self {
            der,
            pkcs8: pkcs8.as_ref().to_vec(),
        })
    }

    /// The certificate as text (RFC 7468 §5).
    pub(crate) fn pem(&self) -> String {
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        // 48 octets are the 64 characters of a line.
        for line in self.der.chunks(48) {
            pem += &STANDARD.encode(line);
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }
}

/// `TBSCertificate` (§4.1.2).
fn to_be_signed(public_key: &[u8], now: UnixTime) -> Vec<u8> {
    let version_3 = der::explicit(0, &der::unsigned(&[2]));
    let serial = der::unsigned(&random::octets::<16>());
    let validity = der::sequence(&[&date(now.minus(DAY)), &date(now.plus(365 * DAY))]);
    let name = name("Keyward development authority");
    der::sequence(&[
        &version_3,
        &serial,
        &signature_algorithm(),
        &name,
        &validity,
        &name,
        &public_key_info(public_key),
        &der::explicit(3, &extensions()),
    ])
}

/// ecdsa-with-SHA256 (RFC 5758 §3.2).
fn signature_algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])])
}

/// A name of one part, `commonName`.
fn name(text: &str) -> Vec<u8> {
    let common_name = der::oid(&[0x55, 0x04, 0x03]);
    let part = der::sequence(&[&common_name, &der::utf8(text)]);
    der::sequence(&[&der::set_of_one(&part)])
}

/// §4.1.2.5: dates from 2050 on have four digits for the year, earlier ones two.
fn date(time: UnixTime) -> Vec<u8> {
    let date = certificate_date(time);
    match date.strip_prefix("20") {
        Some(short) if short < "50" => der::utc_time(short),
        _ => der::generalized_time(&date),
    }
}

/// A point on P-256 (RFC 5480 §2.1.1).
fn public_key_info(point: &[u8]) -> Vec<u8> {
    let ec_public_key = der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    let prime256v1 = der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    let algorithm = der::sequence(&[&ec_public_key, &prime256v1]);
    der::sequence(&[&algorithm, &der::bits(point)])
}

/// §4.2.1: signs no certificates, only for servers, only for loopback.
fn extensions() -> Vec<u8> {
    let critical = |id: u8, value: &[u8]| {
        der::sequence(&[
            &der::oid(&[0x55, 0x1d, id]),
            &der::yes(),
            &der::octets(value),
        ])
    };
    let other =
        |id: u8, value: &[u8]| der::sequence(&[&der::oid(&[0x55, 0x1d, id]), &der::octets(value)]);
    let server_auth = der::oid(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]);
    let mut v6_loopback = [0; 16];
    v6_loopback[15] = 1;
    let names = der::sequence(&[
        &der::implicit(2, b"localhost"),
        &der::implicit(7, &[127, 0, 0, 1]),
        &der::implicit(7, &v6_loopback),
    ]);
    der::sequence(&[
        &critical(BASIC_CONSTRAINTS, &der::sequence(&[])),
        &critical(KEY_USAGE, &der::first_bit()), // digitalSignature
        &other(EXTENDED_KEY_USAGE, &der::sequence(&[&server_auth])),
        &other(SUBJECT_ALT_NAME, &names),
    ])
}

const KEY_USAGE: u8 = 15;
const SUBJECT_ALT_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const EXTENDED_KEY_USAGE: u8 = 37;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_short_until_2049_and_long_from_2050_on() {
        let at = |seconds| date(UnixTime::from_secs(seconds));
        assert_eq!(at(1_735_689_599)[2..], *b"241231235959Z");
        assert_eq!(at(2_524_607_999)[2..], *b"491231235959Z");
        assert_eq!(at(2_524_608_000)[2..], *b"20500101000000Z");
    }
}
