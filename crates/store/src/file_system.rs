//! File systems a vault must not be on: those that other machines write to as well.
//!
//! Locks there are advice at best, so two brokers would rotate the same refresh token, and a
//! write-ahead log is not safe (SQLite says so itself). Told apart by `statfs(2)` and, behind
//! FUSE, by the mount's type.

use std::fs;
use std::os::fd::AsFd;

use rustix::fs::{fstat, fstatfs};
use rustix::io::Errno;

/// `f_type` of file systems that are shared between machines, with their names (linux/magic.h and
/// each file system's own source).
const SHARED: &[(u64, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0000_564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0xaad7_aaea, "PanFS"),
    (0x2003_0528, "OrangeFS"),
    (0x1983_0326, "BeeGFS"),
    (0x786f_4256, "VirtualBox shared folder"),
];

/// `f_type` of everything behind FUSE.
const FUSE: u64 = 0x6573_5546;

/// FUSE file systems that reach over the network, by the subtype in the mount table.
const SHARED_FUSE: &[&str] = &[
    "afp",
    "blobfuse",
    "blobfuse2",
    "ceph-fuse",
    "curlftpfs",
    "cvmfs2",
    "davfs",
    "dropbox",
    "gcsfuse",
    "glusterfs",
    "google-drive-ocamlfuse",
    "gvfsd-fuse",
    "juicefs",
    "moosefs",
    "onedriver",
    "rclone",
    "s3fs",
    "seaweedfs",
    "smbnetfs",
    "sshfs",
];

/// The name of the shared file system a file is on; `None` if it is local.
pub(crate) fn shared(file: impl AsFd) -> Result<Option<String>, Errno> {
    let magic = u64::try_from(fstatfs(&file)?.f_type).unwrap_or(0) & 0xffff_ffff;
    if magic == FUSE {
        let device = fstat(&file)?.st_dev;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        return Ok(shared_fuse(device, &mounts));
    }
    Ok(shared_kind(magic).map(str::to_owned))
}

fn shared_kind(magic: u64) -> Option<&'static str> {
    let found = SHARED.iter().find(|(known, _)| *known == magic);
    found.map(|(_, name)| *name)
}

/// Looks a device up in the mount table (`proc_pid_mountinfo(5)`): `ID PARENT MAJOR:MINOR … -
/// TYPE SOURCE OPTIONS`.
fn shared_fuse(device: u64, mounts: &str) -> Option<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let wanted = format!("{major}:{minor}");
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some(&*wanted))?;
    let (_, tail) = line.split_once(" - ")?;
    let kind = tail.split(' ').next()?;
    let subtype = kind.strip_prefix("fuse.").unwrap_or(kind);
    SHARED_FUSE
        .contains(&subtype)
        .then(|| format!("{subtype} (FUSE)"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn shared_file_systems_are_known_by_number() {
        assert_eq!(shared_kind(0x6969), Some("NFS"));
        assert_eq!(shared_kind(0xff53_4d42), Some("CIFS"));
        for local in [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994, 0x794c_7630] {
            assert_eq!(shared_kind(local), None, "{local:#x}");
        }
    }

    #[test]
    fn fuse_file_systems_are_known_by_their_subtype() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             40 22 0:51 / /home/u/far rw,nosuid shared:9 - fuse.sshfs host:/srv rw\n\
             41 22 0:52 / /home/u/near rw - fuse.gocryptfs /home/u/enc rw\n\
             42 22 0:53 / /media/usb rw - fuseblk /dev/sdb1 rw\n";
        let device = |minor| rustix::fs::makedev(0, minor);
        assert_eq!(shared_fuse(device(51), mounts).unwrap(), "sshfs (FUSE)");
        for local in [52, 53, 99] {
            assert_eq!(shared_fuse(device(local), mounts), None, "{local}");
        }
    }

    #[test]
    fn a_temporary_folder_is_local() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(shared(File::open(dir.path()).unwrap()), Ok(None));
    }
}
