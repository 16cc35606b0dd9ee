//! The socket: in a folder of the user's own, bound whole, and by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyward_broker_ipc::lock_of;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::activation;

/// How long to wait for another keywardd that holds the socket but serves nobody. Longer than one
/// takes to stop.
const CHANGEOVER: Duration = Duration::from_secs(15);

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The user this runs as. Nobody else gets as far as the socket.
    OwnUser,
    /// Every local user. Nobody else may change what is in the socket's folder.
    EveryUser,
}

impl Access {
    const fn mode_of_socket(self) -> u32 {
        match self {
            Self::OwnUser => 0o600,
            Self::EveryUser => 0o666,
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Nobody is kept waiting any more once this is dropped.
    pub(crate) listener: UnixListener,
    /// Its place in the file system, as long as it is held.
    pub(crate) place: Option<Place>,
    /// Whether somebody else made it, who goes on listening when we do not.
    pub(crate) is_passed: bool,
}

/// The place of a socket, kept from other keywardds. One of our own making is cleared when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    own: Option<PathBuf>,
    _lock: File,
}

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another keywardd has it.
    #[error("another keywardd serves {}", .0.display())]
    InUse(PathBuf),
    /// A service manager passes something else.
    #[error("there is no socket to serve: {0}")]
    Passed(io::Error),
    /// Somebody else could take part in what happens in its folder.
    #[error("{} is no place for the socket: {reason}", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Socket {
    /// The socket a service manager passes, or one bound at `path`.
    ///
    /// # Errors
    ///
    /// When another keywardd serves it, or its folder is not the user's own.
    pub(crate) async fn open(path: &Path, access: Access) -> Result<Self, SocketError> {
        match activation::passed().map_err(SocketError::Passed)? {
            Some(listener) => Ok(Self::passed(listener, path).await),
            None => Self::bind(path, access).await,
        }
    }

    /// The lock shows that somebody is behind the socket now. Where it cannot be taken, the service
    /// manager alone sees to it that nobody else is.
    async fn passed(listener: UnixListener, path: &Path) -> Self {
        let place = match lock(path, Whose::Passed).await {
            Ok(lock) => Some(Place {
                own: None,
                _lock: lock,
            }),
            Err(error) => {
                tracing::debug!(%error, "the passed socket is served without its lock");
                None
            }
        };
        Self {
            listener,
            place,
            is_passed: true,
        }
    }

