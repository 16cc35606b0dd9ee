//! The search for secrets where none should be: files, recordings, the memory of processes.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::memory::{Memory, Part};

pub mod encoding;

/// The secrets to look for. `Debug` tells only how many.
pub struct Secrets {
    forms: Vec<Form>,
    /// Which forms begin with these bytes.
    by_start: HashMap<[u8; START], Vec<usize>>,
    /// Whether any begins with these two bytes: what nearly every position is dismissed by.
    first_two: Vec<bool>,
    count: usize,
}

/// One way in which a secret may stand somewhere.
struct Form {
    bytes: Vec<u8>,
    secret: usize,
    encoding: &'static str,
}

/// How many bytes of a form pick the ones to compare in full.
const START: usize = 8;

/// Shorter texts occur by chance.
const SHORTEST: usize = 16;

/// A secret in a place where it should not be. Names the place, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, or process and region of its memory.
    pub place: String,
    /// The secret's position in the list.
    pub secret: usize,
    /// How it is written there.
    pub encoding: &'static str,
}

impl Secrets {
    /// Takes the secrets to look for, texts or keys. They are found as they are and in every
    /// encoding of [`encoding`].
    ///
    /// Panics when there are none, or one is so short that it would occur by chance: a search
    /// that cannot find anything proves nothing.
    pub fn new<S: Into<Vec<u8>>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut found = Self {
            forms: Vec::new(),
            by_start: HashMap::new(),
            first_two: vec![false; 1 << 16],
            count: 0,
        };
        for secret in secrets.into_iter().map(Into::into) {
            let length = secret.len();
            assert!(length >= SHORTEST, "a secret of {length} bytes");
            for (encoding, bytes) in encoding::every(&secret) {
                found.add(Form {
                    bytes,
                    secret: found.count,
                    encoding,
                });
            }
            found.count += 1;
        }
        assert!(found.count > 0, "no secrets to look for");
        found
    }

    fn add(&mut self, form: Form) {
        let mut start = [0; START];
        start.copy_from_slice(&form.bytes[..START]);
        self.first_two[two(&form.bytes)] = true;
        self.by_start
            .entry(start)
            .or_default()
            .push(self.forms.len());
        self.forms.push(form);
    }

    /// The positions of the secrets in `bytes`.
    pub fn in_bytes(&self, bytes: &[u8]) -> Vec<usize> {
        let forms = self.forms_in(bytes).into_iter();
        let mut found: Vec<_> = forms.map(|form| self.forms[form].secret).collect();
        found.dedup();
        found
    }

    /// The forms in `bytes`, in their order.
    fn forms_in(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for at in 0..bytes.len().saturating_sub(SHORTEST - 1) {
            let rest = &bytes[at..];
            if !self.first_two[two(rest)] {
                continue;
            }
            let candidates = self.by_start.get(&rest[..START]).into_iter().flatten();
            found.extend(candidates.filter(|form| rest.starts_with(&self.forms[**form].bytes)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The secrets in any file below a folder, by path.
    ///
    /// Panics when one cannot be read: what was not read was not searched.
    pub fn in_folder(&self, folder: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for entry in still_there(folder, fs::read_dir(folder))
            .into_iter()
            .flatten()
        {
            let path = entry.expect("a folder can be listed").path();
            let Some(kind) = still_there(&path, fs::symlink_metadata(&path)) else {
                continue;
            };
            if kind.is_dir() {
                findings.extend(self.in_folder(&path));
            } else if kind.is_file() {
                let bytes = still_there(&path, fs::read(&path)).unwrap_or_default();
                findings.extend(self.findings(&bytes, &path.display().to_string()));
            }
        }
        findings.sort();
        findings
    }

    /// The secrets in the files a process has open, also those nobody can open any more because
    /// their name is gone.
    ///
    /// # Errors
    ///
    /// When this user may not look.
    pub fn in_open_files(&self, process: u32) -> io::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
            let link = entry?.path();
            let Some(kind) = still_there(&link, fs::metadata(&link)) else {
                continue;
            };
            if kind.is_file() {
                let place = fs::read_link(&link).unwrap_or_else(|_| link.clone());
                let bytes = still_there(&link, fs::read(&link)).unwrap_or_default();
                findings.extend(self.findings(&bytes, &place.display().to_string()));
            }
        }
        findings.sort();
        findings.dedup();
        Ok(findings)
    }

    /// The secrets in the memory of a process, by region.
    ///
    /// # Errors
    ///
    /// When this user may not read it: a process that holds keys can be read by root alone.
    pub fn in_memory(&self, process: u32) -> io::Result<Vec<Finding>> {
        let longest = self.forms.iter().map(|form| form.bytes.len()).max();
        let mut findings = Vec::new();
        let look = |piece: &[u8], place: &str| findings.extend(self.findings(piece, place));
        Memory::of(process)?.read(Part::Readable, longest.unwrap_or_default(), look)?;
        findings.sort();
        findings.dedup();
        Ok(findings)
    }

    fn findings(&self, bytes: &[u8], place: &str) -> Vec<Finding> {
        let forms = self.forms_in(bytes).into_iter();
        let finding = |form: usize| Finding {
            place: place.to_owned(),
            secret: self.forms[form].secret,
            encoding: self.forms[form].encoding,
        };
        forms.map(finding).collect()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.count)
    }
}

