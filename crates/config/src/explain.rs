//! What `keyward config check` shows.

use crate::origin::Origin;
use crate::settings::Config;
use crate::{authority, key};

/// One value in force, where it came from, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The key as written in a file; entries of `[[authority]]` are numbered.
    pub key: String,
    /// The value as written in a file.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// The environment variable that can set it.
    pub variable: Option<String>,
    /// What it does.
    pub doc: String,
}

impl Config {
    /// Every key with its value, its origin and one line about it.
    pub fn explain(&self) -> Vec<Explanation> {
        let keys = key::KEYS.iter().map(|key| {
            let (value, origin) = (key.show)(self);
            Explanation {
                key: key.name.to_owned(),
                value,
                origin,
                variable: Some(key.variable.to_owned()),
                doc: key.doc.to_owned(),
            }
        });
        let authorities = self
            .authorities()
            .iter()
            .enumerate()
            .flat_map(|(index, entry)| authority::explain(index, entry));
        keys.chain(authorities).collect()
    }
}
