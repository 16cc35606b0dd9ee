//! A folder only its user may enter, and files in it that only its user may read.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, openat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::error::KeyStoreError;

/// Permission bits of the folder.
const FOLDER_MODE: u32 = 0o700;
/// Permission bits of its files.
const FILE_MODE: u32 = 0o600;
/// Larger than any file kept here.
const LARGEST_FILE: usize = 4096;

/// An open folder. Files are reached through its descriptor, so that renaming it or a folder
/// above changes nothing between check and use.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    uid: u32,
}

impl Folder {
    /// Opens the folder, making it first if there is none.
    ///
    /// # Errors
    ///
    /// When it belongs to somebody other than `uid`, or others may enter it.
    pub(crate) fn open(path: &Path, uid: u32) -> Result<Self, KeyStoreError> {
        let handle = match open_folder(path) {
            Err(Errno::NOENT) => {
                make(path)?;
                open_folder(path)
            }
            opened => opened,
        }
        .map_err(|errno| failed("open", path, errno))?;
        let folder = Self {
            handle,
            path: path.to_owned(),
            uid,
        };
        let stat = fstat(&folder.handle).map_err(|errno| failed("check", path, errno))?;
        folder.check(path, &stat, FOLDER_MODE)?;
        Ok(folder)
    }

    /// The path of a file in it, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names of what is in it, in no order. Names that are no text are of no use here.
    pub(crate) fn names(&self) -> Result<Vec<String>, KeyStoreError> {
        let failed = |errno| failed("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(ToOwned::to_owned));
        }
        Ok(names)
    }

    /// Reads a whole file. `None`: there is none.
    ///
    /// # Errors
    ///
    /// When it belongs to somebody else, others may read it, or it is no plain file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyStoreError> {
        let path = self.path_of(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("read", &path, errno)),
        };
        let stat = fstat(&handle).map_err(|errno| failed("check", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let reason = "it is not a file";
            return Err(KeyStoreError::Damaged { path, reason });
        }
        self.check(&path, &stat, FILE_MODE)?;
        // One allocation, so that no outgrown copy is left behind.
        let mut content = Zeroizing::new(Vec::with_capacity(LARGEST_FILE + 1));
        File::from(handle)
            .take(LARGEST_FILE as u64)
            .read_to_end(&mut content)
            .map_err(|source| KeyStoreError::Io {
                action: "read",
                path,
                source,
            })?;
        Ok(Some(content))
    }

    /// Makes a file that did not exist: whole and durable when this returns, or not there at all.
    ///
    /// # Errors
    ///
    /// When one of that name exists; it is left as it is.
    pub(crate) fn create(&self, name: &str, content: &[u8]) -> Result<(), KeyStoreError> {
        let path = self.path_of(name);
        let fail = |action| move |source: io::Error| (action, source);
        let draft = format!("{name}.new");
        let written = self
            .write_draft(&draft, content)
            .map_err(fail("write"))
            .and_then(|()| {
                // Never replaces: a key that is there may be all that opens something.
                let flags = RenameFlags::NOREPLACE;
                renameat_with(&self.handle, &draft, &self.handle, name, flags)
                    .and_then(|()| fsync(&self.handle))
                    .map_err(|errno| fail("create")(errno.into()))
            });
        written.map_err(|(action, source)| {
            // What remains of the attempt is of no use; that it cannot be removed changes nothing.
            let _ = unlinkat(&self.handle, &draft, AtFlags::empty());
            KeyStoreError::Io {
                action,
                path,
                source,
            }
        })
    }

    /// Overwrites a file's content and removes it. One that is gone already is no error.
    pub(crate) fn destroy(&self, name: &str) -> Result<(), KeyStoreError> {
        let path = self.path_of(name);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => overwrite(File::from(handle)).map_err(|source| KeyStoreError::Io {
                action: "overwrite",
                path: path.clone(),
                source,
            })?,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed("remove", &path, errno)),
        }
        unlinkat(&self.handle, name, AtFlags::empty())
            .and_then(|()| fsync(&self.handle))
            .map_err(|errno| failed("remove", &path, errno))
    }

    fn write_draft(&self, draft: &str, content: &[u8]) -> io::Result<()> {
        // One that a crash left behind was never used by anybody.
        match unlinkat(&self.handle, draft, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let mut file = File::from(openat(&self.handle, draft, flags, mode)?);
        file.write_all(content)?;
        file.sync_all()
    }

    fn check(&self, path: &Path, stat: &Stat, wanted: u32) -> Result<(), KeyStoreError> {
        if stat.st_uid != self.uid {
            return Err(KeyStoreError::ForeignOwner {
                path: path.to_owned(),
                owner: stat.st_uid,
                uid: self.uid,
            });
        }
        let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o777;
        if mode & !wanted != 0 {
            return Err(KeyStoreError::TooOpen {
                path: path.to_owned(),
                mode,
                wanted,
            });
        }
        Ok(())
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Makes a folder and those above it, and lets their names survive a power cut.
fn make(path: &Path) -> Result<(), KeyStoreError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    let made = DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .and_then(|()| {
            let parents = missing.iter().filter_map(|dir| dir.parent());
            parents
                .filter(|parent| !parent.as_os_str().is_empty())
                .try_for_each(|parent| File::open(parent)?.sync_all())
        });
    made.map_err(|source| KeyStoreError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })
}

