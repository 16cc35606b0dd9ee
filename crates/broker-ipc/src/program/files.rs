//! Reading below `/proc/PID`, by a handle that stays with the process.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::FileIdentity;

/// More than any file that is read here has.
const LARGEST: u64 = 64 * 1024;
/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;

/// A folder below which files are read.
pub(super) struct Folder(OwnedFd);

impl Folder {
    pub(super) fn of_process(pid: u32) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).map(Self)
    }

    /// The folder a link of the kernel's leads to.
    pub(super) fn folder(&self, name: &str) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// The owner of the folder itself.
    pub(super) fn owner(&self) -> Result<u32, Errno> {
        fstat(&self.0).map(|stat| stat.st_uid)
    }

    /// Where a link leads.
    pub(super) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        readlinkat(&self.0, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// The file a link leads to.
    pub(super) fn stat(&self, name: &str) -> Result<Stat, Errno> {
        statat(&self.0, name, AtFlags::empty())
    }

    /// The beginning of a file of text, if it is a file and no link to one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        read(&self.0, name)
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
