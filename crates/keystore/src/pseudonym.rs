//! Names for people that only this device can connect with them.

use std::path::Path;

use aws_lc_rs::{hmac, rand};

use crate::error::KeyStoreError;
use crate::folder::Folder;

/// The file of the key, beside what the names are written into.
const FILE: &str = "pseudonyms.key";
/// Bytes of the key: as many as SHA-256 gives (RFC 2104 §3).
const KEY: usize = 32;
/// Bytes of a name.
const NAME: usize = 16;

/// Gives the same name for the same person, always. Whoever has not got this device's key can
/// neither compute the name of somebody they know of nor find a person by trying: it is a keyed
/// hash (HMAC-SHA256), the key is random and made once.
#[derive(Debug)]
pub struct Pseudonyms(hmac::Key);

impl Pseudonyms {
    /// Opens the key in this folder, or makes it. The folder is made if it is not there.
    ///
    /// # Errors
    ///
    /// When others could read the key, or it cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, KeyStoreError> {
        let folder = Folder::open(folder, rustix::process::geteuid().as_raw())?;
        if let Some(key) = folder.read(FILE)? {
            if key.len() != KEY {
                return Err(KeyStoreError::Damaged {
                    path: folder.path_of(FILE),
                    reason: "its length is wrong",
                });
            }
            return Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)));
        }
        let mut key = zeroize::Zeroizing::new([0; KEY]);
        rand::fill(&mut *key).map_err(|_| KeyStoreError::Crypto("no randomness"))?;
        folder.create(FILE, &*key)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &*key)))
    }

    /// The name of whoever has this identifier, in hexadecimal digits.
    pub fn of(&self, identifier: &str) -> String {
        let tag = hmac::sign(&self.0, identifier.as_bytes());
        let bytes = &tag.as_ref()[..NAME];
        bytes
            .iter()
            .fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_name_is_the_same_for_ever_here_and_another_elsewhere() {
        let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |folder: &tempfile::TempDir, of| {
            let folder = folder.path().join("audit");
            Pseudonyms::open(&folder).unwrap().of(of)
        };
        let alice = name(&here, "alice.home");
        assert_eq!(alice, name(&here, "alice.home"));
        assert_ne!(alice, name(&here, "bob.home"));
        assert_ne!(alice, name(&elsewhere, "alice.home"));
        assert_eq!(alice.len(), 2 * NAME);
        let key = here.path().join("audit").join(FILE);
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );

        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Pseudonyms::open(&here.path().join("audit")).unwrap_err();
        assert!(matches!(error, KeyStoreError::TooOpen { .. }), "{error}");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("audit");
        Pseudonyms::open(&folder).unwrap();
        let key = folder.join(FILE);
        fs::write(&key, "short").unwrap();
        let error = Pseudonyms::open(&folder).unwrap_err();
        assert!(matches!(error, KeyStoreError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&key).unwrap(), b"short");
    }
}
