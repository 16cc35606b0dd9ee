//! A folder for each machine: a home directory that two machines share, or that was copied from one
//! to the other, holds the state of both, and neither touches the other's.
//!
//! The folder's name is derived from the machine's id as machine-id(5) asks for: a keyed hash that
//! is specific to this application, never the id itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use keyward_client::ports::StoreError;

use crate::error::of_io;
use crate::lock::lock;
use crate::place::{DATABASE, LOCK, LOG, check, make, metadata};

/// Where the machine's id is (machine-id(5)); D-Bus had it before systemd did.
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// What makes the hash specific to this application.
const PURPOSE: &[u8] = b"keyward state folder 1";

/// The folder of a machine that has no id.
const UNKNOWN: &str = "machine-unknown";

/// What lay directly in the state folder before there was one for each machine. The lock is last:
/// it is held meanwhile.
const FLAT: [&str; 6] = [
    "keys",
    "key-protection.json",
    LOG,
    DATABASE,
    "vault.epoch",
    LOCK,
];

/// The folder in which one machine keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFolder {
    path: PathBuf,
    sharing: Sharing,
}

/// Who may write to a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// This machine only, wherever the folder is.
    ThisMachine,
    /// Every machine that can reach it, so it has to be on a local file system.
    Unknown,
}

impl StateFolder {
    /// This machine's folder in a user's state folder. What earlier versions kept in the state
    /// folder itself is moved into it: it belongs to the machine that comes first.
    ///
    /// # Errors
    ///
    /// When others may enter the state folder, or what is in it cannot be moved.
    pub fn of_this_machine(state_dir: &Path) -> Result<Self, StoreError> {
        let id = MACHINE_IDS.iter().find_map(|path| read_id(Path::new(path)));
        Self::of_machine(state_dir, id.as_deref())
    }

    /// The folder of the machine with this id; `None`: it has none.
    ///
    /// # Errors
    ///
    /// As [`of_this_machine`](Self::of_this_machine).
    pub fn of_machine(state_dir: &Path, id: Option<&str>) -> Result<Self, StoreError> {
        make(state_dir).map_err(|error| of_io("create", state_dir, &error))?;
        let handle = File::open(state_dir).map_err(|error| of_io("open", state_dir, &error))?;
        let uid = rustix::process::geteuid().as_raw();
        check(state_dir, &metadata(state_dir, &handle)?, uid, 0o700)?;
        let name = id.map_or_else(|| UNKNOWN.to_owned(), name_of);
        let path = state_dir.join(&name);
        if !path.exists() {
            move_in(state_dir, &handle, &name, uid)?;
        }
        Ok(Self {
            path,
            sharing: match id {
                Some(_) => Sharing::ThisMachine,
                None => Sharing::Unknown,
            },
        })
    }

    /// A folder as it is named, for whoever has one machine only.
    pub fn single(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            sharing: Sharing::Unknown,
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a vault in it.
    pub fn has_vault(&self) -> bool {
        self.path.join(crate::place::DATABASE).exists()
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }
}

/// A machine id: 32 hexadecimal digits. `uninitialized` and other texts are none.
fn read_id(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // All zeros is what an image is given so that it has no id.
    (valid && id.bytes().any(|byte| byte != b'0')).then(|| id.to_ascii_lowercase())
}

fn name_of(id: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, id.as_bytes());
    let tag = hmac::sign(&key, PURPOSE);
    let digits = tag.as_ref().iter().take(16);
    digits.fold("machine-".to_owned(), |name, byte| {
        format!("{name}{byte:02x}")
    })
}

/// Makes a machine's folder. What lies in the state folder itself is gathered beside it first, one
/// rename after the other, and the folder gets its name when it is complete; a crash on the way
/// leaves a folder that is gathered further next time.
fn move_in(state_dir: &Path, handle: &File, name: &str, uid: u32) -> Result<(), StoreError> {
    let gathering = state_dir.join(format!("{name}.moving"));
    let failed = |error: io::Error| of_io("move the state into", &gathering, &error);
    let mut left: Vec<&str> = FLAT.to_vec();
    left.retain(|item| state_dir.join(item).symlink_metadata().is_ok());
    if another_moves(state_dir, &gathering).map_err(failed)? {
        left.clear();
    }
    // One who still works with the vault as it lies there holds its lock; in later rounds nobody
    // can, for the database is gone from there.
    let _lock = if left.contains(&LOCK) {
        lock(&state_dir.join(LOCK), uid)?
    } else {
        None
    };
    make(&gathering).map_err(failed)?;
    for item in left {
        fs::rename(state_dir.join(item), gathering.join(item)).map_err(failed)?;
    }
    File::open(&gathering)
        .and_then(|gathered| gathered.sync_all())
        .and_then(|()| fs::rename(&gathering, state_dir.join(name)))
        .and_then(|()| handle.sync_all())
        .map_err(failed)
}

/// Whether another machine was interrupted while it gathered: what is left is for it.
fn another_moves(state_dir: &Path, own: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(state_dir)? {
        let path = entry?.path();
        if path != own && path.extension().is_some_and(|suffix| suffix == "moving") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
