//! One package's licence: the expression, who holds the copyright, and the texts it ships.

use std::fs;
use std::path::Path;

use crate::metadata::Package;
use crate::steps::Failure;

/// What a package says about its licence.
pub struct Licence {
    /// The SPDX expression of its `Cargo.toml`.
    pub expression: String,
    /// Its copyright lines, without repetition.
    pub copyright: Vec<String>,
    /// The licence texts it ships, without the copyright lines.
    pub texts: Vec<String>,
}

impl Licence {
    /// Reads the files beside the package's `Cargo.toml`.
    pub fn of(package: &Package) -> Result<Self, Failure> {
        let expression = package.license.clone().ok_or_else(|| {
            Failure::new(format!(
                "{} names no licence in its Cargo.toml",
                package.name
            ))
        })?;
        let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
        let mut licence = Self {
            copyright: Vec::new(),
            texts: Vec::new(),
            expression,
        };
        for text in chosen_files(folder, &licence.expression) {
            licence.add(&text);
        }
        licence.copyright.sort();
        licence.copyright.dedup();
        Ok(licence)
    }

    fn add(&mut self, file: &str) {
        let (copyright, text): (Vec<&str>, Vec<&str>) = file
            .lines()
            .map(str::trim_end)
            .partition(|line| is_copyright(line));
        let copyright = copyright.iter().filter(|line| !is_template(line));
        // A `|` would end the table's cell, and a name in brackets could be read as a tag.
        self.copyright.extend(copyright.map(|line| {
            line.trim()
                .replace('|', "\\|")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
        }));
        let text = text.join("\n").trim_matches('\n').to_owned();
        if !text.trim().is_empty() {
            self.texts.push(text);
        }
    }
}

/// The text reduced to what matters when two are compared: words, without case.
pub fn comparable(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// The licence files; of a package that may be used under MIT, those of MIT if they are apart.
fn chosen_files(folder: &Path, expression: &str) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file() && is_licence_file(&name(path)))
        .collect();
    files.sort();
    let or_mit = expression
        .split(" OR ")
        .any(|one| one.trim_matches(['(', ')']) == "MIT")
        || expression.split('/').any(|one| one.trim() == "MIT");
    let mit: Vec<_> = files
        .iter()
        .filter(|path| name(path).contains("mit"))
        .cloned()
        .collect();
    if or_mit && !mit.is_empty() {
        files = mit;
    }
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

fn is_licence_file(name: &str) -> bool {
    [
        "license",
        "licence",
        "copying",
        "copyright",
        "notice",
        "unlicense",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

fn is_copyright(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("Copyright ") && line.contains(|c: char| c.is_ascii_digit() || c == '[')
}

/// The line to fill in at the end of the Apache licence.
fn is_template(line: &str) -> bool {
    line.contains("[yyyy]") || line.contains("{yyyy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Licence {
        let mut licence = Licence {
            expression: "MIT".to_owned(),
            copyright: Vec::new(),
            texts: Vec::new(),
        };
        licence.add(file);
        licence
    }

    #[test]
    fn copyright_lines_are_kept_apart_from_the_text() {
        let licence = read("MIT License\n\nCopyright (c) 2020 A <a@b>\n\nPermission is granted\n");
        assert_eq!(licence.copyright, ["Copyright (c) 2020 A &lt;a@b&gt;"]);
        assert_eq!(licence.texts, ["MIT License\n\n\nPermission is granted"]);
    }

    #[test]
    fn the_apache_licences_line_to_fill_in_is_nobodys_copyright() {
        assert!(
            read("   Copyright [yyyy] [name of copyright owner]\n")
                .copyright
                .is_empty()
        );
    }

    #[test]
    fn texts_that_differ_in_layout_only_are_the_same() {
        assert_eq!(
            comparable("The MIT\n  License."),
            comparable("the mit license")
        );
    }
}
