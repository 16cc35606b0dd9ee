//! A certificate for loopback (RFC 5280), signed with its own key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key and a certificate for it.
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    /// The private key.
    pub(crate) pkcs8: Vec<u8>,
}

impl Certificate {
    /// Makes a key, and a certificate that is good from the day before `now` for a year: longer
    /// than any session, shorter than what clients find suspicious.
    pub(crate) fn generate(now: SystemTime) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters(now)?.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            pkcs8: key.serialize_der(),
        })
    }
}

/// Signs no certificates, only for servers, only for loopback.
fn parameters(now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.not_before = (now - DAY).into();
    parameters.not_after = (now + 365 * DAY).into();
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "Keyward development authority");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    Ok(parameters)
}
