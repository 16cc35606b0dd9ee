//! Reads JSON the way its many senders write it: numbers as texts, texts as numbers, `null`, `""`
//! and missing for "none".

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text; empty counts as none, numbers and flags as their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn owned(&self) -> Option<String> {
        self.get().map(str::to_owned)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text((!text.is_empty()).then_some(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text((!text.is_empty()).then_some(Cow::Owned(text))))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Text(None))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                self.visit_string(flag.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_string(number.to_string())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_string(number.to_string())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                self.visit_string(number.to_string())
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A whole number, or a text of digits; a fraction is cut off. Anything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) Option<i64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(i64::try_from(number).ok()))
            }

            #[expect(clippy::cast_possible_truncation, reason = "a fraction is cut off")]
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number.is_finite().then_some(number as i64)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                let digits = text.trim().split('.').next().unwrap_or_default();
                Ok(Number(digits.parse().ok()))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Number, M::Error> {
                IgnoredAny::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Number(None))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<Number, S::Error> {
                IgnoredAny::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Number(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// An object; anything else is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<Self::Value, S::Error> {
                IgnoredAny::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Object(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Object(None))
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// An object that must not be overlooked: `null`, `""` and missing are none, anything else that is
/// no object was meant to say something and is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Given<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Given(Some(value)))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Given(None))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.is_empty() {
                    Ok(Given(None))
                } else {
                    Err(E::custom("a text where an object belongs"))
                }
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// A list of texts, or one text with spaces between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Words, S::Error> {
                let mut words = String::new();
                while let Some(text) = seq.next_element::<Text<'_>>()? {
                    if let Some(text) = text.get() {
                        if !words.is_empty() {
                            words.push(' ');
                        }
                        words.push_str(text);
                    }
                }
                Ok(Words(words))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words(text.to_owned()))
            }

            fn visit_unit<E: Error>(self) -> Result<Words, E> {
                Ok(Words::default())
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// JSON as a text, given as a text or as an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonText(pub(crate) Option<String>);

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = JsonText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON or a text of JSON")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonText, E> {
                Ok(JsonText((!text.is_empty()).then(|| text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<JsonText, E> {
                Ok(JsonText(None))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<JsonText, M::Error> {
                let object = serde_json::Map::deserialize(MapAccessDeserializer::new(map))?;
                if object.is_empty() {
                    return Ok(JsonText(None));
                }
                let text = serde_json::to_string(&object).map_err(M::Error::custom)?;
                Ok(JsonText(Some(text)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A map of texts; entries of any other kind are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries: Object<BTreeMap<String, Text<'de>>> = Object::deserialize(deserializer)?;
        let entries = entries.0.unwrap_or_default();
        Ok(Self(
            entries
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.owned()?)))
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_many_shapes() {
        for (json, text) in [
            (r#""a""#, Some("a")),
            (r#""ä""#, Some("ä")),
            (r#""\u0041""#, Some("A")),
            (r#""""#, None),
            ("null", None),
            ("12", Some("12")),
            ("true", Some("true")),
        ] {
            let read: Text<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(read.get(), text, "{json}");
        }
        assert!(serde_json::from_str::<Text<'_>>("[]").is_err());
    }

    #[test]
    fn numbers_come_in_many_shapes() {
        for (json, number) in [
            ("12", Some(12)),
            (r#""12""#, Some(12)),
            ("12.9", Some(12)),
            (r#""12.9""#, Some(12)),
            ("-1", Some(-1)),
            ("null", None),
            (r#""""#, None),
            ("{}", None),
            ("[1]", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("18446744073709551615", None),
        ] {
            let read: Number = serde_json::from_str(json).unwrap();
            assert_eq!(read.0, number, "{json}");
        }
    }

    #[test]
    fn only_an_object_is_an_object() {
        for (json, number) in [
            (r#"{"n":1}"#, Some(1)),
            ("null", None),
            (r#""""#, None),
            ("0", None),
            ("[]", None),
            ("false", None),
        ] {
            let read: Object<BTreeMap<String, i32>> = serde_json::from_str(json).unwrap();
            assert_eq!(read.0.map(|map| map["n"]), number, "{json}");
        }
    }

    #[test]
    fn what_must_not_be_overlooked_is_an_object_or_nothing() {
        type Numbers = Given<BTreeMap<String, i32>>;
        for (json, number) in [(r#"{"n":1}"#, Some(1)), ("null", None), (r#""""#, None)] {
            let read: Numbers = serde_json::from_str(json).unwrap();
            assert_eq!(read.0.map(|map| map["n"]), number, "{json}");
        }
        for json in [
            r#""x""#, "0", "1", "-1", "1.5", "[]", "[1]", "true", "false",
        ] {
            assert!(serde_json::from_str::<Numbers>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn scopes_and_claims_come_in_two_shapes() {
        let words = |json| serde_json::from_str::<Words>(json).unwrap().0;
        assert_eq!(words(r#"["a","","b"]"#), "a b");
        assert_eq!(words(r#""a b""#), "a b");
        assert_eq!(words("null"), "");
        let claims = |json| serde_json::from_str::<JsonText>(json).unwrap().0;
        assert_eq!(claims(r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(claims(r#""{\"a\":1}""#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(claims(r#""""#), None);
    }
}
