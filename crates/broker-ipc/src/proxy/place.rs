//! Whose place a socket is in: the user's own, or one that only root can have made.
//!
//! Nobody else may be able to put a broker of theirs where ours is looked for.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use keyward_client::error::AcquireTokenError;

use super::socket::{unavailable, unsafe_place};

/// Others may not write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A socket in a safe place.
#[derive(Debug)]
pub(super) struct SafePlace {
    /// The socket, without symbolic links on the way to it.
    pub(super) path: PathBuf,
    owner: Owner,
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// This user: a broker of the session form.
    OwnUser(u32),
    /// Whom root gave the folder to, with nobody else able to change anything on the way to it: a
    /// broker of the system form.
    Service(u32),
}

impl SafePlace {
    /// Looks at the socket's folder, and at every folder on the way to it where it is not this
    /// user's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BrokerUnavailable`](keyward_client::error::ErrorKind) when nothing is there,
    /// `IncorrectConfiguration` when somebody else could have put it there.
    pub(super) fn check(path: &Path) -> Result<Self, AcquireTokenError> {
        let uid = rustix::process::getuid().as_raw();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(not_absolute(path));
        };
        if !path.is_absolute() {
            return Err(not_absolute(path));
        }
        let folder = fs::canonicalize(folder).map_err(|error| unavailable(path, &error))?;
        let of_folder = fs::metadata(&folder).map_err(|error| unavailable(path, &error))?;
        let owner = owner(&folder, &of_folder, uid)?;
        let path = folder.join(name);
        let of_socket = fs::symlink_metadata(&path).map_err(|error| unavailable(&path, &error))?;
        let place = Self { path, owner };
        if !of_socket.file_type().is_socket() || !place.may_be_of(of_socket.uid()) {
            return Err(unsafe_place(format!(
                "{} is not a socket of {}",
                place.path.display(),
                place.whose()
            )));
        }
        Ok(place)
    }

    /// Refuses a broker that runs as somebody else than the place is kept for.
    pub(super) fn check_peer(&self, peer: u32) -> Result<(), AcquireTokenError> {
        if self.may_be_of(peer) {
            return Ok(());
        }
        Err(unsafe_place(format!(
            "the broker at {} runs as uid {peer}, not as {}",
            self.path.display(),
            self.whose()
        )))
    }

    /// Root may listen for the service it starts.
    fn may_be_of(&self, uid: u32) -> bool {
        match self.owner {
            Owner::OwnUser(own) => uid == own,
            Owner::Service(service) => uid == service || uid == 0,
        }
    }

    fn whose(&self) -> String {
        match self.owner {
            Owner::OwnUser(_) => "this user".to_owned(),
            Owner::Service(uid) => format!("uid {uid}, to whom its folder belongs"),
        }
    }
}

fn owner(folder: &Path, of_folder: &Metadata, uid: u32) -> Result<Owner, AcquireTokenError> {
    let shown = folder.display();
    let mode = of_folder.mode() & 0o7777;
    let of_others = mode & 0o077;
    if of_folder.uid() == uid && of_others == 0 {
        return Ok(Owner::OwnUser(uid));
    }
    // A folder of this user that others may write is the user's to mend, not root's.
    let Some(loose) = loose(folder, of_folder) else {
        return Ok(Owner::Service(of_folder.uid()));
    };
    if of_folder.uid() == uid {
        return Err(unsafe_place(format!(
            "the folder {shown} of the broker's socket is open to others (mode {mode:04o}): run \
             chmod 700 {shown}"
        )));
    }
    Err(unsafe_place(format!(
        "the folder {shown} of the broker's socket belongs to uid {}, and {loose}",
        of_folder.uid()
    )))
}

/// Why the folder is not one of root's choosing: others could change it, or what is on the way to
/// it. `None`: it is.
fn loose(folder: &Path, of_folder: &Metadata) -> Option<String> {
    if of_folder.mode() & WRITABLE_BY_OTHERS != 0 {
        return Some("others may write in it".to_owned());
    }
    for above in folder.ancestors().skip(1) {
        let Ok(metadata) = fs::metadata(above) else {
            return Some(format!("{} cannot be looked at", above.display()));
        };
        if metadata.uid() != 0 || metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Some(format!(
                "{} above it can be changed by others than root",
                above.display()
            ));
        }
    }
    None
}

fn not_absolute(path: &Path) -> AcquireTokenError {
    unsafe_place(format!(
        "the broker's socket {} needs an absolute path",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::net::UnixListener;

    use keyward_client::error::ErrorKind;
    use tempfile::TempDir;

    use super::*;

    const NOBODY: u32 = 65534;

    fn folder_in(parent: &Path, mode: u32) -> (TempDir, PathBuf) {
        let folder = tempfile::Builder::new().prefix("kw-").tempdir_in(parent);
        let folder = folder.unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        let path = folder.path().join("broker.sock");
        drop(UnixListener::bind(&path).unwrap());
        (folder, path)
    }

    fn refused(path: &Path) -> String {
        let error = SafePlace::check(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
        error.message().to_owned()
    }

    #[test]
    fn in_a_folder_of_the_users_own_only_the_user_is_believed() {
        let (folder, path) = folder_in(&std::env::temp_dir(), 0o700);
        let uid = rustix::process::getuid().as_raw();
        let place = SafePlace::check(&path).unwrap();
        place.check_peer(uid).unwrap();
        place.check_peer(uid + 1).unwrap_err();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o750)).unwrap();
        assert!(refused(&path).contains("run chmod 700"));
        assert!(refused(Path::new("broker.sock")).contains("absolute"));
        fs::remove_file(&path).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let missing = SafePlace::check(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::BrokerUnavailable);
    }

    #[test]
    fn a_folder_only_root_can_have_given_away_is_believed_and_no_other() {
        if !keyward_testkit::root::tests("whose brokers of the system form are believed") {
            return;
        }
        let (folder, path) = folder_in(Path::new("/run"), 0o755);
        for given in [folder.path(), &path] {
            chown(given, Some(NOBODY), None).unwrap();
        }
        let place = SafePlace::check(&path).unwrap();
        place.check_peer(NOBODY).unwrap();
        place.check_peer(0).unwrap();
        let other = place.check_peer(NOBODY - 1).unwrap_err();
        assert!(other.message().contains("65533"), "{other}");

        fs::set_permissions(folder.path(), Permissions::from_mode(0o775)).unwrap();
        assert!(refused(&path).contains("others may write in it"));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        chown(&path, Some(NOBODY - 1), None).unwrap();
        assert!(refused(&path).contains("is not a socket of uid 65534"));

        // Whoever was first could have made such a folder.
        let (folder, path) = folder_in(&std::env::temp_dir(), 0o755);
        chown(folder.path(), Some(NOBODY), None).unwrap();
        assert!(refused(&path).contains("can be changed by others than root"));
    }

    #[test]
    fn what_a_symbolic_link_leads_to_is_what_counts() {
        let (_folder, path) = folder_in(&std::env::temp_dir(), 0o700);
        let (loose, _) = folder_in(&std::env::temp_dir(), 0o755);
        let link = loose.path().join("link");
        std::os::unix::fs::symlink(path.parent().unwrap(), &link).unwrap();
        let place = SafePlace::check(&link.join("broker.sock")).unwrap();
        assert_eq!(place.path, fs::canonicalize(&path).unwrap());
    }
}
