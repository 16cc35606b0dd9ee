//! A counter in a file beside the vault, for devices that have nothing better.
//!
//! Whoever can put an old vault back can put an old counter back with it, so this notices a vault
//! that was restored alone: by accident, or by somebody in a hurry. No more is claimed for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::provider::{CounterError, EpochCounter};

/// The file's name.
const NAME: &str = "vault.epoch";

/// The file's first line: what it is, and the version of its format.
const HEAD: &str = "keyward epoch 1";

/// More than the file ever holds.
const LONGEST: u64 = 200;

/// Counts in a file of a folder only its user may enter. It holds one counter: making another
/// replaces it.
pub struct FileCounter {
    folder: PathBuf,
}

impl FileCounter {
    /// The counter of the vault in this folder.
    pub fn beside(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    fn content(&self) -> Result<Option<(String, u64)>, io::Error> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.path());
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(LONGEST).read_to_end(&mut content)?;
        Ok(parse(&content))
    }

    /// Replaces the file: a crash leaves the old one or the new one.
    fn write(&self, name: &str, value: u64) -> io::Result<()> {
        let draft = self.folder.join(format!("{NAME}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&draft)?;
        writeln!(file, "{HEAD}\n{name} {value}")?;
        file.sync_all()?;
        std::fs::rename(&draft, self.path())?;
        File::open(&self.folder)?.sync_all()
    }

    fn failed(&self, action: &str, error: &io::Error) -> CounterError {
        let path = self.path();
        CounterError::Unavailable(format!("cannot {action} {}: {error}", path.display()))
    }
}

impl EpochCounter for FileCounter {
    fn create(&self) -> Result<(String, u64), CounterError> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| CounterError::Unavailable("no randomness".to_owned()))?;
        let name = format!("{:016x}", u64::from_be_bytes(random));
        let written = self.write(&name, 1);
        written.map_err(|error| self.failed("write", &error))?;
        Ok((name, 1))
    }

    fn read(&self, name: &str) -> Result<u64, CounterError> {
        let content = self.content();
        match content.map_err(|error| self.failed("read", &error))? {
            Some((found, value)) if found == name => Ok(value),
            _ => Err(CounterError::Lost(format!(
                "{} is missing or counts for another vault",
                self.path().display()
            ))),
        }
    }

    fn step(&self, name: &str) -> Result<u64, CounterError> {
        let value = self.read(name)?.saturating_add(1);
        let written = self.write(name, value);
        written.map_err(|error| self.failed("write", &error))?;
        Ok(value)
    }

    fn remove(&self, name: &str) -> Result<(), CounterError> {
        if matches!(self.read(name), Err(CounterError::Lost(_))) {
            return Ok(());
        }
        let removed = std::fs::remove_file(self.path());
        removed.map_err(|error| self.failed("remove", &error))
    }
}

fn parse(content: &[u8]) -> Option<(String, u64)> {
    let line = std::str::from_utf8(content).ok()?.strip_prefix(HEAD)?;
    let (name, value) = line.trim().split_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::private_dir;

    #[test]
    fn it_counts_over_restarts_and_for_one_vault_only() {
        let dir = private_dir();
        let (name, first) = FileCounter::beside(dir.path()).create().unwrap();
        let counter = FileCounter::beside(dir.path());
        assert_eq!(counter.step(&name), Ok(first + 1));
        assert_eq!(FileCounter::beside(dir.path()).read(&name), Ok(first + 1));

        let (other, _) = counter.create().unwrap();
        assert!(matches!(counter.read(&name), Err(CounterError::Lost(_))));
        counter.remove(&name).unwrap();
        counter.read(&other).unwrap();
        counter.remove(&other).unwrap();
        assert!(matches!(counter.step(&other), Err(CounterError::Lost(_))));
    }

    #[test]
    fn a_damaged_file_counts_for_nobody() {
        let dir = private_dir();
        let counter = FileCounter::beside(dir.path());
        let (name, _) = counter.create().unwrap();
        let whole = std::fs::read(dir.path().join(NAME)).unwrap();
        for length in 0..whole.len() - 2 {
            std::fs::write(dir.path().join(NAME), &whole[..length]).unwrap();
            assert!(
                matches!(counter.read(&name), Err(CounterError::Lost(_))),
                "{length}"
            );
        }
    }
}
