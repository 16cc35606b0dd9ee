//! A device, as far as a vault needs one: something that wraps its data key.

// Each test file uses its own part.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Change, Record, RecordKey, RecordKind, RecordStore, StoreError};
use keyward_store::{KeyProvider, KeyWrap, Rollback, StateFolder, Vault, WrapError};
use zeroize::Zeroizing;

/// A device with a key of its own. The nonce is fixed: each wraps one data key only.
pub struct Device(pub u8);

impl Device {
    fn key(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[self.0; 32]).unwrap())
    }
}

impl KeyWrap for Device {
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError> {
        let mut wrapped = key.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        self.key()
            .seal_in_place_append_tag(nonce, Aad::from(context), &mut wrapped)
            .unwrap();
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let mut key = wrapped.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        match self
            .key()
            .open_in_place(nonce, Aad::from(context), &mut key)
        {
            Ok(key) => Ok(Zeroizing::new(key.to_vec())),
            Err(_) => Err(WrapError::Lost("sealed by another device".to_owned())),
        }
    }
}

pub fn private_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap()
}

pub fn open(folder: &Path) -> Result<Vault, StoreError> {
    open_with(folder, vec![software(Device(1))])
}

pub fn open_with(folder: &Path, providers: Vec<KeyProvider>) -> Result<Vault, StoreError> {
    Vault::open(&StateFolder::single(folder), providers)
}

/// A software provider that counts nothing.
pub fn software(wrap: impl KeyWrap + 'static) -> KeyProvider {
    provider(KeyProtection::Software, wrap)
}

/// A TPM that counts nothing.
pub fn tpm(wrap: impl KeyWrap + 'static) -> KeyProvider {
    provider(KeyProtection::Tpm, wrap)
}

fn provider(protection: KeyProtection, wrap: impl KeyWrap + 'static) -> KeyProvider {
    KeyProvider {
        protection,
        wrap: Box::new(wrap),
        rollback: Rollback::Undetected,
    }
}

pub fn key(kind: RecordKind, account: &str, detail: &str) -> RecordKey {
    RecordKey {
        kind,
        account: account.to_owned(),
        client: "00000000-aaaa-bbbb-cccc-000000000000".to_owned(),
        detail: detail.to_owned(),
    }
}

pub fn put(account: &str, detail: &str, value: &str) -> Change {
    put_as(KeyProtection::Software, account, detail, value)
}

pub fn put_as(protection: KeyProtection, account: &str, detail: &str, value: &str) -> Change {
    Change::Put(Record {
        key: key(RecordKind::RefreshToken, account, detail),
        value: Zeroizing::new(value.as_bytes().to_vec()),
        protection,
    })
}

/// `ACCOUNT/DETAIL=VALUE` of every readable record, sorted, and every error.
pub async fn contents(vault: &Vault) -> (Vec<String>, Vec<StoreError>) {
    let mut readable = Vec::new();
    let mut errors = Vec::new();
    let mut each = |record| match record {
        Ok(Record { key, value, .. }) => {
            let value = String::from_utf8(value.to_vec()).unwrap();
            readable.push(format!("{}/{}={value}", key.account, key.detail));
        }
        Err(error) => errors.push(error),
    };
    vault.load(&mut each).await.unwrap();
    readable.sort();
    (readable, errors)
}

/// Whether a device is away.
#[derive(Clone, Default)]
pub struct Away(Arc<AtomicBool>);

impl Away {
    pub fn set(&self, away: bool) {
        self.0.store(away, Ordering::SeqCst);
    }

    /// A device that goes away with this.
    pub fn device(&self, device: Device) -> impl KeyWrap + use<> {
        Absent {
            device,
            away: self.clone(),
        }
    }
}

struct Absent {
    device: Device,
    away: Away,
}

impl Absent {
    fn present(&self) -> Result<&Device, WrapError> {
        if self.away.0.load(Ordering::SeqCst) {
            return Err(WrapError::Unavailable("the device is away".to_owned()));
        }
        Ok(&self.device)
    }
}

impl KeyWrap for Absent {
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError> {
        self.present()?.wrap(key, context)
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        self.present()?.unwrap(wrapped, context)
    }
}

/// A vault of format 1: one data key, wrapped by the software provider, and three records.
pub fn format_1(folder: &Path) {
    let database = folder.join("vault.db");
    fs::write(&database, include_bytes!("../fixtures/format-1.db")).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
}
