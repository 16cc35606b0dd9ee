//! One configuration file: read it with care, then hand out its values with their lines.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Larger than any configuration a person writes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Anybody on the machine may write.
const WORLD_WRITABLE: u32 = 0o002;

/// Reads a configuration file. `None`: there is none.
///
/// # Errors
///
/// In plain words: unreadable, not a file, too large, or somebody else could have written it.
pub(crate) fn read(path: &Path, our_uid: u32) -> Result<Option<String>, String> {
    if path == Path::new("/dev/null") {
        return Ok(Some(String::new()));
    }
    let opened = OpenOptions::new()
        .read(true)
        // A fifo in the file's place must not hold us up.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.uid() != our_uid && metadata.uid() != 0 {
        return Err(format!(
            "belongs to uid {}, who could change it: it has to belong to you or to root",
            metadata.uid()
        ));
    }
    if metadata.mode() & WORLD_WRITABLE != 0 {
        return Err("may be written by everybody: run chmod o-w on it".to_owned());
    }
    let mut text = String::new();
    file.take(LARGEST_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err("is larger than 1 MiB".to_owned());
    }
    Ok(Some(text))
}

/// The parsed text of one file.
pub(crate) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
}

/// A key of a document, its full dotted name, and the value with its line.
pub(crate) struct Entry<'d> {
    pub name: String,
    pub line: usize,
    pub value: &'d DeValue<'d>,
}

impl<'a> Document<'a> {
    /// Parses TOML.
    ///
    /// # Errors
    ///
    /// The line and what is wrong with it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, (usize, String)> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self {
                text,
                root: root.into_inner(),
            }),
            Err(error) => {
                let line = error.span().map_or(0, |span| line_of(text, span.start));
                Err((line, format!("is not TOML: {}", one_line(error.message()))))
            }
        }
    }

    /// Every value in the order of the keys. Tables named in `tables` are entered; anything else
    /// is one entry.
    pub(crate) fn entries(&self, tables: &[&str]) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (key, value) in &self.root {
            match value.get_ref() {
                DeValue::Table(table) if tables.contains(&key.get_ref().as_ref()) => {
                    let prefix = format!("{}.", key.get_ref());
                    entries.extend(self.table(table, &prefix));
                }
                _ => entries.push(self.entry(key, value, "")),
            }
        }
        entries
    }

    /// The entries of one table, their names prefixed.
    pub(crate) fn table<'d>(
        &'d self,
        table: &'d DeTable<'a>,
        prefix: &str,
    ) -> impl Iterator<Item = Entry<'d>> {
        let prefix = prefix.to_owned();
        table
            .iter()
            .map(move |(key, value)| self.entry(key, value, &prefix))
    }

    /// The line a value is on.
    pub(crate) fn line(&self, value: &Spanned<DeValue<'_>>) -> usize {
        line_of(self.text, value.span().start)
    }

    fn entry<'d>(
        &self,
        key: &Spanned<std::borrow::Cow<'a, str>>,
        value: &'d Spanned<DeValue<'a>>,
        prefix: &str,
    ) -> Entry<'d> {
        Entry {
            name: format!("{prefix}{}", key.get_ref()),
            line: line_of(self.text, key.span().start),
            value: value.get_ref(),
        }
    }
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
