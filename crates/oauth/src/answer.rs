//! JSON answers of an authority, read member by member.
//!
//! Strings are moved out, not copied, so a token exists once. `null` counts as absent, unknown
//! members are ignored, and numbers may arrive as strings (`device-binding.md` 2.3, 4.3).

use std::time::Duration;

use keyward_jose::json;
use serde_json::{Map, Value};

/// The members of one JSON object.
pub(crate) struct Answer(Map<String, Value>);

impl Answer {
    /// Parses a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InvalidAnswer> {
        json::parse_object(body)
            .map(Self)
            .map_err(|_| InvalidAnswer::NotJson)
    }

    /// A string, moved out. Empty strings count as absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, InvalidAnswer> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidAnswer::Malformed(name)),
        }
    }

    /// A string that must be there.
    pub(crate) fn required(&mut self, name: &'static str) -> Result<String, InvalidAnswer> {
        self.text(name)?.ok_or(InvalidAnswer::Missing(name))
    }

    /// A number of seconds, as a number or as a string of digits; fractions are dropped.
    pub(crate) fn seconds(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Duration>, InvalidAnswer> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole_number(&value)
                .map(|seconds| Some(Duration::from_secs(seconds)))
                .ok_or(InvalidAnswer::Malformed(name)),
        }
    }

    /// A list of numbers; whatever is not one is left out.
    pub(crate) fn numbers(&mut self, name: &str) -> Vec<u64> {
        match self.0.remove(name) {
            Some(Value::Array(items)) => items.iter().filter_map(whole_number).take(32).collect(),
            _ => Vec::new(),
        }
    }

    /// A list of strings; `None` when the member is not a list. Other items are left out.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        match self.0.remove(name) {
            Some(Value::Array(items)) => Some(
                items
                    .into_iter()
                    .filter_map(|item| match item {
                        Value::String(text) => Some(text),
                        _ => None,
                    })
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Whether a member is `true`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        matches!(self.0.remove(name), Some(Value::Bool(true)))
    }
}

/// A number that is not negative, or the digits of one in a string.
fn whole_number(value: &Value) -> Option<u64> {
    // Seconds beyond a double's exact range are no lifetime of anything.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64().filter(|n| (0.0..=LARGEST).contains(n))?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above
            Some(number as u64)
        }),
        _ => None,
    }
}

/// How an answer breaks the protocol. Holds none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// Not a JSON object with distinct members.
    #[error("the answer is not a JSON object with distinct members")]
    NotJson,
    /// A member that must be there is not.
    #[error("the answer lacks {0}")]
    Missing(&'static str),
    /// A member is of the wrong type or form.
    #[error("{0} of the answer is malformed")]
    Malformed(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_numbers_and_strings() {
        let text = br#"{"a":3599,"b":"3599","c":3599.9,"d":null,"e":-1,"f":"x","g":1e300,"h":[]}"#;
        let mut answer = Answer::parse(text).unwrap();
        let hour = Some(Duration::from_secs(3599));
        for name in ["a", "b", "c"] {
            assert_eq!(answer.seconds(name), Ok(hour), "{name}");
        }
        assert_eq!(answer.seconds("d"), Ok(None));
        for name in ["e", "f", "g", "h"] {
            assert_eq!(answer.seconds(name), Err(InvalidAnswer::Malformed(name)));
        }
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        let mut answer = Answer::parse(br#"{"a":null,"b":"","c":1}"#).unwrap();
        assert_eq!(answer.text("a"), Ok(None));
        assert_eq!(answer.text("b"), Ok(None));
        assert_eq!(answer.text("c"), Err(InvalidAnswer::Malformed("c")));
        assert_eq!(answer.required("d"), Err(InvalidAnswer::Missing("d")));
    }
}
