//! The search for secrets where none should be: files, recordings, the memory of processes.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The secrets to look for. `Debug` tells only how many.
pub struct Secrets {
    list: Vec<Vec<u8>>,
    /// Which secrets begin with these bytes.
    by_start: HashMap<[u8; START], Vec<usize>>,
    /// Whether any begins with these two bytes: what nearly every position is dismissed by.
    first_two: Vec<bool>,
}

/// How many bytes of a secret pick the ones to compare in full.
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
}

impl Secrets {
    /// Takes the secrets to look for, as they are and as they stand in a form (RFC 6749
    /// Appendix B).
    ///
    /// Panics when there are none, or one is so short that it would occur by chance: a search
    /// that cannot find anything proves nothing.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut found = Self {
            list: Vec::new(),
            by_start: HashMap::new(),
            first_two: vec![false; 1 << 16],
        };
        for secret in secrets {
            assert!(
                secret.len() >= SHORTEST,
                "a secret of {} bytes",
                secret.len()
            );
            let encoded = form_encoded(&secret);
            if encoded != secret {
                found.add(encoded.into_bytes());
            }
            found.add(secret.into_bytes());
        }
        assert!(!found.list.is_empty(), "no secrets to look for");
        found
    }

    fn add(&mut self, secret: Vec<u8>) {
        let mut start = [0; START];
        start.copy_from_slice(&secret[..START]);
        self.first_two[two(&secret)] = true;
        self.by_start
            .entry(start)
            .or_default()
            .push(self.list.len());
        self.list.push(secret);
    }

    /// The positions of the secrets in `bytes`.
    pub fn in_bytes(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for at in 0..bytes.len().saturating_sub(SHORTEST - 1) {
            let rest = &bytes[at..];
            if !self.first_two[two(rest)] {
                continue;
            }
            let candidates = self.by_start.get(&rest[..START]).into_iter().flatten();
            found.extend(candidates.filter(|index| rest.starts_with(&self.list[**index])));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The secrets in any file below a folder, by path.
    pub fn in_folder(&self, folder: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                findings.extend(self.in_folder(&path));
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                findings.extend(self.findings(&bytes, &path.display().to_string()));
            }
        }
        findings.sort();
        findings
    }

    /// The secrets in the memory of a process, by region.
    ///
    /// # Errors
    ///
    /// When this user may not read it: a process that holds keys can be read by root alone.
    pub fn in_memory(&self, process: u32) -> io::Result<Vec<Finding>> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let memory = File::open(format!("/proc/{process}/mem"))?;
        let mut findings = Vec::new();
        for region in maps.lines().filter_map(Region::parse) {
            let place = format!("memory of process {process}, {}", region.name);
            self.in_region(&memory, &region, |bytes| {
                findings.extend(self.findings(bytes, &place));
            });
        }
        findings.sort();
        findings.dedup();
        Ok(findings)
    }

    /// Reads a region piece by piece; pieces overlap by the longest secret.
    fn in_region(&self, memory: &File, region: &Region<'_>, mut look: impl FnMut(&[u8])) {
        let overlap = self.list.iter().map(Vec::len).max().unwrap_or_default() as u64;
        let mut buffer = vec![0; PIECE];
        let mut at = region.start;
        while at < region.end {
            let wanted = usize::try_from(region.end - at).map_or(PIECE, |left| left.min(PIECE));
            // Regions of devices cannot be read, and a running process gives pages back.
            let Ok(read) = memory.read_at(&mut buffer[..wanted], at) else {
                return;
            };
            look(&buffer[..read]);
            if read < wanted || at + read as u64 == region.end {
                return;
            }
            at += read as u64 - overlap;
        }
    }

    fn findings(&self, bytes: &[u8], place: &str) -> Vec<Finding> {
        let found = self.in_bytes(bytes).into_iter();
        found
            .map(|secret| Finding {
                place: place.to_owned(),
                secret,
            })
            .collect()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.list.len())
    }
}

/// How much memory is looked at at once.
const PIECE: usize = 1 << 20;

/// One line of `/proc/PID/maps`.
struct Region<'a> {
    start: u64,
    end: u64,
    name: &'a str,
}

impl<'a> Region<'a> {
    /// Reads `start-end rwxp offset device inode name`; `None` for what cannot be read.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        if !words.next()?.starts_with('r') {
            return None;
        }
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            name: words.nth(3).unwrap_or("anonymous"),
        })
    }
}

fn two(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn form_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
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
    fn a_secret_is_found_as_it_is_and_as_a_form_carries_it() {
        let secrets = secrets();
        for text in [SECRET.to_owned(), form_encoded(SECRET)] {
            let around = format!("refresh_token={text}&client_id=x");
            assert_eq!(secrets.in_bytes(around.as_bytes()).len(), 1, "{around}");
            assert_eq!(secrets.in_bytes(text.as_bytes()).len(), 1, "{text}");
        }
        assert!(secrets.in_bytes(&SECRET.as_bytes()[1..]).is_empty());
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
        let _ = Secrets::new([]);
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", secrets()), "Secrets(3)");
    }
}
