//! Reading below `/proc/PID`, by a handle that stays with the process.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::{FileIdentity, Links};

/// More than any file that is read here has.
const LARGEST: u64 = 64 * 1024;
/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;

/// A folder below which files are read.
pub(super) struct Folder {
    handle: Arc<OwnedFd>,
    links: Links,
}

impl Folder {
    pub(super) fn of_process(pid: u32, links: &Links) -> Result<Self, Errno> {
        Self::open(CWD, &format!("/proc/{pid}"), links)
    }

    /// The same for another process.
    pub(super) fn of_other(&self, pid: u32) -> Result<Self, Errno> {
        Self::of_process(pid, &self.links)
    }

    fn open(folder: impl AsFd, name: &str, links: &Links) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(folder, name, flags, Mode::empty())?;
        Ok(Self {
            handle: Arc::new(handle),
            links: links.clone(),
        })
    }

    /// The folder a link of the kernel's leads to.
    pub(super) fn folder(&self, name: &str) -> Result<Self, Errno> {
        Self::open(&self.handle, name, &self.links)
    }

    /// The owner of the folder itself.
    pub(super) fn owner(&self) -> Result<u32, Errno> {
        fstat(&self.handle).map(|stat| stat.st_uid)
    }

    /// Where a link leads.
    pub(super) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        self.links.read(&self.handle, name)
    }

    /// The file a link leads to.
    pub(super) fn stat(&self, name: &str) -> Result<Stat, Errno> {
        self.links.stat(&self.handle, name)
    }

    /// The beginning of a file of text, if it is a file and no link to one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        read(&self.handle, name)
    }
}

fn read(folder: impl AsFd, name: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // A fifo in its place must not hold us up, nor a terminal become ours.
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(folder, name, flags, Mode::empty()).ok()?;
    let is_file = FileType::from_raw_mode(fstat(&file).ok()?.st_mode) == FileType::RegularFile;
    let mut bytes = Vec::new();
    let file = is_file.then(|| std::fs::File::from(file))?;
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether both are one file.
pub(super) fn same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// The file at this path, as it is here.
pub(super) fn file_at(path: &Path) -> Result<Stat, Errno> {
    statat(CWD, path, AtFlags::empty())
}

/// Which file it is; `None` where only root could put another one at its path.
pub(super) fn identity(file: &Stat, path: &Path) -> Option<FileIdentity> {
    let of_root = |stat: &Stat| stat.st_uid == 0 && stat.st_mode & OTHERS_WRITE == 0;
    let folders = path.ancestors().skip(1).map(PathBuf::from);
    let mut folders = folders.map(|folder| file_at(&folder));
    if of_root(file) && folders.all(|folder| folder.is_ok_and(|folder| of_root(&folder))) {
        return None;
    }
    Some(FileIdentity {
        inode: file.st_ino,
        changed: i128::from(file.st_ctime) * 1_000_000_000 + i128::from(file.st_ctime_nsec),
    })
}
