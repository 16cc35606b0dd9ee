//! The JOSE header (RFC 7515 §4).

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::JwsError;
use crate::algorithm::Algorithm;
use crate::json;
use crate::jwk::Jwk;

/// A JOSE header: the members we use by name, all others kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    alg: Algorithm,
    typ: Option<String>,
    kid: Option<String>,
    jwk: Option<Jwk>,
    others: Map<String, Value>,
}

impl Header {
    /// A header with only `alg`.
    pub fn new(alg: Algorithm) -> Self {
        Self {
            alg,
            typ: None,
            kid: None,
            jwk: None,
            others: Map::new(),
        }
    }

    /// Adds `typ` (RFC 7515 §4.1.9).
    #[must_use]
    pub fn with_typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = Some(typ.into());
        self
    }

    /// Adds `kid` (RFC 7515 §4.1.4).
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Adds the public key itself, `jwk` (RFC 7515 §4.1.3), without `kid`, `alg` and `use`.
    #[must_use]
    pub fn with_jwk(mut self, jwk: &Jwk) -> Self {
        self.jwk = Some(jwk.bare());
        self
    }

    /// Adds another member. One of the names above is ignored here.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Value) -> Self {
        let name = name.into();
        if !NAMED.contains(&name.as_str()) {
            self.others.insert(name, value);
        }
        self
    }

    /// Parses the header's JSON.
    ///
    /// # Errors
    ///
    /// When it is not an object with distinct members, names an unlisted algorithm, has `crit`, or
    /// carries an unusable `jwk`.
    pub fn parse(text: &[u8]) -> Result<Self, JwsError> {
        let mut members = json::parse_object(text).map_err(|_| JwsError::Header)?;
        if members.contains_key("crit") {
            return Err(JwsError::Critical);
        }
        let alg = string(&mut members, "alg")?.ok_or(JwsError::Header)?;
        let jwk = members.remove("jwk");
        Ok(Self {
            alg: Algorithm::parse(&alg).ok_or(JwsError::Algorithm)?,
            typ: string(&mut members, "typ")?,
            kid: string(&mut members, "kid")?,
            jwk: jwk
                .map(|jwk| Jwk::from_value(&jwk))
                .transpose()
                .map_err(|_| JwsError::Header)?,
            others: members,
        })
    }

    /// The signature's algorithm.
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The type of the whole JWS, as written.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// Whether `typ` is this media type: without regard to case and to a leading `application/`
    /// (RFC 7515 §4.1.9).
    pub fn has_typ(&self, wanted: &str) -> bool {
        self.typ.as_deref().is_some_and(|typ| {
            let bare = match typ.get(..12) {
                Some(prefix) if prefix.eq_ignore_ascii_case("application/") => &typ[12..],
                _ => typ,
            };
            bare.eq_ignore_ascii_case(wanted)
        })
    }

    /// The id of the key that signed.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key that signed, as the signer claims. Proves possession, not identity.
    pub fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// Any other member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.others.get(name)
    }

    /// The header's JSON: `typ`, `alg`, `kid`, `jwk`, then the others by name.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and JSON values always serialise; an empty header would verify nowhere.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The members with a field of their own.
const NAMED: [&str; 5] = ["alg", "typ", "kid", "jwk", "crit"];

fn string(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, JwsError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::Header),
    }
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(typ) = &self.typ {
            map.serialize_entry("typ", typ)?;
        }
        map.serialize_entry("alg", self.alg.as_str())?;
        if let Some(kid) = &self.kid {
            map.serialize_entry("kid", kid)?;
        }
        if let Some(jwk) = &self.jwk {
            map.serialize_entry("jwk", jwk)?;
        }
        for (name, value) in &self.others {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
