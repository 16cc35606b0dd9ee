//! Reading a JWK from JSON (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).

use serde_json::{Map, Value};

use super::{InvalidJwk, Jwk, LONGEST_MODULUS};
use crate::algorithm::Algorithm;
use crate::base64url;
use crate::json;

/// The longest `kid` read, in bytes.
const LONGEST_KID: usize = 512;
/// Members that only private or symmetric keys have (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl Jwk {
    /// Parses a JWK from JSON text.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or not a public signature key we can use.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJwk> {
        let members = json::parse_object(text).map_err(|_| InvalidJwk::NotAnObject)?;
        Self::from_members(&members)
    }

    /// Reads a JWK that is a member of some other JSON: `jwk` of a header, `cnf.jwk` of a claim.
    ///
    /// # Errors
    ///
    /// When it is not a public signature key we can use.
    pub fn from_value(value: &Value) -> Result<Self, InvalidJwk> {
        let members = value.as_object().ok_or(InvalidJwk::NotAnObject)?;
        Self::from_members(members)
    }

    fn from_members(members: &Map<String, Value>) -> Result<Self, InvalidJwk> {
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return Err(InvalidJwk::Private);
        }
        let key = match (
            text(members, "kty")?,
            members.get("crv").and_then(Value::as_str),
        ) {
            ("EC", Some("P-256")) => {
                let (x, y) = (coordinate(members, "x")?, coordinate(members, "y")?);
                Self::p256(&[&[4], &x[..], &y[..]].concat())?
            }
            ("OKP", Some("Ed25519")) => Self::ed25519(&coordinate(members, "x")?)?,
            ("RSA", None) => Self::rsa(
                &octets(members, "n", LONGEST_MODULUS)?,
                &octets(members, "e", 5)?,
            )?,
            _ => return Err(InvalidJwk::UnknownType),
        };
        key.with_metadata(members)
    }

    /// Reads the members every kind of key has (RFC 7517 §4).
    fn with_metadata(mut self, members: &Map<String, Value>) -> Result<Self, InvalidJwk> {
        if members.contains_key("use") {
            if text(members, "use")? != "sig" {
                return Err(InvalidJwk::NotForSignatures);
            }
            self.signature_use = true;
        }
        if let Some(operations) = members.get("key_ops") {
            let operations = operations.as_array().ok_or(InvalidJwk::Member("key_ops"))?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(InvalidJwk::NotForSignatures);
            }
        }
        if members.contains_key("alg") {
            let alg = Algorithm::parse(text(members, "alg")?).ok_or(InvalidJwk::UnknownType)?;
            if !self.fits(alg) {
                return Err(InvalidJwk::Member("alg"));
            }
            self.alg = Some(alg);
        }
        if members.contains_key("kid") {
            let kid = text(members, "kid")?;
            if kid.len() > LONGEST_KID {
                return Err(InvalidJwk::Member("kid"));
            }
            self.kid = Some(kid.to_owned());
        }
        Ok(self)
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, InvalidJwk> {
    members
        .get(name)
        .and_then(Value::as_str)
        .ok_or(InvalidJwk::Member(name))
}

fn octets(
    members: &Map<String, Value>,
    name: &'static str,
    longest: usize,
) -> Result<Vec<u8>, InvalidJwk> {
    let octets = base64url::decode(text(members, name)?).map_err(|_| InvalidJwk::Member(name))?;
    if octets.len() > longest {
        return Err(InvalidJwk::Member(name));
    }
    Ok(octets)
}

/// Exactly 32 octets; leading zeros are kept (RFC 7518 §6.2.1.2).
fn coordinate(members: &Map<String, Value>, name: &'static str) -> Result<[u8; 32], InvalidJwk> {
    octets(members, name, 32)?
        .try_into()
        .map_err(|_| InvalidJwk::Member(name))
}