/// What was read; `None` if it has gone meanwhile, as files and processes do.
fn still_there<T>(path: &Path, read: io::Result<T>) -> Option<T> {
    match read {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{} was not searched: {error}", path.display()),
    }
}

fn two(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0.AXoA~refresh+token/with==signs";

    fn secrets() -> Secrets {
        Secrets::new([
            "another-secret-of-some-length".to_owned(),
            SECRET.to_owned(),
        ])
    }

    #[test]
    fn a_secret_is_found_in_every_encoding_wherever_it_stands() {
        let secrets = secrets();
        let forms: Vec<_> = encoding::every(SECRET.as_bytes()).collect();
        assert!(forms.len() > 10, "{}", forms.len());
        for (encoding, bytes) in forms {
            assert_eq!(secrets.in_bytes(&bytes), [1], "{encoding}");
            let around = [b"refresh_token=", &bytes[..], b"&client_id=x"].concat();
            assert_eq!(secrets.in_bytes(&around), [1], "{encoding}");
            assert_eq!(secrets.in_bytes(&bytes[1..]), [0; 0], "{encoding}");
        }
        assert!(secrets.in_bytes(b"").is_empty());
    }

    #[test]
    fn a_file_that_holds_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("clean"), "nothing").unwrap();
        fs::write(folder.path().join("deep/leak"), format!("\0\0{SECRET}")).unwrap();
        let found = secrets().in_folder(folder.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].place.ends_with("deep/leak"));
        assert_eq!((found[0].secret, found[0].encoding), (1, "as it is"));
    }

    #[test]
    fn a_file_without_a_name_is_found_through_the_process_that_has_it_open() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, SECRET.as_bytes()).unwrap();
        let found = secrets().in_open_files(std::process::id()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn the_memory_of_a_process_is_searched() {
        // A shell keeps its script in memory; only this one has the secret there.
        let script = |text: &str| format!("keep='{text}'; echo up; read end");
        for (text, expected) in [(SECRET, true), ("something else entirely", false)] {
            let mut child = std::process::Command::new("sh")
                .args(["-c", &script(text)])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut up = [0; 3];
            io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
            let found = secrets().in_memory(child.id()).unwrap();
            assert_eq!(!found.is_empty(), expected, "{found:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    #[should_panic(expected = "no secrets to look for")]
    fn a_search_for_nothing_is_refused() {
        let _ = Secrets::new([""; 0]);
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", secrets()), "Secrets(2)");
    }
}
