//! JWK Sets (RFC 7517 §5).

use serde::Serialize;
use serde_json::Value;

use super::{InvalidJwk, Jwk};
use crate::json;

/// The most keys read from one set.
const MOST_KEYS: usize = 100;

/// The public keys of an authority, as its `jwks_uri` lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// A set of these keys.
    pub fn new(keys: Vec<Jwk>) -> Self {
        Self { keys }
    }

    /// Parses a JWK Set. Keys we cannot use are left out (RFC 7517 §5), so the set may be empty.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object with an array `keys` of at most 100 items.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJwk> {
        let members = json::parse_object(text).map_err(|_| InvalidJwk::NotAnObject)?;
        let keys = members
            .get("keys")
            .and_then(Value::as_array)
            .filter(|keys| keys.len() <= MOST_KEYS)
            .ok_or(InvalidJwk::Member("keys"))?;
        Ok(Self {
            keys: keys
                .iter()
                .filter_map(|key| Jwk::from_value(key).ok())
                .collect(),
        })
    }

    /// The keys, in the set's order.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }
}
