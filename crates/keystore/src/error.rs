//! Why a key cannot be made or used.

use std::io;
use std::path::PathBuf;

use crate::KeyId;

/// Why a key cannot be made or used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is no such key: deleted, or a copied vault without its keys.
    #[error("there is no key {0} on this device")]
    NotFound(KeyId),
    /// The wrapping key is gone; what it sealed cannot be opened.
    #[error(
        "{} is missing: what was sealed with it cannot be opened; put the file back, or remove the \
         vault beside it and sign in again",
        .0.display()
    )]
    WrappingKeyMissing(PathBuf),
    /// Somebody else could read or replace it.
    #[error("{} may be used by others (mode {mode:03o}): run chmod {wanted:03o} on it", path.display())]
    TooOpen {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest permission bits it may have.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to uid {owner}, not to uid {uid}: run chown {uid} on it", path.display())]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        uid: u32,
    },
    /// It is not what it has to be, or was changed.
    #[error("{} cannot be used: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Sealed data was changed, or was sealed by another key or for another purpose.
    #[error("sealed data cannot be opened: it was changed, or sealed by another device's key")]
    NotOurs,
    /// Reading or writing went wrong.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The cryptographic library refused.
    #[error("the cryptographic library refused: {0}")]
    Crypto(&'static str),
}
