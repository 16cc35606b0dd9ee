//! What the documents name exists.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).expect(document)
}

/// A module: its file, and the files of the folder with its name.
fn module(path: &str) -> String {
    let mut text = read(path);
    let folder = root().join(path.strip_suffix(".rs").unwrap());
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let file = entry.unwrap().path();
        if file.is_file() {
            text.push_str("\n\n");
            text.push_str(&fs::read_to_string(file).unwrap());
        }
    }
    text
}

/// The texts between backticks, outside of code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text
        .split("```")
        .enumerate()
        .filter_map(|(part, text)| (part % 2 == 0).then_some(text));
    prose
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    let invariants = architecture.split("\n## Invariants").nth(1).unwrap();
    let mut tests = 0;
    let mut file = None;
    for name in quoted(invariants) {
        if Path::new(name).extension().is_some_and(|e| e == "rs") {
            file = Some(name);
            continue;
        }
        let is_test = name.contains('_')
            && name
                .chars()
                .all(|c| c.is_lowercase() || c.is_numeric() || c == '_');
        let (Some(path), true) = (file, is_test) else {
            continue;
        };
        let source = module(path);
        let (before, _) = source
            .split_once(&format!("fn {name}("))
            .unwrap_or_else(|| panic!("{path} has no {name}"));
        let above = before.rsplit("\n\n").next().unwrap();
        let in_proptest = before.contains("proptest!");
        assert!(
            above.contains("test]") || above.contains("#[tokio::test") || in_proptest,
            "{name} in {path} is no test"
        );
        tests += 1;
    }
    assert!(tests > 30, "only {tests} tests were found");
    for number in 1..=10 {
        assert!(
            invariants.contains(&format!("\n{number}. **")),
            "invariant {number}"
        );
    }
}

#[test]
fn every_file_a_document_links_or_names_exists() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ] {
        let text = read(document);
        let linked = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|target| !target.contains("://"));
        let named = quoted(&text)
            .into_iter()
            .filter(|name| name.starts_with("crates/") && !name.contains(['{', '*', ' ']));
        for path in linked.chain(named) {
            assert!(root().join(path).exists(), "{document} names {path}");
        }
    }
}
