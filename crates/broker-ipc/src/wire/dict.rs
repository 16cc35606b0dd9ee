//! `a{sv}` as it is read and written: without copies of texts, in the order of the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use zbus::wire::Signature;
use zbus::{Array, Str, Type, Variant};

use super::WireError;

/// A dictionary as received. Keys that occur twice: the first one counts.
#[derive(Debug)]
pub(crate) struct Dict<'a>(Vec<(&'a str, Variant<'a>)>);

impl<'a> Dict<'a> {
    /// A dictionary inside a variant.
    fn nested(key: &'static str, value: &'a Variant<'a>) -> Result<Self, WireError> {
        let Variant::Dict(dict) = value else {
            return Err(WireError::Type(key, "a{sv}"));
        };
        let mut entries = Vec::new();
        for (name, value) in dict.iter() {
            let Variant::Str(name) = name else {
                return Err(WireError::Type(key, "a{sv}"));
            };
            entries.push((name.as_str(), borrow(value)?));
        }
        Ok(Self(entries))
    }

    fn get(&self, key: &str) -> Option<&Variant<'a>> {
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// A text that may be missing.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&str>, WireError> {
        match self.get(key) {
            None => Ok(None),
            Some(Variant::Str(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(WireError::Type(key, "s")),
        }
    }

    /// A text that must be there.
    pub(crate) fn require_text(&self, key: &'static str) -> Result<&str, WireError> {
        self.text(key)?.ok_or(WireError::Missing(key))
    }

    /// A text that may be missing, owned.
    pub(crate) fn owned_text(&self, key: &'static str) -> Result<Option<String>, WireError> {
        Ok(self.text(key)?.map(str::to_owned))
    }

    /// A flag; missing means no.
    pub(crate) fn flag(&self, key: &'static str) -> Result<bool, WireError> {
        match self.get(key) {
            None => Ok(false),
            Some(Variant::Bool(flag)) => Ok(*flag),
            Some(_) => Err(WireError::Type(key, "b")),
        }
    }

    /// A number that may be missing, of any integer type that is not negative.
    pub(crate) fn number(&self, key: &'static str) -> Result<Option<u64>, WireError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => unsigned(value).ok_or(WireError::Type(key, "t")).map(Some),
        }
    }

    /// A list of texts; missing means empty.
    pub(crate) fn texts(&self, key: &'static str) -> Result<Vec<&str>, WireError> {
        self.list(key, |item| match item {
            Variant::Str(text) => Ok(text.as_str()),
            _ => Err(WireError::Type(key, "as")),
        })
    }

    /// A list of numbers; missing means empty.
    pub(crate) fn numbers(&self, key: &'static str) -> Result<Vec<u64>, WireError> {
        self.list(key, |item| unsigned(item).ok_or(WireError::Type(key, "at")))
    }

    /// A list of dictionaries; missing means empty.
    pub(crate) fn dicts(&'a self, key: &'static str) -> Result<Vec<Dict<'a>>, WireError> {
        self.list(key, |item| Dict::nested(key, item))
    }

    /// A dictionary that may be missing.
    pub(crate) fn dict(&'a self, key: &'static str) -> Result<Option<Dict<'a>>, WireError> {
        self.get(key)
            .map(|value| Dict::nested(key, value))
            .transpose()
    }

    /// A map of texts (`a{ss}`); missing means empty.
    pub(crate) fn text_map(
        &self,
        key: &'static str,
    ) -> Result<BTreeMap<String, String>, WireError> {
        let wrong = || WireError::Type(key, "a{ss}");
        let mut map = BTreeMap::new();
        match self.get(key) {
            None => {}
            Some(Variant::Dict(dict)) => {
                for entry in dict.iter() {
                    let (Variant::Str(name), Variant::Str(value)) = entry else {
                        return Err(wrong());
                    };
                    map.insert(name.as_str().to_owned(), value.as_str().to_owned());
                }
            }
            Some(_) => return Err(wrong()),
        }
        Ok(map)
    }

    fn list<'s, T>(
        &'s self,
        key: &'static str,
        item: impl Fn(&'s Variant<'a>) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Variant::Array(array)) => array.iter().map(item).collect(),
            Some(_) => Err(WireError::Type(key, "a list")),
        }
    }
}

