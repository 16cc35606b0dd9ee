//! The provider `tpm`: keys of this device's TPM 2.0 (cargo feature `tpm`).
//!
//! Without the feature there is nothing here that could open one, and both functions say so.

#[cfg(feature = "tpm")]
mod agree;
#[cfg(feature = "tpm")]
mod blob;
#[cfg(feature = "tpm")]
mod context;
#[cfg(feature = "tpm")]
mod counter;
#[cfg(feature = "tpm")]
mod decrypt;
#[cfg(feature = "tpm")]
mod device;
#[cfg(feature = "tpm")]
mod fault;
#[cfg(feature = "tpm")]
mod key;
#[cfg(feature = "tpm")]
mod keys;
#[cfg(feature = "tpm")]
mod mac;
#[cfg(feature = "tpm")]
mod parent;
#[cfg(feature = "tpm")]
mod public;
#[cfg(feature = "tpm")]
mod seal;
#[cfg(feature = "tpm")]
mod sign;
#[cfg(feature = "tpm")]
mod store;
#[cfg(feature = "tpm")]
mod tcti;
#[cfg(feature = "tpm")]
mod worker;

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "tpm")]
pub use store::{DEFAULT_DEADLINE, TpmKeyStore};
#[cfg(feature = "tpm")]
use tcti::Tcti;

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
#[cfg(feature = "tpm")]
pub fn probe(tcti: Option<&str>) -> Probe {
    let text = tcti.unwrap_or(DEFAULT_TCTI);
    let tcti = match Tcti::parse(text) {
        Ok(tcti) => tcti,
        Err(error) => return failed(&error),
    };
    if tcti.is_absent() {
        let reason = format!("there is no TPM at {text}");
        return Probe::Absent { reason };
    }
    match store::ask(&tcti).map_err(KeyStoreError::from) {
        Ok(device) => Probe::Reachable(device),
        Err(KeyStoreError::NoPermission { device, hint }) => Probe::NoPermission { device, hint },
        Err(error) => failed(&error),
    }
}

#[cfg(feature = "tpm")]
fn failed(error: &KeyStoreError) -> Probe {
    let reason = error.to_string();
    Probe::Failed { reason }
}

/// Asks the TPM reached through `tcti` (`None`: [`DEFAULT_TCTI`]) what it is.
#[cfg(not(feature = "tpm"))]
pub fn probe(_: Option<&str>) -> Probe {
    Probe::NotBuilt
}

/// Opens the provider: keys in `folder`, used by the TPM reached through `tcti` (`None`:
/// [`DEFAULT_TCTI`]). The TPM itself is first asked when a key is; [`probe`] says whether it is
/// there.
///
/// # Errors
///
/// [`KeyStoreError::Unsupported`] without the feature `tpm`; else what is wrong with the folder or
/// the text.
#[cfg(feature = "tpm")]
pub fn open(folder: &Path, tcti: Option<&str>) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
    let store = TpmKeyStore::open(folder, tcti.unwrap_or(DEFAULT_TCTI))?;
    Ok(Arc::new(store))
}

/// Opens the provider: keys in `folder`, used by the TPM reached through `tcti` (`None`:
/// [`DEFAULT_TCTI`]).
///
/// # Errors
///
/// [`KeyStoreError::Unsupported`]: this program was built without the feature `tpm`.
#[cfg(not(feature = "tpm"))]
pub fn open(_: &Path, _: Option<&str>) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
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
