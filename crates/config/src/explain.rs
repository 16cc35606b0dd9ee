//! What `keyward config check` shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::origin::Origin;
use crate::settings::Config;
use crate::{authority, key, policy};

/// The tables of keys only other programs read.
const BESIDE_BROKER: &[&str] = &["cli.", "user_agent."];

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
        let rules = self.policy.rules().iter().enumerate();
        let rules = rules.map(|(index, rule)| policy::explain(index, rule));
        keys.chain(rules).chain(authorities).collect()
    }

    /// The keys a broker works by whose values differ in `other`. Where a value came from makes no
    /// difference.
    pub fn changes_for_broker(&self, other: &Self) -> Vec<String> {
        let values = |config: &Self| -> BTreeMap<String, String> {
            let rows = config.explain().into_iter();
            let rows = rows.filter(|row| !BESIDE_BROKER.iter().any(|t| row.key.starts_with(t)));
            rows.map(|row| (row.key, row.value)).collect()
        };
        let (ours, theirs) = (values(self), values(other));
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let changed = keys
            .into_iter()
            .filter(|key| ours.get(*key) != theirs.get(*key));
        changed.cloned().collect()
    }
}
