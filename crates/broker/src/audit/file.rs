//! The file of records: private, rotated before it grows too large, and whole lines only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keyward_client::audit::AuditRecord;
use rustix::fs::OFlags;

/// Where the files are, and how many there may be.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    /// The folder; the user's own.
    pub(super) folder: PathBuf,
    /// How large one file may become, in bytes.
    pub(super) largest: u64,
    /// How many there are at most.
    pub(super) files: u32,
}

impl Trail {
    /// The name of the current file.
    const NAME: &str = "audit.jsonl";

    /// The file that many rotations ago was the current one.
    pub(super) fn file(&self, age: u32) -> PathBuf {
        match age {
            0 => self.folder.join(Self::NAME),
            _ => self.folder.join(format!("{}.{age}", Self::NAME)),
        }
    }

    /// Moves each file on by one, and forgets the oldest.
    fn rotate(&self) -> io::Result<()> {
        for age in (1..self.files).rev() {
            match fs::rename(self.file(age - 1), self.file(age)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The current file, open for writing.
pub(super) struct TrailFile {
    trail: Trail,
    open: Option<Opened>,
}

struct Opened {
    file: File,
    /// Which file it is, to see when somebody puts another in its place.
    inode: u64,
    length: u64,
}

impl TrailFile {
    pub(super) fn new(trail: Trail) -> Self {
        Self { trail, open: None }
    }

    /// Opens the file, unless it is. Returns the number of the last record in it, or 0.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is not for its user alone.
    pub(super) fn ready(&mut self) -> io::Result<Option<u64>> {
        let path = self.trail.file(0);
        if let Some(open) = &self.open {
            // A program that rotates logs may have taken the file away.
            let there = fs::symlink_metadata(&path);
            if there.is_ok_and(|metadata| metadata.ino() == open.inode) {
                return Ok(None);
            }
        }
        self.open = None;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.trail.folder)?;
        let open = Opened::at(&path)?;
        let last = match super::reader::last_of(&open.file)? {
            0 => self.last_of_older()?,
            last => last,
        };
        self.open = Some(open);
        Ok(Some(last))
    }

    /// Adds records, one a line: all of them or none.
    ///
    /// # Errors
    ///
    /// When they cannot be written. The file is as it was then.
    pub(super) fn write(&mut self, records: &[AuditRecord]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(records.len() * 384);
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        let length = lines.len() as u64;
        let is_full = |open: &Opened| open.length > 0 && open.length + length > self.trail.largest;
        if self.open.as_ref().is_some_and(is_full) {
            self.open = None;
            self.trail.rotate()?;
            self.open = Some(Opened::at(&self.trail.file(0))?);
        }
        let Some(open) = &mut self.open else {
            return Err(io::Error::other("the file is not open"));
        };
        if let Err(error) = (&open.file).write_all(&lines) {
            // Half a record is worse than none. Where even this fails, the next start mends it.
            let _ = open.file.set_len(open.length);
            self.open = None;
            return Err(error);
        }
        open.length += length;
        Ok(())
    }

    /// Lets what was written survive a power cut.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.open
            .as_ref()
            .map_or(Ok(()), |open| open.file.sync_data())
    }

    /// The number of the last record of the newest older file.
    fn last_of_older(&self) -> io::Result<u64> {
        for age in 1..self.trail.files {
            match File::open(self.trail.file(age)) {
                Ok(file) => return super::reader::last_of(&file),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }
}

impl Opened {
    fn at(path: &Path) -> io::Result<Self> {
        // A fifo or a link in the file's place must neither hold us up nor lead elsewhere.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let metadata = file.metadata()?;
        check(&metadata).map_err(io::Error::other)?;
        let mut length = metadata.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            // A crash left half a line behind.
            (&file).write_all(b"\n")?;
            length += 1;
        }
        Ok(Self {
            inode: metadata.ino(),
            length,
            file,
        })
    }
}

/// Whether a file is a file, and its user's alone.
fn check(metadata: &fs::Metadata) -> Result<(), String> {
    let uid = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.uid() != uid {
        return Err(format!("it belongs to uid {}", metadata.uid()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err("others may use it: run chmod 600 on it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use keyward_broker_ipc::service::{Caller, Via};

    use super::super::entry::Entry;
    use super::*;

    fn trail(dir: &tempfile::TempDir, largest: u64, files: u32) -> Trail {
        Trail {
            folder: dir.path().join("state/audit"),
            largest,
            files,
        }
    }

    fn record(seq: u64) -> AuditRecord {
        let entry = Entry::new("status", &Caller::new(1, Some(2), Via::Socket));
        AuditRecord {
            seq,
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            ..entry.record(None)
        }
    }

    fn opened(trail: &Trail) -> (TrailFile, u64) {
        let mut file = TrailFile::new(trail.clone());
        let last = file.ready().unwrap().unwrap();
        (file, last)
    }

    #[test]
    fn records_are_private_lines_and_are_counted_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1 << 20, 3);
        let (mut file, last) = opened(&trail);
        assert_eq!(last, 0);
        file.write(&[record(1), record(2)]).unwrap();
        file.sync().unwrap();
        let text = fs::read_to_string(trail.file(0)).unwrap();
        let lines: Vec<AuditRecord> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, [record(1), record(2)]);
        let mode = fs::metadata(trail.file(0)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = fs::metadata(&trail.folder).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(opened(&trail).1, 2);
    }

    #[test]
    fn neither_one_file_nor_all_of_them_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1000, 3);
        let (mut file, _) = opened(&trail);
        for seq in 1..200 {
            file.write(&[record(seq)]).unwrap();
        }
        let files = fs::read_dir(&trail.folder).unwrap();
        let sizes: Vec<u64> = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
        assert_eq!(opened(&trail).1, 199);
        // Right after a rotation the numbers come from the file before.
        fs::rename(trail.file(0), trail.file(1)).unwrap();
        assert_eq!(opened(&trail).1, 199);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1 << 20, 3);
        let (mut file, _) = opened(&trail);
        file.write(&[record(1)]).unwrap();
        assert_eq!(file.ready().unwrap(), None);
        fs::rename(trail.file(0), trail.file(1)).unwrap();
        assert_eq!(file.ready().unwrap(), Some(1));
        file.write(&[record(2)]).unwrap();
        let text = fs::read_to_string(trail.file(0)).unwrap();
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn half_a_line_of_a_crash_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1 << 20, 3);
        let (mut file, _) = opened(&trail);
        file.write(&[record(1)]).unwrap();
        let mut raw = OpenOptions::new().append(true).open(trail.file(0)).unwrap();
        raw.write_all(b"{\"v\":1,\"seq\":2,\"ti").unwrap();
        let (mut file, last) = opened(&trail);
        assert_eq!(last, 1);
        file.write(&[record(2)]).unwrap();
        let text = fs::read_to_string(trail.file(0)).unwrap();
        let whole = text
            .lines()
            .filter(|line| serde_json::from_str::<AuditRecord>(line).is_ok());
        assert_eq!((text.lines().count(), whole.count()), (3, 2));
    }

    #[test]
    fn a_full_disk_costs_the_records_and_leaves_the_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1 << 20, 3);
        let (mut file, _) = opened(&trail);
        file.write(&[record(1)]).unwrap();
        let before = fs::read(trail.file(0)).unwrap();
        // The device every write to which fails for want of room.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        file.open.as_mut().unwrap().file = full;
        let error = file.write(&[record(2)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read(trail.file(0)).unwrap(), before);
        assert_eq!(file.ready().unwrap(), Some(1));
        file.write(&[record(3)]).unwrap();
    }

    #[test]
    fn a_file_that_is_not_the_users_alone_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir, 1 << 20, 3);
        let (mut file, _) = opened(&trail);
        file.write(&[record(1)]).unwrap();
        fs::set_permissions(trail.file(0), fs::Permissions::from_mode(0o644)).unwrap();
        let error = TrailFile::new(trail.clone()).ready().unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::rename(trail.file(0), dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), trail.file(0)).unwrap();
        TrailFile::new(trail).ready().unwrap_err();
    }
}
