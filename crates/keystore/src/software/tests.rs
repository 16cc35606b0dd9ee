use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::material::PRIVATE;
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
    dir.path().join("keys").join(id.file_name())
}

#[test]
fn a_key_signs_after_a_restart_as_before() {
    let (dir, store) = store();
    let id = store.create(KeyKind::Sign, None).unwrap();
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
    let [a, b] = [(); 2].map(|()| store.create(KeyKind::Sign, None).unwrap());
    assert_ne!(a, b);
    assert_ne!(
        store.open(&a).unwrap().public_jwk(),
        store.open(&b).unwrap().public_jwk()
    );
}

#[test]
fn a_deleted_key_is_not_found() {
    let (dir, store) = store();
    let id = store.create(KeyKind::Sign, None).unwrap();
    store.delete(&id).unwrap();
    assert!(!key_file(&dir, &id).exists());
    assert!(matches!(store.open(&id).err(), Some(KeyStoreError::NotFound(lost)) if lost == id));
    store.delete(&id).unwrap();
}

#[test]
fn every_file_is_private_and_no_private_value_is_in_clear() {
    let (dir, store) = store();
    let id = store.create(KeyKind::Sign, None).unwrap();
    let (_, secret) = store.read(&id).unwrap();
    let private = &secret[..PRIVATE];
    let files: Vec<_> = fs::read_dir(dir.path().join("keys")).unwrap().collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        let content = fs::read(file.path()).unwrap();
        assert!(!content.windows(PRIVATE).any(|part| part == private));
    }
}

#[test]
fn a_key_file_is_of_no_use_under_another_name_or_device() {
    let (dir, store) = store();
    let [a, b] = [(); 2].map(|()| store.create(KeyKind::Sign, None).unwrap());
    fs::copy(key_file(&dir, &a), key_file(&dir, &b)).unwrap();
    assert!(matches!(
        store.open(&b).err(),
        Some(KeyStoreError::Damaged { .. })
    ));

    let (other_dir, other) = self::store();
    other.create(KeyKind::Sign, None).unwrap();
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
    other.create(KeyKind::Sign, None).unwrap();
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

#[test]
fn a_signing_key_made_by_an_earlier_version_opens() {
    let (dir, store) = store();
    let id = store.create(KeyKind::Sign, None).unwrap();
    assert!(
        fs::read(key_file(&dir, &id))
            .unwrap()
            .starts_with(b"KWP256\0\x01")
    );
}

#[test]
fn both_sides_agree_on_the_same_secret() {
    let (dir, store) = store();
    let [a, b] = [(); 2].map(|()| store.create(KeyKind::Agree, None).unwrap());
    let public = |id| match again(&dir).public(id).unwrap() {
        PublicKey::P256(jwk) => jwk,
        PublicKey::Rsa { .. } => panic!("a P-256 key is no RSA key"),
    };
    let secret = store.agree(&a, &public(&b)).unwrap();
    assert_eq!(secret, again(&dir).agree(&b, &public(&a)).unwrap());
    assert_ne!(*secret, [0; 32]);
    assert_ne!(secret, store.agree(&a, &public(&a)).unwrap());
}

#[test]
fn what_is_encrypted_to_a_key_opens_with_its_hash_only() {
    use aws_lc_rs::rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
    };
    let (dir, store) = store();
    let id = store.create(KeyKind::Decrypt, None).unwrap();
    let PublicKey::Rsa { n, e } = store.public(&id).unwrap() else {
        panic!("an RSA key has a modulus");
    };
    assert!(Jwk::rsa(&n, &e).is_ok());
    let key = PublicEncryptingKey::from_der(&subject_public_key_info(&n)).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let encrypt = |algorithm| {
        let mut buffer = vec![0; key.ciphertext_size()];
        let text = key.encrypt(algorithm, b"session key", &mut buffer, None);
        text.unwrap().to_vec()
    };
    for (algorithm, hash, other) in [
        (&OAEP_SHA1_MGF1SHA1, OaepHash::Sha1, OaepHash::Sha256),
        (&OAEP_SHA256_MGF1SHA256, OaepHash::Sha256, OaepHash::Sha1),
    ] {
        let mut text = encrypt(algorithm);
        let opened = again(&dir).decrypt(&id, hash, &text).unwrap();
        assert_eq!(opened.as_slice(), b"session key");
        let wrong = store.decrypt(&id, other, &text).unwrap_err();
        assert!(matches!(wrong, KeyStoreError::NotOurs), "{wrong}");
        text[100] ^= 1;
        let changed = store.decrypt(&id, hash, &text).unwrap_err();
        assert!(matches!(changed, KeyStoreError::NotOurs), "{changed}");
    }
}

