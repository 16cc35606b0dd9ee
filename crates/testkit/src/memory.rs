//! The memory of another process, as root reads it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// The memory of a process. It may go on changing.
#[derive(Debug)]
pub struct Memory {
    process: u32,
    file: File,
    regions: Vec<Region>,
}

/// Which part of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything that can be read.
    Readable,
    /// What the process can have written to: heap, stacks, data.
    Writable,
}

/// One line of `/proc/PID/maps`.
#[derive(Debug)]
struct Region {
    start: u64,
    end: u64,
    writable: bool,
    name: String,
}

impl Memory {
    /// The memory of this process.
    ///
    /// # Errors
    ///
    /// When this user may not read it: a process that holds keys can be read by root alone.
    pub fn of(process: u32) -> io::Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        Ok(Self {
            process,
            file: File::open(format!("/proc/{process}/mem"))?,
            regions: maps.lines().filter_map(Region::parse).collect(),
        })
    }

    /// Shows every piece of this part and where it is; neighbouring pieces overlap by that many
    /// bytes, so that nothing shorter is cut in two. How many bytes were read.
    ///
    /// # Errors
    ///
    /// When none could be.
    pub fn read(
        &self,
        part: Part,
        overlap: usize,
        mut look: impl FnMut(&[u8], &str),
    ) -> io::Result<u64> {
        let mut total = 0;
        for region in &self.regions {
            if part == Part::Readable || region.writable {
                let place = format!("memory of process {}, {}", self.process, region.name);
                total += self.read_region(region, overlap as u64, |piece| look(piece, &place));
            }
        }
        if total == 0 {
            return Err(io::Error::other("no memory of it could be read"));
        }
        Ok(total)
    }

    fn read_region(&self, region: &Region, overlap: u64, mut look: impl FnMut(&[u8])) -> u64 {
        let mut buffer = vec![0; PIECE];
        let (mut at, mut total) = (region.start, 0);
        while at < region.end {
            let wanted = usize::try_from(region.end - at).map_or(PIECE, |left| left.min(PIECE));
            let read = match self.file.read_at(&mut buffer[..wanted], at) {
                Ok(read) if read > 0 => read,
                // Regions of devices cannot be read, and a running process gives pages back.
                _ => {
                    at += PAGE;
                    continue;
                }
            };
            look(&buffer[..read]);
            total += read as u64;
            let end = at + read as u64;
            // A piece that ended early is followed by a page that cannot be read.
            at = if end < region.end && read == wanted {
                end - overlap
            } else {
                end
            };
        }
        total
    }
}

/// How much memory is looked at at once.
const PIECE: usize = 1 << 20;

/// What can be read or not as a whole.
const PAGE: u64 = 4096;

impl Region {
    /// Reads `start-end rwxp offset device inode name`; `None` for what cannot be read.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let rights = words.next()?;
        if !rights.starts_with('r') {
            return None;
        }
        let name = words.nth(3).unwrap_or("anonymous");
        // The kernel's own pages hold the time and code; devices answer reads by errors.
        if name.starts_with("[v") || name.starts_with("/dev/") {
            return None;
        }
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            writable: rights[1..].starts_with('w'),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_apart_by_their_rights() {
        let line = "7f00-8f00 rw-p 00000000 00:00 0                          [heap]";
        let region = Region::parse(line).unwrap();
        assert_eq!((region.start, region.end), (0x7f00, 0x8f00));
        assert!(region.writable);
        assert_eq!(region.name, "[heap]");
        let code = Region::parse("7f00-8f00 r-xp 00000000 08:01 42 /usr/bin/keywardd").unwrap();
        assert!(!code.writable);
        assert!(Region::parse("7f00-8f00 ---p 00000000 00:00 0").is_none());
    }

    #[test]
    fn what_is_written_is_in_the_writable_part() {
        let kept = Box::new(*b"what this test keeps in its heap");
        let memory = Memory::of(std::process::id()).unwrap();
        let mut seen = [0, 0];
        for (part, seen) in [Part::Readable, Part::Writable].into_iter().zip(&mut seen) {
            let read = memory.read(part, kept.len(), |piece, _| {
                *seen += piece
                    .windows(kept.len())
                    .filter(|at| *at == &kept[..])
                    .count();
            });
            assert!(read.unwrap() > 4096);
        }
        assert!(
            seen[1] > 0 && seen[0] > seen[1],
            "also in the program: {seen:?}"
        );
    }
}
