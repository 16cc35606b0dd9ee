//! The vault's folder: private, local, and held by one process.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keyward_client::ports::StoreError;
use rustix::fs::OFlags;

use crate::error::of_io;
use crate::file_system;
use crate::lock::{Lock, lock};
use crate::machine::{Sharing, StateFolder};

/// The database and the files SQLite puts beside it.
pub(crate) const DATABASE: &str = "vault.db";
pub(crate) const LOG: &str = "vault.db-wal";
/// The database before it is complete.
const DRAFT: &str = "vault.db.new";
/// Locked by the process that holds the vault; holds its process id.
pub(crate) const LOCK: &str = "vault.lock";

/// The vault's folder, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    handle: File,
    uid: u32,
    lock: Option<Lock>,
}

impl Place {
    /// Opens and locks the folder, making it first if there is none.
    ///
    /// # Errors
    ///
    /// When others may enter it, another process holds it, or other machines may write to it.
    pub(crate) fn open(folder: &StateFolder) -> Result<Self, StoreError> {
        Self::open_as(folder, rustix::process::geteuid().as_raw())
    }

    fn open_as(state: &StateFolder, uid: u32) -> Result<Self, StoreError> {
        let folder = state.path();
        make(folder).map_err(|error| of_io("create", folder, &error))?;
        // SQLite is told to follow no links, so the ones above the folder are resolved here.
        let folder = folder
            .canonicalize()
            .map_err(|error| of_io("open", folder, &error))?;
        let handle = File::open(&folder).map_err(|error| of_io("open", &folder, &error))?;
        check(&folder, &metadata(&folder, &handle)?, uid, 0o700)?;
        if state.sharing() == Sharing::Unknown {
            refuse_shared(&folder, &handle)?;
        }
        let lock = lock(&folder.join(LOCK), uid)?;
        Ok(Self {
            folder,
            handle,
            uid,
            lock,
        })
    }

