//! How a TPM is reached (TCG TSS 2.0 TCTI), and whether this user may.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use tss_esapi::tcti_ldr::TctiNameConf;

use crate::error::KeyStoreError;

/// A transport to a TPM.
#[derive(Clone, Debug)]
pub(super) struct Tcti {
    text: String,
    configuration: TctiNameConf,
}

impl Tcti {
    /// Reads the text of a configuration: `device:PATH`, `tabrmd:…`, `swtpm:host=…,port=…` or
    /// `mssim:host=…,port=…`.
    ///
    /// # Errors
    ///
    /// When it is none of these. What the library would pass over is refused: it would go to its
    /// default address instead.
    pub(super) fn parse(text: &str) -> Result<Self, KeyStoreError> {
        if text.contains("path=") {
            let why =
                "a software TPM at a Unix socket: give it a port, swtpm:host=127.0.0.1,port=N";
            return Err(KeyStoreError::Unsupported(why));
        }
        let unknown = || {
            KeyStoreError::Unavailable(format!(
                "{text:?} names no transport to a TPM: write device:/dev/tpmrm0, tabrmd, or \
                 swtpm:host=127.0.0.1,port=N"
            ))
        };
        if let Some(("swtpm" | "mssim", parameters)) = text.split_once(':') {
            let known = |part: &str| part.starts_with("host=") || part.starts_with("port=");
            if !parameters.split(',').all(known) {
                return Err(unknown());
            }
        }
        let configuration = text.parse().map_err(|_| unknown())?;
        Ok(Self {
            text: text.to_owned(),
            configuration,
        })
    }

    /// As it was configured.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn configuration(&self) -> TctiNameConf {
        self.configuration.clone()
    }

    /// Whether the transport itself is one to a program.
    pub(super) fn is_simulator(&self) -> bool {
        matches!(
            self.configuration,
            TctiNameConf::Swtpm(_) | TctiNameConf::Mssim(_)
        )
    }

    /// The device file, if it is one.
    pub(super) fn device(&self) -> Option<&Path> {
        let path = self.text.strip_prefix("device:")?;
        Some(Path::new(path))
    }

    /// Whether the device file is there and may be opened, which the library would only log.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::NoPermission`] with what to do about it, or that there is no such device.
    pub(super) fn check_access(&self) -> Result<(), KeyStoreError> {
        let Some(path) = self.device() else {
            return Ok(());
        };
        let may = accessat(
            CWD,
            path,
            Access::READ_OK | Access::WRITE_OK,
            AtFlags::EACCESS,
        );
        match may {
            Ok(()) => Ok(()),
            Err(Errno::ACCESS | Errno::PERM) => Err(KeyStoreError::NoPermission {
                device: path.display().to_string(),
                hint: hint(path),
            }),
            Err(errno) => Err(KeyStoreError::Unavailable(format!(
                "{}: {}",
                path.display(),
                std::io::Error::from(errno)
            ))),
        }
    }

    /// Whether there is nothing where the device file should be.
    pub(super) fn is_absent(&self) -> bool {
        let missing = |path: &Path| matches!(path.try_exists(), Ok(false));
        self.device().is_some_and(missing)
    }
}

/// Read and write for a group.
const GROUP_MAY: u32 = 0o060;

/// What an administrator has to do so that this user may open the device.
fn hint(path: &Path) -> String {
    let group = fs::metadata(path)
        .ok()
        .filter(|file| file.gid() != 0 && file.mode() & GROUP_MAY == GROUP_MAY)
        .map(|file| file.gid());
    match group {
        Some(gid) => {
            let groups = fs::read_to_string("/etc/group").unwrap_or_default();
            let group = group_name(&groups, gid).unwrap_or_else(|| gid.to_string());
            format!(
                "members of the group {group} may: run `sudo usermod -aG {group} $USER`, then log \
                 in again"
            )
        }
        None => "no group may: install the udev rule of your distribution (Debian: `sudo apt \
                 install tpm-udev`) or add KERNEL==\"tpmrm[0-9]*\", GROUP=\"tss\", MODE=\"0660\" to \
                 /etc/udev/rules.d/60-tpm.rules, then run `sudo usermod -aG tss $USER` and restart"
            .to_owned(),
    }
}

/// The name of a group in the text of `/etc/group` (group(5)).
fn group_name(groups: &str, gid: u32) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_transport_of_the_library_is_read_and_nothing_is_guessed() {
        for good in [
            "device:/dev/tpmrm0",
            "device:/dev/tpm0",
            "tabrmd",
            "tabrmd:bus_name=com.intel.tss2.Tabrmd,bus_type=system",
            "swtpm:host=127.0.0.1,port=2321",
            "swtpm:port=2321",
            "mssim:host=localhost,port=2321",
        ] {
            assert_eq!(Tcti::parse(good).unwrap().text(), good);
        }
        for bad in [
            "",
            "tpm0",
            "/dev/tpmrm0",
            "swtpm:port=x",
            "swtpm:prot=2321",
            "cmd:sh",
        ] {
            assert!(Tcti::parse(bad).is_err(), "{bad}");
        }
        let error = Tcti::parse("swtpm:path=/run/socket").unwrap_err();
        assert!(error.to_string().contains("port=N"), "{error}");
    }

    #[test]
    fn what_to_do_is_said_by_who_owns_the_device() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tpmrm0");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(hint(&path).contains("udev"), "{}", hint(&path));
        assert_eq!(group_name("root:x:0:\ntss:x:114:\n", 114).unwrap(), "tss");
        assert_eq!(group_name("root:x:0:\n", 114), None);
    }

    #[test]
    fn who_may_not_open_the_device_is_told_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tpmrm0");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let tcti = Tcti::parse(&format!("device:{}", path.display())).unwrap();
        // Whoever may everything would not be refused: a thread of nobody's is asked.
        let checked = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65534);
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            tcti.check_access()
        });
        let error = checked.join().unwrap().unwrap_err();
        let KeyStoreError::NoPermission { device, hint } = error else {
            panic!("{error}");
        };
        assert_eq!(device, path.display().to_string());
        assert!(hint.contains("usermod -aG"), "{hint}");
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let tcti = Tcti::parse("device:/nonexistent/tpmrm0").unwrap();
        assert!(tcti.is_absent());
        let error = tcti.check_access().unwrap_err();
        assert!(error.to_string().contains("/nonexistent/tpmrm0"), "{error}");
    }
}
