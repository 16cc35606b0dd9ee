//! Edges between crates and to libraries, as `cargo metadata` shows them.

use std::collections::{BTreeMap, BTreeSet};

use super::short;
use super::table::{
    EDGES, FEATURES, FILE, LIBRARIES, Library, TEST_CRATES, TEST_EDGES, UNREACHABLE,
};
use crate::metadata::{Dependency, Metadata, Package};

/// Everything in the dependency lists that the tables do not allow.
pub fn check(workspace: &Metadata) -> Vec<String> {
    let members = members(workspace);
    let mut wrong = Vec::new();
    for package in &members {
        let name = short(&package.name);
        for dependency in &package.dependencies {
            let asked = Asked {
                by: name,
                dependency,
                // Everything a test crate depends on serves tests.
                in_tests: dependency.is_dev() || TEST_CRATES.contains(&name),
            };
            wrong.extend(if dependency.path.is_some() {
                asked.for_a_crate()
            } else {
                asked.for_a_library()
            });
        }
    }
    wrong.extend(check_reach(&members));
    wrong
}

fn members(workspace: &Metadata) -> Vec<&Package> {
    let ids: BTreeSet<&String> = workspace.workspace_members.iter().collect();
    let packages = workspace.packages.iter();
    packages
        .filter(|package| ids.contains(&package.id))
        .collect()
}

/// One line of a crate's dependency lists.
struct Asked<'a> {
    by: &'a str,
    dependency: &'a Dependency,
    in_tests: bool,
}

impl Asked<'_> {
    fn for_a_crate(&self) -> Vec<String> {
        let (from, to) = (self.by, short(&self.dependency.name));
        let listed = |edges: &[(&str, &str)]| {
            edges
                .iter()
                .any(|(a, b)| (*a == from || *a == "*") && *b == to)
        };
        if listed(EDGES) || (self.in_tests && listed(TEST_EDGES)) {
            return Vec::new();
        }
        let (kind, table) = if self.in_tests {
            (" in tests", "TEST_EDGES")
        } else {
            ("", "EDGES")
        };
        vec![format!(
            "{}: `{from}` depends on `{to}`{kind}, an arrow that is not allowed.\n  Turn it round \
             with a port in the lower crate. If the architecture changes, add (\"{from}\", \
             \"{to}\") to {table} in {FILE} and change ARCHITECTURE.md.",
            manifest(from)
        )]
    }

    fn for_a_library(&self) -> Vec<String> {
        let (from, name) = (self.by, self.dependency.name.as_str());
        let Some(library) = LIBRARIES.iter().find(|library| library.0 == name) else {
            return vec![format!(
                "{}: `{name}` is a new library. Decide what it may touch and who may use it, and \
                 add a line to LIBRARIES in {FILE}.",
                manifest(from)
            )];
        };
        let Library(_, brings, product, tests) = library;
        let allowed = product.includes(from) || (self.in_tests && tests.includes(from));
        let mut wrong = self.features();
        if !allowed {
            wrong.push(format!(
                "{}: `{from}` may not use `{name}` ({brings}).\n  Ask a crate that may, through a \
                 port. If this permission is meant to be given, add \"{from}\" to the line of \
                 `{name}` in LIBRARIES in {FILE}.",
                manifest(from)
            ));
        }
        wrong
    }

    fn features(&self) -> Vec<String> {
        if self.in_tests {
            return Vec::new();
        }
        let (from, name) = (self.by, self.dependency.name.as_str());
        let asked = &self.dependency.features;
        FEATURES
            .iter()
            .filter(|rule| rule.0 == name && asked.iter().any(|feature| feature == rule.1))
            .filter(|rule| !rule.3.includes(from))
            .map(|rule| {
                format!(
                    "{}: `{from}` may not use feature `{}` of `{name}` ({}).\n  If this permission \
                     is meant to be given, add \"{from}\" to its line in FEATURES in {FILE}.",
                    manifest(from),
                    rule.1,
                    rule.2
                )
            })
            .collect()
    }
}

/// Follows normal dependencies from each released program to what it must not contain.
fn check_reach(members: &[&Package]) -> Vec<String> {
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in members {
        let normal = package.dependencies.iter();
        let normal = normal.filter(|d| d.path.is_some() && !d.is_dev());
        let names = normal.map(|d| short(&d.name)).collect();
        below.insert(short(&package.name), names);
    }
    let mut wrong = Vec::new();
    for (program, forbidden) in UNREACHABLE {
        for target in *forbidden {
            if let Some(path) = path(&below, program, target) {
                wrong.push(format!(
                    "{}: `{program}` contains `{target}` ({}).\n  A released program must not; \
                     take the dependency out.",
                    manifest(program),
                    path.join(" → ")
                ));
            }
        }
    }
    wrong
}

fn path<'a>(
    below: &BTreeMap<&'a str, Vec<&'a str>>,
    from: &'a str,
    to: &str,
) -> Option<Vec<&'a str>> {
    if from == to {
        return Some(vec![from]);
    }
    let deeper = below.get(from)?;
    let rest = deeper.iter().find_map(|next| path(below, next, to))?;
    Some([vec![from], rest].concat())
}

/// The `Cargo.toml` of a crate, as a person names it.
fn manifest(name: &str) -> String {
    match name {
        "xtask" | "bench" => format!("{name}/Cargo.toml"),
        "e2e" => "tests/e2e/Cargo.toml".to_owned(),
        _ => format!("crates/{name}/Cargo.toml"),
    }
}

#[cfg(test)]
mod tests;
