//! `cargo xtask notices`: THIRD-PARTY.md, whose code the binaries contain and under which licence.

mod licence;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::metadata::{Metadata, PLATFORM, Package};
use crate::steps::{Failure, Outcome, cargo, output, root};
use licence::Licence;

/// Writes the file, or with `check` fails when it is not what would be written.
pub fn run(check: bool) -> Outcome {
    let file = root().join("THIRD-PARTY.md");
    let text = render(&Metadata::of_everything()?)?;
    if check {
        return match fs::read_to_string(&file) {
            Ok(there) if there == text => Ok(()),
            _ => Err(Failure::new(
                "THIRD-PARTY.md does not name the dependencies of Cargo.lock; run `cargo xtask notices`",
            )),
        };
    }
    fs::write(&file, text)
        .map_err(|error| Failure::new(format!("cannot write THIRD-PARTY.md: {error}")))
}

fn render(metadata: &Metadata) -> Result<String, Failure> {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n| package | version | licence | copyright |\n|---|---|---|---|\n");
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for package in third_parties(metadata)? {
        let licence = Licence::of(package)?;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            package.name,
            package.version,
            licence.expression,
            licence.copyright.join("; ")
        );
        for text in licence.texts {
            let users = texts
                .entry(licence::comparable(&text))
                .or_insert((text, BTreeSet::new()));
            users.1.insert(package.name.clone());
        }
    }
    page.push_str("\n## Licence texts\n");
    // The text most packages use comes first.
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by_key(|(text, users)| (std::cmp::Reverse(users.len()), text.len()));
    for (text, users) in texts {
        let users: Vec<_> = users.into_iter().collect();
        let _ = write!(page, "\n### {}\n\n```text\n{text}\n```\n", users.join(", "));
    }
    Ok(page)
}

const INTRODUCTION: &str = "\
# Third-party notices

Keyward's programs contain code of these packages. Where a package may be used under several
licences, the texts below are of the one it is used under here: MIT if that is among them.
`cargo xtask notices` writes this page; do not edit it by hand.
";

/// The packages from outside in a build of keyward-dev, which contains every program.
fn third_parties(metadata: &Metadata) -> Result<Vec<&Package>, Failure> {
    let mut arguments = vec!["tree", "--locked", "--package", "keyward-dev"];
    arguments.extend(["--edges", "normal,no-proc-macro", "--prefix", "none"]);
    arguments.extend(["--target", PLATFORM]);
    let tree = output(&mut cargo(&arguments)).ok_or_else(|| Failure::new("`cargo tree` failed"))?;
    let built: BTreeSet<(&str, &str)> = tree.lines().filter_map(name_and_version).collect();
    let mut found: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| !metadata.workspace_members.contains(&package.id))
        .filter(|package| built.contains(&(package.name.as_str(), package.version.as_str())))
        .collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(found)
}

/// Reads `base64 v0.22.1`, which more words may follow.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_names_a_package_and_its_version() {
        assert_eq!(
            name_and_version("base64 v0.22.1 (*)"),
            Some(("base64", "0.22.1"))
        );
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn what_is_linked_is_named_and_what_only_tests_use_is_not() {
        let metadata = Metadata::of_everything().unwrap();
        let names: Vec<&str> = third_parties(&metadata)
            .unwrap()
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert!(names.contains(&"serde_json"));
        assert!(!names.contains(&"jsonwebtoken"), "an oracle of tests");
        assert!(!names.contains(&"clap_derive"), "runs at build time");
        assert!(!names.iter().any(|name| name.starts_with("keyward")));
    }
}