/// A 2048-bit RSA key with exponent 65537 in DER (RFC 3279 §2.3.1).
fn subject_public_key_info(n: &[u8]) -> Vec<u8> {
    let before = [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82,
        0x01, 0x01, 0x00,
    ];
    [&before, n, &[2, 3, 1, 0, 1]].concat()
}

/// Key, context and derived key made by an independent implementation of Entra ID's derivation.
#[test]
fn the_known_answer_of_entras_key_derivation_comes_out() {
    let (dir, store) = store();
    let id = store.import_mac(Zeroizing::new((0..32).collect())).unwrap();
    let context: Vec<u8> = (0..24).collect();
    let derived = again(&dir)
        .derive(&id, b"AzureAD-SecureConversation", &context)
        .unwrap();
    let expected = 0x7029_6b43_34bf_08f7_bc69_5357_5e6b_6c18_u128.to_be_bytes();
    assert_eq!(derived[..16], expected);
    let expected = 0x959d_bcad_6adb_263f_b625_939d_0994_56b3_u128.to_be_bytes();
    assert_eq!(derived[16..], expected);
}

#[test]
fn a_key_does_what_it_is_for_and_nothing_else() {
    let (_dir, store) = store();
    let sign = store.create(KeyKind::Sign, None).unwrap();
    let mac = store.import_mac(Zeroizing::new(vec![1; 32])).unwrap();
    let peer = store.open(&sign).unwrap().public_jwk().clone();
    let errors = [
        store.open(&mac).err(),
        store.public(&mac).err(),
        store.agree(&sign, &peer).err(),
        store.decrypt(&sign, OaepHash::Sha1, &[0; 256]).err(),
        store.derive(&sign, b"", b"").err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Some(KeyStoreError::WrongKind { .. })),
            "{error:?}"
        );
    }
    let error = store.create(KeyKind::Mac, None).unwrap_err();
    assert!(matches!(error, KeyStoreError::Unsupported(_)), "{error}");
}

#[test]
fn a_pin_that_nothing_would_enforce_is_refused() {
    let (_dir, store) = store();
    let pin = Pin::new("1234").unwrap();
    let error = store.create(KeyKind::Sign, Some(&pin)).unwrap_err();
    assert!(matches!(error, KeyStoreError::Unsupported(_)), "{error}");
    assert!(store.keys().unwrap().is_empty());
}

#[test]
fn the_keys_listed_are_those_of_this_provider() {
    let (dir, store) = store();
    let mut made = vec![
        store.create(KeyKind::Sign, None).unwrap(),
        store.import_mac(Zeroizing::new(vec![1; 32])).unwrap(),
    ];
    let foreign = KeyId::from_random(Protection::Tpm, [1; 16]);
    fs::write(key_file(&dir, &foreign), b"").unwrap();
    fs::write(dir.path().join("keys/note.txt"), b"").unwrap();
    let mut listed = store.keys().unwrap();
    made.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    listed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(listed, made);

    assert!(matches!(
        store.open(&foreign).err(),
        Some(KeyStoreError::NotFound(_))
    ));
    store.delete(&foreign).unwrap();
    assert!(key_file(&dir, &foreign).exists());
}

proptest! {
    #[test]
    fn a_changed_byte_is_a_named_error_and_changes_nothing(
        wrapping in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let (dir, store) = store();
        let id = store.create(KeyKind::Sign, None).unwrap();
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
        let id = store.create(KeyKind::Sign, None).unwrap();
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

#[test]
fn a_wrapping_key_kept_elsewhere_opens_what_its_file_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let store = SoftwareKeyStore::open(&folder).unwrap();
    assert!(store.wrapping_key_in_file().unwrap().is_none());
    let sealed = store.seal(b"secret", b"context").unwrap();
    let key = store.wrapping_key_in_file().unwrap().unwrap();
    store.destroy_wrapping_key_file().unwrap();
    assert!(store.wrapping_key_in_file().unwrap().is_none());

    let elsewhere = SoftwareKeyStore::with_wrapping_key(&folder, key).unwrap();
    let opened = elsewhere.unseal(&sealed, b"context").unwrap();
    assert_eq!(opened.as_slice(), b"secret");
    elsewhere.seal(b"more", b"context").unwrap();
    assert!(store.wrapping_key_in_file().unwrap().is_none());

    let forgetful = SoftwareKeyStore::open(&folder).unwrap();
    let error = forgetful.unseal(&sealed, b"context").unwrap_err();
    assert!(
        matches!(error, KeyStoreError::WrappingKeyMissing(_)),
        "{error}"
    );
    let wrong = SoftwareKeyStore::with_wrapping_key(&folder, [7; 32].into()).unwrap();
    assert!(wrong.unseal(&sealed, b"context").is_err());
}
