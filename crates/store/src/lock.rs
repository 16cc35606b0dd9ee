//! The lock on a vault: one process holds it at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use keyward_client::ports::StoreError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::of_io;
use crate::place::{check, metadata, no_follow};

/// Takes the lock, and leaves our process id in it for whoever comes next. `None`: the file system
/// is read-only and nobody ever locked anything here.
///
/// # Errors
///
/// [`StoreError::InUse`] when another process has it.
pub(crate) fn lock(path: &Path, uid: u32) -> Result<Option<Lock>, StoreError> {
    let failed = |error: io::Error| of_io("open", path, &error);
    let (mut file, writable) = match open(path, true) {
        Ok(file) => (file, true),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            match open(path, false) {
                Ok(file) => (file, false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
        Err(error) => return Err(failed(error)),
    };
    check(path, &metadata(path, &file)?, uid, 0o600)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(StoreError::InUse(holder(path, &mut file))),
        Err(errno) => return Err(of_io("lock", path, &errno.into())),
    }
    if writable {
        // Who holds it is for a person; on a full disk the lock is as good without.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
    }
    Ok(Some(Lock {
        _file: file,
        writable,
    }))
}

/// A lock that is held.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// Whether the file system can be written.
    pub(crate) writable: bool,
}

fn open(path: &Path, writable: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(writable)
        .create(writable)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
}

fn holder(path: &Path, file: &mut File) -> String {
    let mut text = String::new();
    // Not knowing changes nothing.
    let _ = file.take(20).read_to_string(&mut text);
    let holder = match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    format!("{holder} holds {}: one keywardd per vault", path.display())
}
