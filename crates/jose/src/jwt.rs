//! JSON Web Token claims and their time checks (RFC 7519 §4.1).

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::json;
use crate::time::UnixTime;

/// A JWT claims set. Claims name people, so `Debug` shows only which there are.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Parses a claims set.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object with distinct members.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidClaims> {
        json::parse_object(text)
            .map(Self)
            .map_err(|_| InvalidClaims::NotAnObject)
    }

    /// Any claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that must be a string when it is there.
    ///
    /// # Errors
    ///
    /// When it is there and no string.
    pub fn string(&self, name: &'static str) -> Result<Option<&str>, InvalidClaims> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidClaims::Malformed(name)),
        }
    }

    /// A claim that must be there and a string.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn required(&self, name: &'static str) -> Result<&str, InvalidClaims> {
        self.string(name)?.ok_or(InvalidClaims::Missing(name))
    }

    /// A `NumericDate` (RFC 7519 §2); fractions of a second are dropped.
    ///
    /// # Errors
    ///
    /// When it is there and no number of seconds since the epoch.
    pub fn time(&self, name: &'static str) -> Result<Option<UnixTime>, InvalidClaims> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => numeric_date(value)
                .map(Some)
                .ok_or(InvalidClaims::Malformed(name)),
        }
    }

    /// `aud` (RFC 7519 §4.1.3): one string, or an array of strings.
    ///
    /// # Errors
    ///
    /// When it is there and neither.
    pub fn audience(&self) -> Result<Vec<&str>, InvalidClaims> {
        let malformed = InvalidClaims::Malformed("aud");
        match self.0.get("aud") {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(many)) => many
                .iter()
                .map(|aud| aud.as_str().ok_or(malformed))
                .collect(),
            Some(_) => Err(malformed),
        }
    }

    /// Checks `exp`, which must be there, and `nbf`, which need not (RFC 7519 §4.1.4, §4.1.5).
    /// `leeway` is granted to the clocks on both ends.
    ///
    /// # Errors
    ///
    /// When the token is over, or not yet valid.
    pub fn check_lifetime(&self, now: UnixTime, leeway: Duration) -> Result<(), InvalidClaims> {
        let expires = self.time("exp")?.ok_or(InvalidClaims::Missing("exp"))?;
        if now >= expires.plus(leeway) {
            return Err(InvalidClaims::Expired);
        }
        match self.time("nbf")? {
            Some(not_before) if not_before > now.plus(leeway) => Err(InvalidClaims::NotYetValid),
            _ => Ok(()),
        }
    }

    /// Checks that the time in `name` (`iat`, or `ts` of a signed HTTP request) is there, not
    /// before `now - oldest` and not after `now + leeway`.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check_recent(
        &self,
        name: &'static str,
        now: UnixTime,
        oldest: Duration,
        leeway: Duration,
    ) -> Result<(), InvalidClaims> {
        let made = self.time(name)?.ok_or(InvalidClaims::Missing(name))?;
        if made > now.plus(leeway) {
            Err(InvalidClaims::NotYetValid)
        } else if made < now.minus(oldest) {
            Err(InvalidClaims::Expired)
        } else {
            Ok(())
        }
    }

    /// All claims.
    pub fn into_members(self) -> Map<String, Value> {
        self.0
    }
}

/// Seconds since the epoch, whole or with a fraction; never negative.
fn numeric_date(value: &Value) -> Option<UnixTime> {
    // The largest number of seconds a double counts exactly; years beyond 285 million.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if let Some(seconds) = value.as_u64() {
        return Some(UnixTime::from_secs(seconds));
    }
    let seconds = value.as_f64().filter(|s| (0.0..=LARGEST).contains(s))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 2^53, checked above
    Some(UnixTime::from_secs(seconds as u64))
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why claims cannot be used. Never holds a claim's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaims {
    /// Not a JSON object with distinct members.
    #[error("the claims are not a JSON object with distinct members")]
    NotAnObject,
    /// A claim that must be there is not.
    #[error("the claim {0} is missing")]
    Missing(&'static str),
    /// A claim is of another type than its definition says.
    #[error("the claim {0} is malformed")]
    Malformed(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come; a clock may be wrong.
    #[error("the token is not valid yet")]
    NotYetValid,
}

#[cfg(test)]
mod tests;
