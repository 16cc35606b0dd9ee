//! The wrapping key: 32 random bytes in a file of their own, from which every sealing key of the
//! software provider is derived.

use std::sync::OnceLock;

use aws_lc_rs::digest::{Context, SHA256};
use keyward_locked_memory::Locked;
use zeroize::Zeroizing;

use crate::error::KeyStoreError;
use crate::folder::Folder;

/// The file's name.
const NAME: &str = "wrapping.key";
/// The file's first bytes: what it is, and the version of its format. A newer format has another
/// number, and is refused here.
const MAGIC: [u8; 8] = *b"KWWRAP\0\x01";
/// Bytes of the digest that tells a damaged file from another key.
const CHECK: usize = 8;

/// The wrapping key, read when it is first needed.
#[derive(Default)]
pub(crate) struct WrappingKey(OnceLock<Key>);

/// Every key of the software provider depends on it, so it stays out of swap.
type Key = Locked<[u8; 32]>;

impl WrappingKey {
    /// One that is kept elsewhere: no file is read or made.
    pub(crate) fn kept_elsewhere(key: Zeroizing<[u8; 32]>) -> Self {
        let locked = Key::copy_of(&key);
        // Wiped as soon as it is here.
        drop(key);
        Self(OnceLock::from(locked))
    }

    /// The key, made if there is none yet.
    pub(crate) fn get_or_create(&self, folder: &Folder) -> Result<&[u8; 32], KeyStoreError> {
        if let Some(key) = self.0.get() {
            return Ok(key);
        }
        let key = match read(folder)? {
            Some(key) => key,
            None => create(folder)?,
        };
        Ok(self.0.get_or_init(|| key))
    }

    /// The key that must be there.
    pub(crate) fn get(&self, folder: &Folder) -> Result<&[u8; 32], KeyStoreError> {
        if let Some(key) = self.0.get() {
            return Ok(key);
        }
        let missing = || KeyStoreError::WrappingKeyMissing(folder.path_of(NAME));
        let key = read(folder)?.ok_or_else(missing)?;
        Ok(self.0.get_or_init(|| key))
    }
}

/// The key in its file, if there is one.
pub(crate) fn read(folder: &Folder) -> Result<Option<Key>, KeyStoreError> {
    let Some(content) = folder.read(NAME)? else {
        return Ok(None);
    };
    let damaged = |reason| KeyStoreError::Damaged {
        path: folder.path_of(NAME),
        reason,
    };
    let rest = content
        .strip_prefix(&MAGIC)
        .ok_or_else(|| damaged("it is no wrapping key, or of a newer format"))?;
    let (key, _) = rest
        .split_at_checked(32)
        .filter(|(key, check)| check_of(key) == *check)
        .ok_or_else(|| damaged("it was changed or cut short"))?;
    let mut wrapping_key = Key::default();
    wrapping_key.copy_from_slice(key);
    Ok(Some(wrapping_key))
}

/// Overwrites and removes the file.
pub(crate) fn destroy(folder: &Folder) -> Result<(), KeyStoreError> {
    folder.destroy(NAME)
}

fn create(folder: &Folder) -> Result<Key, KeyStoreError> {
    let mut key = Key::default();
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| KeyStoreError::Crypto("random"))?;
    let mut content = Zeroizing::new(Vec::with_capacity(MAGIC.len() + key.len() + CHECK));
    content.extend_from_slice(&MAGIC);
    content.extend_from_slice(&*key);
    content.extend_from_slice(&check_of(&*key));
    folder.create(NAME, &content)?;
    Ok(key)
}

/// 64 bits of a digest say nothing useful about 256 random ones.
fn check_of(key: &[u8]) -> [u8; CHECK] {
    let mut context = Context::new(&SHA256);
    context.update(&MAGIC);
    context.update(key);
    let mut check = [0; CHECK];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK]);
    check
}