    /// Binds beside the final name and renames, so that nobody ever finds a socket with other
    /// permissions, or one that does not listen. What was there before, nobody serves: we hold
    /// the lock.
    async fn bind(path: &Path, access: Access) -> Result<Self, SocketError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        match access {
            Access::OwnUser => private_folder(folder)?,
            Access::EveryUser => public_folder(folder)?,
        }
        let lock = lock(path, Whose::Own).await?;
        if UnixStream::connect(path).is_ok() {
            // A service manager that starts keywardd when somebody connects: so it does now.
            return Err(SocketError::InUse(path.to_owned()));
        }
        let draft = with_suffix(path, ".new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &draft, error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&draft).map_err(|e| failed("bind", &draft, e))?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(access.mode_of_socket()))
            .and_then(|()| fs::rename(&draft, path))
            .map_err(|error| failed("bind", path, error))?;
        Ok(Self {
            listener,
            place: Some(Place {
                own: Some(path.to_owned()),
                _lock: lock,
            }),
            is_passed: false,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It is ours as long as we hold the lock; one that is gone already was removed by hand.
        if let Some(path) = &self.own {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes the folder if there is none, and refuses one that others may enter: they could put a
/// socket of theirs in our place.
fn private_folder(folder: &Path) -> Result<(), SocketError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed("create", folder, error))?;
    let metadata = fs::metadata(folder).map_err(|error| failed("check", folder, error))?;
    let uid = rustix::process::geteuid().as_raw();
    let not_private = |reason| {
        Err(SocketError::NotPrivate {
            folder: folder.to_owned(),
            reason,
        })
    };
    if metadata.uid() != uid {
        let owner = metadata.uid();
        return not_private(format!(
            "it belongs to uid {owner}, not to uid {uid}; set KEYWARD_SOCKET to a path in a \
             folder of your own"
        ));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return not_private(format!(
            "others may enter it (mode {mode:03o}); run chmod 700 on it, or set KEYWARD_SOCKET to \
             a path in a folder of your own"
        ));
    }
    Ok(())
}

/// Refuses a folder in which others could put a socket of theirs in our place, or which they cannot
/// enter. It is made by who starts the service, where only root can make one.
fn public_folder(folder: &Path) -> Result<(), SocketError> {
    let metadata = fs::metadata(folder).map_err(|error| failed("find", folder, error))?;
    let uid = rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o777;
    let reason = if metadata.uid() != uid && metadata.uid() != 0 {
        format!("it belongs to uid {}, who could change it", metadata.uid())
    } else if mode & 0o022 != 0 {
        format!("others may change it (mode {mode:03o}); run chmod 755 on it")
    } else if mode & 0o011 != 0o011 {
        format!("others may not enter it (mode {mode:03o}); run chmod 755 on it")
    } else {
        return Ok(());
    };
    Err(SocketError::NotPrivate {
        folder: folder.to_owned(),
        reason,
    })
}

/// Whose socket a lock is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// One that is bound when the lock is taken.
    Own,
    /// A service manager's, which has somebody listening at all times.
    Passed,
}

/// Takes the lock that goes with a socket. It is kept by whoever serves it.
async fn lock(path: &Path, whose: Whose) -> Result<File, SocketError> {
    let lock_path = lock_of(path);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock_path)
        .map_err(|error| failed("open", &lock_path, error))?;
    let deadline = Instant::now() + CHANGEOVER;
    let mut attempts = tokio::time::interval(Duration::from_millis(10));
    loop {
        attempts.tick().await;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // Held but not served: the other one is starting, or finishing what it began.
            Err(Errno::WOULDBLOCK)
                if whose == Whose::Passed || UnixStream::connect(path).is_err() =>
            {
                if Instant::now() > deadline {
                    return Err(SocketError::InUse(path.to_owned()));
                }
            }
            Err(Errno::WOULDBLOCK) => return Err(SocketError::InUse(path.to_owned())),
            Err(errno) => return Err(failed("lock", &lock_path, errno.into())),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> SocketError {
    SocketError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/keyward/broker.sock");
        (dir, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_and_its_folder_are_the_users_alone() {
        let (_dir, path) = path();
        let socket = Socket::bind(&path, Access::OwnUser).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_process_serves_a_socket() {
        let (_dir, path) = path();
        let _socket = Socket::bind(&path, Access::OwnUser).await.unwrap();
        let error = Socket::bind(&path, Access::OwnUser).await.unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn one_that_is_stopping_is_waited_for() {
        let (_dir, path) = path();
        // It does not listen any more but still holds the lock.
        let Socket {
            listener, place, ..
        } = Socket::bind(&path, Access::OwnUser).await.unwrap();
        drop(listener);
        let starting = tokio::spawn({
            let path = path.clone();
            async move { Socket::bind(&path, Access::OwnUser).await }
        });
        tokio::task::yield_now().await;
        drop(place);
        let _socket = starting.await.unwrap().unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_a_crash_left_behind_is_replaced() {
        let (_dir, path) = path();
        private_folder(path.parent().unwrap()).unwrap();
        for stale in [path.clone(), with_suffix(&path, ".new")] {
            drop(UnixListener::bind(&stale).unwrap());
            assert!(UnixStream::connect(&stale).is_err());
        }
        let _socket = Socket::bind(&path, Access::OwnUser).await.unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_folder_others_may_enter_is_refused() {
        let (_dir, path) = path();
        let folder = path.parent().unwrap();
        private_folder(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
        let error = Socket::bind(&path, Access::OwnUser).await.unwrap_err();
        assert!(error.to_string().contains("run chmod 700"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_for_every_user_is_in_a_folder_all_may_enter_and_none_may_change() {
        let (_dir, path) = path();
        let folder = path.parent().unwrap();
        let missing = Socket::bind(&path, Access::EveryUser).await.unwrap_err();
        assert!(missing.to_string().starts_with("cannot find "), "{missing}");
        fs::create_dir_all(folder).unwrap();
        for (bad, why) in [(0o777, "may change"), (0o700, "may not enter")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(bad)).unwrap();
            let error = Socket::bind(&path, Access::EveryUser).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let _socket = Socket::bind(&path, Access::EveryUser).await.unwrap();
        assert_eq!((mode(&path), mode(folder)), (0o666, 0o755));
    }

    #[tokio::test]
    async fn a_socket_somebody_else_listens_on_is_left_to_them() {
        let (_dir, path) = path();
        private_folder(path.parent().unwrap()).unwrap();
        let manager = UnixListener::bind(&path).unwrap();
        let error = Socket::bind(&path, Access::OwnUser).await.unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        let passed = Socket::passed(manager, &path).await;
        assert!(passed.is_passed && passed.place.is_some());
        drop(passed);
        assert!(path.exists());
    }
}
