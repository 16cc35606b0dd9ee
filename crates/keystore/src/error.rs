//! Why a key cannot be made or used.

use std::io;
use std::path::PathBuf;

use crate::{KeyId, KeyKind};

/// Why a key cannot be made or used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is no such key: deleted, or a copied vault without its keys.
    #[error("there is no key {0} on this device")]
    NotFound(KeyId),
    /// It is a key for something else.
    #[error("key {id} is not for {}", wanted.purpose())]
    WrongKind {
        /// The key.
        id: KeyId,
        /// What it was asked to do.
        wanted: KeyKind,
    },
    /// The device that held it is another one, or was cleared. That is final: what depends on the
    /// key has to be made anew.
    #[error("key lost: {0}")]
    Lost(String),
    /// The device cannot be reached, does not answer or has no room. It may later.
    #[error("the TPM cannot be used now: {0}")]
    Unavailable(String),
    /// This user may not open the device.
    #[error("no permission to open {device}: {hint}")]
    NoPermission {
        /// What may not be opened.
        device: String,
        /// What to do about it.
        hint: String,
    },
    /// The key wants a PIN, and none is known.
    #[error("the key wants its PIN")]
    PinRequired,
    /// The PIN is not that of the key. It was forgotten.
    #[error("the PIN is wrong{}", tries(*remaining))]
    WrongPin {
        /// How many more wrong ones the device takes before it locks itself, where it says so.
        remaining: Option<u32>,
    },
    /// The device takes no PIN for now, because of too many wrong ones.
    #[error("the TPM is locked after too many wrong PINs: {0}")]
    LockedOut(String),
    /// This provider, or this device, has no such thing.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
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

fn tries(remaining: Option<u32>) -> String {
    match remaining {
        Some(1) => "; one more wrong one locks the TPM".to_owned(),
        Some(count) => format!("; {count} more wrong ones lock the TPM"),
        None => String::new(),
    }
}
