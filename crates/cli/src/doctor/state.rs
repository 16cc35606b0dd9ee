//! The folder of vault and keys: private, and on a disk of this device.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyward::ErrorKind;
use keyward_config::{BrokerPlace, Environment, Form, Places};

use super::check::Check;

const NAME: &str = "state folder";

/// File systems on which a lock of this device means nothing to the next one.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "fuse.sshfs",
    "fuse.glusterfs",
    "gfs2",
    "ocfs2",
    "lustre",
    "beegfs",
    "davfs",
    "fuse.davfs2",
    "ncpfs",
    "coda",
];

/// Looks at the folder the broker would use.
pub fn check(environment: &Environment) -> [Check; 1] {
    if BrokerPlace::find(environment).is_ok_and(|place| place.form == Form::System) {
        let message = "the system's keywardd keeps it, out of reach of what this user runs";
        return [Check::ok(NAME, message)];
    }
    [match Places::state_dir(environment) {
        Ok(place) => folder(&place.value, environment.uid()),
        Err(error) => Check::fail(
            NAME,
            ErrorKind::IncorrectConfiguration,
            error.to_string(),
            "set KEYWARD_STATE_DIR to an absolute path on a local disk",
        ),
    }]
}

fn folder(path: &Path, uid: u32) -> Check {
    let shown = path.display();
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    if let Some(kind) = file_system(&mounts, &existing(path))
        && NETWORK.contains(&kind.as_str())
    {
        return Check::fail(
            NAME,
            ErrorKind::Storage,
            format!("{shown} is on a network file system ({kind}); the vault needs a local disk"),
            "set KEYWARD_STATE_DIR to an absolute path on a local disk",
        );
    }
    match fs::metadata(path) {
        Err(_) => Check::ok(NAME, format!("{shown} is made at the first sign-in")),
        Ok(found) if found.uid() != uid => Check::fail(
            NAME,
            ErrorKind::Storage,
            format!("{shown} belongs to uid {}, not to {uid}", found.uid()),
            format!("chown -R {uid} {shown}"),
        ),
        Ok(found) if found.mode() & 0o077 != 0 => Check::fail(
            NAME,
            ErrorKind::Storage,
            format!(
                "{shown} is open to others (mode {:04o})",
                found.mode() & 0o7777
            ),
            format!("chmod 700 {shown}"),
        ),
        Ok(_) => Check::ok(NAME, format!("{shown} is private and on a local disk")),
    }
}

/// The part of the path that is there, without symbolic links.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|part| part.canonicalize().ok());
    there.unwrap_or_else(|| PathBuf::from("/"))
}

/// The file system a path is on: the last line of proc(5)'s mountinfo whose mount point is the
/// longest beginning of the path.
fn file_system(mountinfo: &[u8], path: &Path) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let Some((point, kind)) = mount(line) else {
            continue;
        };
        let length = point.as_os_str().len();
        if path.starts_with(&point) && best.as_ref().is_none_or(|(longest, _)| *longest <= length) {
            best = Some((length, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Mount point (field 5) and type (first field after the lone dash).
fn mount(line: &[u8]) -> Option<(PathBuf, String)> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let kind = String::from_utf8(fields.get(dash + 1)?.to_vec()).ok()?;
    Some((unescape(fields.get(4)?), kind))
}

/// Blanks and backslashes in mount points are written in octal.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::State;
    use std::os::unix::fs::PermissionsExt as _;

    const MOUNTS: &[u8] = b"22 1 0:20 / / rw shared:1 - ext4 /dev/vda1 rw\n\
        30 22 0:31 / /home rw - nfs4 server:/home rw\n\
        31 30 0:32 / /home/al\\040ice rw - ext4 /dev/vdb rw\n";

    #[test]
    fn the_longest_mount_point_decides() {
        let of = |path: &str| file_system(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(of("/home/bob/.local/state"), "nfs4");
        assert_eq!(of("/home/al ice/.local"), "ext4");
        assert_eq!(of("/homework"), "ext4");
    }

    #[test]
    fn a_folder_open_to_others_fails_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let uid = fs::metadata(folder.path()).unwrap().uid();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let open = super::folder(folder.path(), uid);
        assert_eq!(open.state, State::Fail);
        assert!(open.mend.unwrap().starts_with("chmod 700 "));

        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(super::folder(folder.path(), uid).state, State::Ok);
        assert_eq!(super::folder(folder.path(), uid + 1).state, State::Fail);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert_eq!(super::folder(&missing, 0).state, State::Ok);
    }
}
