//! Permissions that only the source shows: processes, sockets, clocks, files.

use std::fs;
use std::path::{Path, PathBuf};

use super::table::{BANS, Ban, FILE, LONGEST_FILE, NEED_CLIPPY_TOML, TEST_CRATES};
use crate::steps::Failure;

/// Everything in the source that the table does not allow.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for folder in folders(&root.join("crates"))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let files = rust_files(&folder.join("src"))?;
        let texts: Vec<String> = files
            .iter()
            .map(|file| read(file))
            .collect::<Result<_, _>>()?;
        let test_modules: Vec<PathBuf> =
            files.iter().zip(&texts).flat_map(declared_tests).collect();
        for (file, text) in files.iter().zip(&texts) {
            let shown = file
                .strip_prefix(root)
                .unwrap_or(file)
                .display()
                .to_string();
            let in_tests = test_modules.iter().any(|module| is_part_of(file, module));
            if !TEST_CRATES.contains(&&*name) && !in_tests {
                wrong.extend(check_text(&name, &shown, text));
            }
            wrong.extend(check_length(&shown, text));
        }
        if NEED_CLIPPY_TOML.contains(&&*name) && !folder.join("clippy.toml").is_file() {
            wrong.push(format!(
                "crates/{name}/clippy.toml: missing. This crate does no input or output: its \
                 clippy.toml bans clock, environment, files and sockets."
            ));
        }
    }
    Ok(wrong)
}

/// The breaches in one file of a crate.
fn check_text(name: &str, file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in product_lines(text) {
        for Ban(words, place, reason) in BANS {
            if words.iter().all(|word| line.contains(word)) && !place.allows(name) {
                wrong.push(format!(
                    "{file}:{number}: `{}` may not stand in `{name}`: {reason}.\n  Move it to a \
                     crate that may, or give the permission in BANS in {FILE}.",
                    words.join(" … ")
                ));
            }
        }
    }
    wrong
}

fn check_length(file: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LONGEST_FILE).then(|| {
        format!("{file}: {lines} lines, more than {LONGEST_FILE}. Look for the missing type.")
    })
}

/// The numbered lines of a file that are neither comments nor under `#[cfg(test)]`. rustfmt puts
/// the end of a top-level item on a line of its own, so counting brackets is not needed.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut skipping = Skipping::No;
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(move |(_, line)| {
            let skip = skipping.next(line);
            !skip && !line.trim_start().starts_with("//")
        })
}

/// Where we are with respect to an item under `#[cfg(test)]`.
enum Skipping {
    No,
    /// The attribute was read; its item begins.
    Head,
    /// Inside the item, until a closing bracket in the first column.
    Body,
}

impl Skipping {
    /// Takes one line in and says whether it belongs to a test item.
    fn next(&mut self, line: &str) -> bool {
        match self {
            Self::No if line.starts_with("#[cfg(test)]") => *self = Self::Head,
            Self::No => return false,
            Self::Head if line.ends_with(';') || line.ends_with("{}") => *self = Self::No,
            Self::Head if line.ends_with('{') => *self = Self::Body,
            Self::Body if line.starts_with('}') => *self = Self::No,
            Self::Head | Self::Body => {}
        }
        true
    }
}

/// The modules a file declares under `#[cfg(test)]`, as paths without extension.
fn declared_tests((file, text): (&PathBuf, &String)) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => file.with_file_name(""),
        Some(_) => file.with_extension(""),
    };
    let lines: Vec<&str> = text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    declared
        .filter_map(|pair| pair[1].split_once("mod ")?.1.strip_suffix(';'))
        .map(|module| folder.join(module))
        .collect()
}

/// Whether a file is this module or below it.
fn is_part_of(file: &Path, module: &Path) -> bool {
    file.with_extension("") == module || file.starts_with(module)
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(entries(parent)?
        .into_iter()
        .filter(|path| path.is_dir())
        .collect())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| Failure::new(format!("cannot list {}: {error}", folder.display())));
    listed.map(|mut paths: Vec<PathBuf>| {
        paths.sort();
        paths
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTS_A_PROCESS: &str = "use std::process::{Child, Command};\n";

    #[test]
    fn a_ban_names_file_line_and_reason() {
        let wrong = check_text("broker", "crates/broker/src/run.rs", STARTS_A_PROCESS);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("crates/broker/src/run.rs:1: `process:: … Command`"));
        assert!(wrong[0].contains("start no process"));
    }

    #[test]
    fn the_permission_holds_where_it_was_given() {
        assert!(check_text("session", "x.rs", STARTS_A_PROCESS).is_empty());
    }

    #[test]
    fn tests_and_comments_are_not_searched_but_what_follows_them_is() {
        let text = "//! std::env\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n    use std::env;\n}\nuse std::env;\n";
        let wrong = check_text("oauth", "x.rs", text);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("x.rs:8:"));
    }

    #[test]
    fn a_file_that_is_too_long_is_named() {
        let text = "//\n".repeat(LONGEST_FILE + 1);
        assert!(
            check_length("x.rs", &text)
                .unwrap()
                .starts_with("x.rs: 1001 lines")
        );
        assert!(check_length("x.rs", "//\n").is_none());
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_known() {
        let declared = |file: &str, text: &str| declared_tests((&file.into(), &text.to_owned()));
        let text =
            "#[cfg(test)]\npub(crate) mod fixtures;\nmod product;\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(
            declared("a/src/lib.rs", text),
            [Path::new("a/src/fixtures")]
        );
        assert_eq!(
            declared("a/src/b.rs", text),
            [Path::new("a/src/b/fixtures")]
        );
        let module = Path::new("a/src/fixtures");
        assert!(is_part_of(Path::new("a/src/fixtures.rs"), module));
        assert!(is_part_of(Path::new("a/src/fixtures/deep.rs"), module));
        assert!(!is_part_of(Path::new("a/src/fixtures_not.rs"), module));
    }
}
