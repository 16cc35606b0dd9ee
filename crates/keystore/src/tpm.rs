//! The provider `tpm`: keys of this device's TPM 2.0 (cargo feature `tpm`).
//!
//! Without the feature there is nothing here that could open one, and both functions say so.

use std::path::Path;
use std::sync::Arc;

use crate::{Device, KeyStore, KeyStoreError};

/// How a TPM is reached where nothing else is configured: the kernel's resource manager.
pub const DEFAULT_TCTI: &str = "device:/dev/tpmrm0";

/// Whether keys can be made in a TPM here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answered.
    Reachable(Device),
    /// It is there, and this user may not open it.
    NoPermission {
        /// What may not be opened.
        device: String,
        /// What to do about it.
        hint: String,
    },
    /// There is none.
    Absent {
        /// What was looked for.
        reason: String,
    },
    /// There is one, or something in its place, that does not answer as it should.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// This program was built without the feature `tpm`.
    NotBuilt,
}

/// Asks the TPM reached through `tcti` (`None`: [`DEFAULT_TCTI`]) what it is.
pub fn probe(tcti: Option<&str>) -> Probe {
    let _ = tcti;
    Probe::NotBuilt
}

/// Opens the provider: keys in `folder`, used by the TPM reached through `tcti` (`None`:
/// [`DEFAULT_TCTI`]). The TPM itself is first asked when a key is; [`probe`] says whether it is
/// there.
///
/// # Errors
///
/// [`KeyStoreError::Unsupported`] without the feature `tpm`; else what is wrong with the folder.
pub fn open(folder: &Path, tcti: Option<&str>) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
    let _ = (folder, tcti);
    Err(KeyStoreError::Unsupported(
        "this program was built without the feature tpm",
    ))
}

#[cfg(all(test, not(feature = "tpm")))]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_there_is_no_tpm_and_it_is_said() {
        assert_eq!(probe(None), Probe::NotBuilt);
        let dir = tempfile::tempdir().unwrap();
        let error = open(dir.path(), None).err().unwrap();
        assert!(error.to_string().contains("feature tpm"), "{error}");
    }
}
