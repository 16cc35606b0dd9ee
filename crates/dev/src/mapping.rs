//! Which names stand for the development authority.
//!
//! The private keywardd of a session learns them from a variable only `keyward-dev` reads: no
//! configuration file can send a well-known authority elsewhere (invariant 8).

use std::ffi::OsString;

use keyward_broker::Options;
use keyward_config::{AuthorityEntry, AuthorityKind, Form, Permit};
use serde_json::{Value, json};

/// The variable between `keyward-dev session` and the keywardd it starts.
pub const VARIABLE: &str = "KEYWARD_DEV_MAPPING";

/// One tenant of the development authority, under every name it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What applications call it.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// Which dialect it speaks.
    pub kind: AuthorityKind,
}

/// The value of [`VARIABLE`].
pub fn to_variable(mappings: &[Mapping]) -> OsString {
    let entries: Vec<Value> = mappings
        .iter()
        .map(|mapping| {
            json!({
                "match": mapping.names,
                "issuer": mapping.issuer,
                "entra": mapping.kind == AuthorityKind::Entra,
            })
        })
        .collect();
    Value::from(entries).to_string().into()
}

/// Reads the value of [`VARIABLE`]; entries that are not ours are left out.
fn from_variable(text: &str) -> Vec<Mapping> {
    let entries: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    entries.iter().filter_map(mapping).collect()
}

fn mapping(entry: &Value) -> Option<Mapping> {
    let names = entry["match"].as_array()?.iter().filter_map(Value::as_str);
    Some(Mapping {
        names: names.map(str::to_owned).collect(),
        issuer: entry["issuer"].as_str()?.to_owned(),
        kind: if entry["entra"].as_bool()? {
            AuthorityKind::Entra
        } else {
            AuthorityKind::Oidc
        },
    })
}

/// What the private keywardd is started with: the mapping, and nothing of this machine's
/// administrator, whose policy is for real brokers.
pub fn broker_options(arguments: Vec<OsString>) -> Options {
    let mut options = Options::from_command_line(arguments);
    let mappings = std::env::var(VARIABLE).map_or_else(|_| Vec::new(), |text| from_variable(&text));
    let entries = mappings.into_iter().map(Mapping::into_entry).collect();
    // In the system form the file is the one it was given.
    if options.environment.form() == Form::Session {
        options.environment = options.environment.with_system_file(None);
    }
    options.environment = options.environment.with_authorities("keyward-dev", entries);
    options.permit = Permit::WellKnownHosts;
    options
}

impl Mapping {
    fn into_entry(self) -> AuthorityEntry {
        AuthorityEntry {
            matches: self.names,
            issuer: self.issuer,
            kind: self.kind,
            dpop: None,
            // Our authority checks the key before anything else, so the proof costs nobody a
            // sign-in.
            verify_binding: (self.kind == AuthorityKind::Oidc).then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_survive_the_variable() {
        let mappings = vec![Mapping {
            names: vec!["https://localhost/\"x\"".to_owned()],
            issuer: "http://127.0.0.1:1/oidc".to_owned(),
            kind: AuthorityKind::Oidc,
        }];
        let text = to_variable(&mappings).into_string().unwrap();
        assert_eq!(from_variable(&text), mappings);
        assert_eq!(from_variable("no JSON"), []);
    }
}