    /// Whether the file system can be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.writable)
    }

    /// The content of the database and of its log.
    pub(crate) fn content(&self) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let read = |path: PathBuf| {
            let mut content = Vec::new();
            if let Some(mut file) = self.private_file(&path)? {
                file.read_to_end(&mut content)
                    .map_err(|error| of_io("read", &path, &error))?;
            }
            Ok(content)
        };
        Ok((read(self.database())?, read(self.folder.join(LOG))?))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    pub(crate) fn draft(&self) -> PathBuf {
        self.folder.join(DRAFT)
    }

    /// The database's first bytes; `None` if there is no database yet.
    ///
    /// # Errors
    ///
    /// When others may read or write it or its log, or only its log is there.
    pub(crate) fn database_header(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let log = self.private_file(&self.folder.join(LOG))?;
        let path = self.database();
        let Some(file) = self.private_file(&path)? else {
            return match log {
                None => Ok(None),
                Some(_) => Err(StoreError::Damaged(format!(
                    "{} is missing but its log {LOG} is there; put it back, or remove the log to \
                     begin anew",
                    path.display()
                ))),
            };
        };
        let mut header = Vec::new();
        file.take(100)
            .read_to_end(&mut header)
            .map_err(|error| of_io("read", &path, &error))?;
        Ok(Some(header))
    }

    /// Makes an empty file for a new database; one that a crash left half made is removed.
    pub(crate) fn begin_draft(&self) -> Result<(), StoreError> {
        let path = self.draft();
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let leftover = self.folder.join(format!("{DRAFT}{suffix}"));
            match std::fs::remove_file(&leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(of_io("remove", &leftover, &error));
                }
                _ => {}
            }
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map(drop)
            .map_err(|error| of_io("create", &path, &error))
    }

    /// Makes the finished draft the database.
    pub(crate) fn finish_draft(&self) -> Result<(), StoreError> {
        let path = self.draft();
        File::open(&path)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&path, self.database()))
            .and_then(|()| self.handle.sync_all())
            .map_err(|error| of_io("create", &self.database(), &error))
    }

    /// Copies the database and its log to a name that is free. They survive a power cut.
    pub(crate) fn keep_aside(&self) -> Result<PathBuf, StoreError> {
        let (database, log) = self.content()?;
        let free = (1..1000)
            .map(|number| self.folder.join(format!("{DATABASE}.damaged-{number}")))
            .find(|path| path.symlink_metadata().is_err())
            .unwrap_or_else(|| self.folder.join(format!("{DATABASE}.damaged")));
        let mut beside = free.clone().into_os_string();
        beside.push("-wal");
        let copies = [(free.clone(), database), (PathBuf::from(beside), log)];
        for (path, content) in copies {
            if content.is_empty() {
                continue;
            }
            let written = write_new(&path, &content).and_then(|()| self.handle.sync_all());
            if let Err(error) = written {
                // Half a copy is none.
                let _ = std::fs::remove_file(&path);
                return Err(of_io("write", &path, &error));
            }
        }
        Ok(free)
    }

    fn private_file(&self, path: &Path) -> Result<Option<File>, StoreError> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(no_follow())
            .open(path);
        match opened {
            Ok(file) => {
                check(path, &metadata(path, &file)?, self.uid, 0o600)?;
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_io("open", path, &error)),
        }
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the folder and those above it, if there is none, and lets their names survive a power cut:
/// a record is no more durable than the folder it is in.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    let above = folder.ancestors();
    let missing: Vec<&Path> = above.take_while(|dir| !dir.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    for parent in missing.iter().filter_map(|dir| dir.parent()) {
        if !parent.as_os_str().is_empty() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn refuse_shared(folder: &Path, handle: &File) -> Result<(), StoreError> {
    let shared = file_system::shared(handle)
        .map_err(|errno| of_io("check the file system of", folder, &errno.into()))?;
    match shared {
        None => Ok(()),
        Some(name) => Err(StoreError::Io(format!(
            "{} is on {name}, a file system other machines may write to at the same time; set \
             KEYWARD_STATE_DIR to a folder on a local disk",
            folder.display()
        ))),
    }
}

pub(crate) fn metadata(path: &Path, file: &File) -> Result<Metadata, StoreError> {
    file.metadata()
        .map_err(|error| of_io("check", path, &error))
}

/// Whether only `uid` can use it.
pub(crate) fn check(
    path: &Path,
    metadata: &Metadata,
    uid: u32,
    widest: u32,
) -> Result<(), StoreError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if owner != uid {
        return Err(StoreError::Damaged(format!(
            "{} belongs to uid {owner}, not to uid {uid}: run chown {uid} on it",
            path.display()
        )));
    }
    if mode & !widest != 0 {
        return Err(StoreError::Damaged(format!(
            "{} may be used by others (mode {mode:03o}): run chmod {widest:03o} on it",
            path.display()
        )));
    }
    if widest == 0o600 && !metadata.is_file() {
        return Err(StoreError::Damaged(format!(
            "{} is not a file",
            path.display()
        )));
    }
    Ok(())
}

pub(crate) fn no_follow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    pub(crate) fn private_dir() -> tempfile::TempDir {
        tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
    }

    pub(crate) fn at(folder: &Path) -> StateFolder {
        StateFolder::single(folder)
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn the_folder_is_made_private_with_those_above_it() {
        let dir = private_dir();
        let folder = dir.path().join("a/b");
        let place = Place::open(&at(&folder)).unwrap();
        for made in [&folder, folder.parent().unwrap()] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
        assert_eq!(
            fs::metadata(folder.join(LOCK)).unwrap().mode() & 0o777,
            0o600
        );
        assert!(place.database_header().unwrap().is_none());
    }

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let dir = private_dir();
        let first = Place::open(&at(dir.path())).unwrap();
        let error = Place::open(&at(dir.path())).unwrap_err();
        let StoreError::InUse(text) = &error else {
            panic!("{error:?}");
        };
        let pid = std::process::id();
        assert!(text.starts_with(&format!("process {pid} holds ")), "{text}");
        drop(first);
        Place::open(&at(dir.path())).unwrap();
    }

    #[test]
    fn looser_modes_and_foreign_owners_are_refused() {
        let dir = private_dir();
        let folder = dir.path().join("state");
        drop(Place::open(&at(&folder)).unwrap());
        let error = Place::open_as(&at(&folder), own_uid() + 1).unwrap_err();
        assert!(error.to_string().contains("run chown"), "{error}");

        for (name, mode) in [(LOCK, 0o644), (DATABASE, 0o640), (LOG, 0o602)] {
            let path = folder.join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let opened = Place::open(&at(&folder)).and_then(|place| place.database_header());
            let error = opened.unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("run chmod 600"),
                "{error}"
            );
            fs::remove_file(&path).unwrap();
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Place::open(&at(&folder)).unwrap_err();
        assert!(error.to_string().contains("run chmod 700"), "{error}");
    }

    #[test]
    fn a_link_above_the_folder_is_followed_and_one_in_it_is_not() {
        let dir = private_dir();
        let real = dir.path().join("real");
        drop(Place::open(&at(&real)).unwrap());
        symlink(&real, dir.path().join("link")).unwrap();
        let place = Place::open(&at(&dir.path().join("link"))).unwrap();
        assert!(place.database().starts_with(real.canonicalize().unwrap()));

        fs::write(dir.path().join("elsewhere"), "").unwrap();
        symlink(dir.path().join("elsewhere"), place.database()).unwrap();
        assert!(place.database_header().is_err());
    }

    #[test]
    fn a_log_without_its_database_is_refused() {
        let dir = private_dir();
        let place = Place::open(&at(dir.path())).unwrap();
        let log = dir.path().join(LOG);
        fs::write(&log, "frames").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
        let error = place.database_header().unwrap_err();
        assert!(
            error.to_string().contains("is missing but its log"),
            "{error}"
        );
    }
}
