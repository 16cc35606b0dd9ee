use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, SoftwareKeyStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SoftwareKeyStore::open(&dir.path().join("keys")).unwrap();
    (dir, store)
}

fn again(dir: &TempDir) -> SoftwareKeyStore {
    SoftwareKeyStore::open(&dir.path().join("keys")).unwrap()
}

fn key_file(dir: &TempDir, id: &KeyId) -> PathBuf {
    dir.path().join("keys").join(file_name(id))
}

#[test]
fn a_key_signs_after_a_restart_as_before() {
    let (dir, store) = store();
    let id = store.create().unwrap();
    let before = store.open(&id).unwrap();
    let after = again(&dir).open(&id).unwrap();
    assert_eq!(before.public_jwk(), after.public_jwk());
    for key in [before.as_ref(), after.as_ref()] {
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let public = before.public_jwk();
        assert!(public.verifies(Algorithm::Es256, b"message", &signature));
        assert!(!public.verifies(Algorithm::Es256, b"other", &signature));
    }
}

#[test]
fn two_keys_differ() {
    let (_dir, store) = store();
    let [a, b] = [(); 2].map(|()| store.create().unwrap());
    assert_ne!(a, b);
    assert_ne!(
        store.open(&a).unwrap().public_jwk(),
        store.open(&b).unwrap().public_jwk()
    );
}

#[test]
fn a_deleted_key_is_not_found() {
    let (dir, store) = store();
    let id = store.create().unwrap();
    store.delete(&id).unwrap();
    assert!(!key_file(&dir, &id).exists());
    assert!(matches!(store.open(&id).err(), Some(KeyStoreError::NotFound(lost)) if lost == id));
    store.delete(&id).unwrap();
}

#[test]
fn every_file_is_private_and_no_private_value_is_in_clear() {
    let (dir, store) = store();
    let id = store.create().unwrap();
    let private = store
        .read(&id)
        .unwrap()
        .private_key()
        .as_be_bytes()
        .unwrap();
    let files: Vec<_> = fs::read_dir(dir.path().join("keys")).unwrap().collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        let content = fs::read(file.path()).unwrap();
        assert!(
            !content
                .windows(PRIVATE)
                .any(|part| part == private.as_ref())
        );
    }
}

#[test]
fn a_key_file_is_of_no_use_under_another_name_or_device() {
    let (dir, store) = store();
    let [a, b] = [(); 2].map(|()| store.create().unwrap());
    fs::copy(key_file(&dir, &a), key_file(&dir, &b)).unwrap();
    assert!(matches!(
        store.open(&b).err(),
        Some(KeyStoreError::Damaged { .. })
    ));

    let (other_dir, other) = self::store();
    other.create().unwrap();
    fs::copy(key_file(&dir, &a), key_file(&other_dir, &a)).unwrap();
    assert!(matches!(
        other.open(&a).err(),
        Some(KeyStoreError::Damaged { .. })
    ));
}

#[test]
fn sealed_data_opens_for_its_context_on_this_device_only() {
    let (dir, store) = store();
    let sealed = store.seal(b"data key", b"vault 1").unwrap();
    let opened = again(&dir).unseal(&sealed, b"vault 1").unwrap();
    assert_eq!(opened.as_slice(), b"data key");
    assert!(store.unseal(&sealed, b"vault 2").is_err());

    let (_other_dir, other) = self::store();
    let missing = other.unseal(&sealed, b"vault 1").unwrap_err();
    assert!(
        matches!(missing, KeyStoreError::WrappingKeyMissing(_)),
        "{missing}"
    );
    other.create().unwrap();
    let foreign = other.unseal(&sealed, b"vault 1").unwrap_err();
    assert!(matches!(foreign, KeyStoreError::NotOurs), "{foreign}");
}

#[test]
fn an_open_wrapping_key_file_is_refused() {
    let (dir, store) = store();
    let sealed = store.seal(b"s", b"").unwrap();
    let path = dir.path().join("keys/wrapping.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = again(&dir).unseal(&sealed, b"").unwrap_err();
    assert!(error.to_string().contains("run chmod 600"), "{error}");
}

#[test]
fn opening_a_folder_writes_nothing() {
    let (dir, _store) = store();
    assert_eq!(fs::read_dir(dir.path().join("keys")).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn a_changed_byte_is_a_named_error_and_changes_nothing(
        wrapping in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let (dir, store) = store();
        let id = store.create().unwrap();
        let path = if wrapping {
            dir.path().join("keys/wrapping.key")
        } else {
            key_file(&dir, &id)
        };
        let mut content = fs::read(&path).unwrap();
        let at = at.index(content.len());
        content[at] ^= flip;
        fs::write(&path, &content).unwrap();

        let error = again(&dir).open(&id).err();
        prop_assert!(matches!(error, Some(KeyStoreError::Damaged { .. })), "{:?}", error);
        prop_assert_eq!(fs::read(&path).unwrap(), content);
    }

    #[test]
    fn a_shortened_file_is_a_named_error(wrapping in any::<bool>(), length in 0..56usize) {
        let (dir, store) = store();
        let id = store.create().unwrap();
        let path = if wrapping {
            dir.path().join("keys/wrapping.key")
        } else {
            key_file(&dir, &id)
        };
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..length.min(content.len() - 1)]).unwrap();
        let error = again(&dir).open(&id).err();
        prop_assert!(matches!(error, Some(KeyStoreError::Damaged { .. })), "{:?}", error);
    }
}
