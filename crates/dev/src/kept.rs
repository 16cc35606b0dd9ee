//! What stays the same from one session to the next: the authority's port, and with it its issuers
//! and the GUIDs derived from them; and its signing keys.
//!
//! Microsoft's runtime keeps access tokens and accounts in the keyring for longer than a session
//! lives. They are good in the next one, too.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use keyward_dev_authority::KeptKeys;

/// The first of the ports, which are below those that Linux gives to outgoing connections.
const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 10_000;

/// Where keys are kept by default.
pub fn keys() -> Arc<dyn KeptKeys> {
    Arc::new(Folder(folder()))
}

/// The port of this user's sessions. Whoever comes second gets a free one.
pub fn port() -> u16 {
    let own = rustix::process::getuid().as_raw() % PORTS;
    // INVARIANT: `own` is below 10,000, so that the sum is below 30,000.
    u16::try_from(own).map_or(FIRST_PORT, |own| FIRST_PORT + own)
}

/// `$XDG_STATE_HOME/keyward-dev`.
fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("keyward-dev"))
}

/// A folder of key files. Where it cannot be written, every session has keys of its own.
struct Folder(Option<PathBuf>);

impl Folder {
    fn file(&self, name: &str) -> Option<PathBuf> {
        self.0
            .as_ref()
            .map(|folder| folder.join(format!("{name}.p8")))
    }

    fn write(&self, name: &str, pkcs8: &[u8]) -> io::Result<()> {
        let (Some(folder), Some(file)) = (&self.0, self.file(name)) else {
            return Ok(());
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // For the user alone, and never half written.
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(pkcs8)?;
        new.persist(file)?;
        Ok(())
    }
}

impl KeptKeys for Folder {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.file(name)?).ok()
    }

    fn keep(&self, name: &str, pkcs8: &[u8]) {
        if let Err(error) = self.write(name, pkcs8) {
            tracing::warn!(
                %error,
                "the authority's key is not kept: tokens of this session are refused in the next"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_kept_key_is_found_and_nobody_elses() {
        let home = tempfile::tempdir().unwrap();
        let folder = || Folder(Some(home.path().join("state/keyward-dev")));
        assert_eq!(folder().load("k"), None);
        folder().keep("k", b"one");
        folder().keep("k", b"two");
        assert_eq!(folder().load("k").as_deref(), Some(&b"two"[..]));
        let mode = |path: &str| {
            let metadata = fs::metadata(home.path().join(path)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode("state/keyward-dev"), 0o700);
        assert_eq!(mode("state/keyward-dev/k.p8"), 0o600);
    }

    #[test]
    fn a_place_that_cannot_be_written_keeps_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = Folder(Some(file.path().join("keyward-dev")));
        folder.keep("k", b"one");
        assert_eq!(folder.load("k"), None);
        assert_eq!(Folder(None).load("k"), None);
    }
}