/// A second reference to a value; texts are not copied where they are borrowed already.
fn borrow<'a>(value: &'a Variant<'a>) -> Result<Variant<'a>, WireError> {
    match value {
        Variant::Str(text) => Ok(Variant::Str(Str::from(text.as_str()))),
        // A variant inside `a{sv}` that was read through another variant is wrapped once more.
        Variant::Variant(inner) => borrow(inner),
        other => other.try_clone().map_err(|_| WireError::Body("a{sv}")),
    }
}

fn unsigned(value: &Variant<'_>) -> Option<u64> {
    match value {
        Variant::U8(n) => Some(u64::from(*n)),
        Variant::U16(n) => Some(u64::from(*n)),
        Variant::U32(n) => Some(u64::from(*n)),
        Variant::U64(n) => Some(*n),
        Variant::I16(n) => u64::try_from(*n).ok(),
        Variant::I32(n) => u64::try_from(*n).ok(),
        Variant::I64(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

impl Type for Dict<'_> {
    const SIGNATURE: &'static Signature =
        &Signature::static_dict(&Signature::Str, &Signature::Variant);
}

impl<'de: 'a, 'a> Deserialize<'de> for Dict<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(&'de str, Variant<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dictionary of texts and variants")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::with_capacity(16);
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries).map(Dict)
    }
}

/// A dictionary to be sent.
#[derive(Debug, Default)]
pub(crate) struct Entries<'a>(Vec<(&'static str, Variant<'a>)>);

impl<'a> Entries<'a> {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    pub(crate) fn text(&mut self, key: &'static str, value: &'a str) -> &mut Self {
        self.put(key, Variant::Str(Str::from(value)))
    }

    pub(crate) fn owned_text(&mut self, key: &'static str, value: String) -> &mut Self {
        self.put(key, Variant::Str(Str::from(value)))
    }

    pub(crate) fn maybe_text(&mut self, key: &'static str, value: Option<&'a str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// Leaves the key out when the flag is not set.
    pub(crate) fn flag(&mut self, key: &'static str, value: bool) -> &mut Self {
        if value {
            self.put(key, Variant::Bool(true));
        }
        self
    }

    pub(crate) fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.put(key, Variant::U64(value))
    }

    pub(crate) fn maybe_number(&mut self, key: &'static str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(key, value),
            None => self,
        }
    }

    pub(crate) fn texts<'t: 'a>(
        &mut self,
        key: &'static str,
        values: impl Iterator<Item = &'t str>,
    ) -> &mut Self {
        let values: Vec<&'a str> = values.collect();
        self.put(key, Variant::Array(Array::from(values)))
    }

    pub(crate) fn numbers(&mut self, key: &'static str, values: &[u64]) -> &mut Self {
        self.put(key, Variant::Array(Array::from(values.to_vec())))
    }

    pub(crate) fn text_map(
        &mut self,
        key: &'static str,
        values: &'a BTreeMap<String, String>,
    ) -> &mut Self {
        if values.is_empty() {
            return self;
        }
        let values: BTreeMap<&'a str, &'a str> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.put(key, Variant::Dict(values.into()))
    }

    pub(crate) fn dict(&mut self, key: &'static str, value: Entries<'a>) -> &mut Self {
        let value = value.into_dict();
        self.put(key, Variant::Dict(value))
    }

    pub(crate) fn dicts(&mut self, key: &'static str, values: Vec<Entries<'a>>) -> &mut Self {
        let mut array = Array::new(Dict::SIGNATURE);
        for value in values {
            // INVARIANT: the element's signature is the array's: both are `Dict::SIGNATURE`.
            let _ = array.append(Variant::Dict(value.into_dict()));
        }
        self.put(key, Variant::Array(array))
    }

    fn into_dict(self) -> zbus::Dict<'a, 'a> {
        let mut dict = zbus::Dict::new(&Signature::Str, &Signature::Variant);
        for (key, value) in self.0 {
            // INVARIANT: the signatures are those of the dictionary.
            let _ = dict.append(
                Variant::Str(Str::from(key)),
                Variant::Variant(Box::new(value)),
            );
        }
        dict
    }

    fn put(&mut self, key: &'static str, value: Variant<'a>) -> &mut Self {
        self.0.push((key, value));
        self
    }
}

impl Type for Entries<'_> {
    const SIGNATURE: &'static Signature = Dict::SIGNATURE;
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