/// Best effort: a file system that writes elsewhere or a snapshot keeps the old bytes, which is
/// one more reason why they are sealed.
fn overwrite(mut file: File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(LARGEST_FILE);
    file.write_all(&vec![0; length.min(LARGEST_FILE)])?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> KeyStoreError {
    KeyStoreError::Io {
        action,
        path: path.to_owned(),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("a/keys"), own_uid()).unwrap();
        (dir, folder)
    }

    #[test]
    fn folder_and_files_are_made_private() {
        let (_dir, folder) = folder();
        folder.create("k", b"content").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&folder.path), FOLDER_MODE);
        assert_eq!(mode(&folder.path_of("k")), FILE_MODE);
        assert_eq!(folder.read("k").unwrap().unwrap().as_slice(), b"content");
        assert!(folder.read("other").unwrap().is_none());
        assert!(!folder.path_of("k.new").exists());
    }

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let (_dir, folder) = folder();
        folder.create("k", b"first").unwrap();
        let error = folder.create("k", b"second").unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert_eq!(folder.read("k").unwrap().unwrap().as_slice(), b"first");
        assert!(!folder.path_of("k.new").exists());
    }

    #[test]
    fn what_a_crash_left_behind_is_no_obstacle() {
        let (_dir, folder) = folder();
        fs::write(folder.path_of("k.new"), b"hal").unwrap();
        folder.create("k", b"whole").unwrap();
        assert_eq!(folder.read("k").unwrap().unwrap().as_slice(), b"whole");
    }

    #[test]
    fn looser_modes_are_refused_with_the_command_that_mends_them() {
        let (_dir, folder) = folder();
        folder.create("k", b"content").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o700] {
            fs::set_permissions(folder.path_of("k"), fs::Permissions::from_mode(mode)).unwrap();
            let error = folder.read("k").unwrap_err();
            assert!(matches!(error, KeyStoreError::TooOpen { .. }), "{error}");
            assert!(error.to_string().contains("run chmod 600"), "{error}");
        }
        fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o750)).unwrap();
        let error = Folder::open(&folder.path, own_uid()).unwrap_err();
        assert!(error.to_string().contains("run chmod 700"), "{error}");
    }

    #[test]
    fn a_foreign_owner_is_refused() {
        let (_dir, folder) = folder();
        folder.create("k", b"content").unwrap();
        let error = Folder::open(&folder.path, own_uid() + 1).unwrap_err();
        assert!(
            matches!(error, KeyStoreError::ForeignOwner { .. }),
            "{error}"
        );
        let elsewhere = Folder {
            uid: own_uid() + 1,
            ..folder
        };
        let error = elsewhere.read("k").unwrap_err();
        assert!(
            matches!(error, KeyStoreError::ForeignOwner { .. }),
            "{error}"
        );
    }

    #[test]
    fn links_and_things_that_are_no_files_are_refused() {
        let (_dir, folder) = folder();
        folder.create("k", b"content").unwrap();
        symlink(folder.path_of("k"), folder.path_of("link")).unwrap();
        assert!(folder.read("link").is_err());
        rustix::fs::mkdirat(&folder.handle, "dir", Mode::from_raw_mode(0o700)).unwrap();
        let error = folder.read("dir").unwrap_err();
        assert!(error.to_string().contains("not a file"), "{error}");
    }

    #[test]
    fn destroyed_is_gone_and_gone_is_no_error() {
        let (_dir, folder) = folder();
        folder.create("k", b"content").unwrap();
        folder.destroy("k").unwrap();
        assert!(folder.read("k").unwrap().is_none());
        folder.destroy("k").unwrap();
    }
}
