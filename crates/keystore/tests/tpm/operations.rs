//! What keys in a TPM do.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey,
    PublicEncryptingKey,
};
use keyward_jose::{Algorithm, Jwk};
use keyward_keystore::{
    KeyId, KeyKind, KeyStore as _, KeyStoreError, OaepHash, Protection, PublicKey, SoftwareKeyStore,
};
use zeroize::Zeroizing;

use crate::{World, error_of};

#[test]
fn a_key_signs_after_a_restart_as_before() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    assert_eq!(id.protection(), Protection::Tpm);
    let before = world.store.open(&id).unwrap();
    let after = world.again().open(&id).unwrap();
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
fn every_signature_has_its_leading_zeros() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let key = world.store.open(&id).unwrap();
    for number in 0..64u8 {
        let signature = key.sign(&[number]).unwrap();
        assert!(
            key.public_jwk()
                .verifies(Algorithm::Es256, &[number], &signature)
        );
    }
}

#[test]
fn keys_of_a_tpm_and_of_files_stand_in_one_folder() {
    let world = World::new();
    let software = SoftwareKeyStore::open(&world.keys()).unwrap();
    let here = world.store.create(KeyKind::Sign, None).unwrap();
    let there = software.create(KeyKind::Sign, None).unwrap();
    assert_eq!(world.store.keys().unwrap(), std::slice::from_ref(&here));
    assert_eq!(software.keys().unwrap(), std::slice::from_ref(&there));
    for error in [world.store.open(&there).err(), software.open(&here).err()] {
        assert!(
            matches!(error, Some(KeyStoreError::NotFound(_))),
            "{error:?}"
        );
    }
    world.store.delete(&there).unwrap();
    software.delete(&here).unwrap();
    assert!(world.store.open(&here).is_ok() && software.open(&there).is_ok());
}

#[test]
fn a_tpm_and_a_file_agree_on_the_same_secret() {
    let world = World::new();
    let software = SoftwareKeyStore::open(&world.dir.path().join("other")).unwrap();
    let here = world.store.create(KeyKind::Agree, None).unwrap();
    let there = software.create(KeyKind::Agree, None).unwrap();
    let secret = world
        .again()
        .agree(&here, &p256(software.public(&there).unwrap()));
    let same = software.agree(&there, &p256(world.store.public(&here).unwrap()));
    assert_eq!(secret.unwrap(), same.unwrap());
}

#[test]
fn what_is_encrypted_to_a_key_opens_with_its_hash_only() {
    let world = World::new();
    let id = world.store.create(KeyKind::Decrypt, None).unwrap();
    let PublicKey::Rsa { n, e } = world.again().public(&id).unwrap() else {
        panic!("an RSA key has a modulus");
    };
    assert_eq!((n.len(), e.as_slice()), (256, [1, 0, 1].as_slice()));
    for (algorithm, hash, other) in [
        (&OAEP_SHA1_MGF1SHA1, OaepHash::Sha1, OaepHash::Sha256),
        (&OAEP_SHA256_MGF1SHA256, OaepHash::Sha256, OaepHash::Sha1),
    ] {
        let mut text = encrypt(&n, algorithm, &[7; 32]);
        let opened = world.again().decrypt(&id, hash, &text).unwrap();
        assert_eq!(opened.as_slice(), [7; 32]);
        let wrong = error_of(world.store.decrypt(&id, other, &text));
        assert!(matches!(wrong, KeyStoreError::NotOurs), "{wrong}");
        text[100] ^= 1;
        let changed = error_of(world.store.decrypt(&id, hash, &text));
        assert!(matches!(changed, KeyStoreError::NotOurs), "{changed}");
    }
    for length in [0, 1, 255, 257, 600] {
        let error = error_of(world.store.decrypt(&id, OaepHash::Sha1, &vec![1; length]));
        assert!(matches!(error, KeyStoreError::NotOurs), "{length}: {error}");
    }
}

/// Key, context and derived key made by an independent implementation of Entra ID's derivation.
#[test]
fn the_known_answer_of_entras_key_derivation_comes_out() {
    let world = World::new();
    let secret = Zeroizing::new((0..32).collect());
    let id = world.store.import_mac(secret).unwrap();
    let context: Vec<u8> = (0..24).collect();
    let derived = world
        .again()
        .derive(&id, b"AzureAD-SecureConversation", &context)
        .unwrap();
    let expected = 0x7029_6b43_34bf_08f7_bc69_5357_5e6b_6c18_u128.to_be_bytes();
    assert_eq!(derived[..16], expected);
    let expected = 0x959d_bcad_6adb_263f_b625_939d_0994_56b3_u128.to_be_bytes();
    assert_eq!(derived[16..], expected);
}

#[test]
fn both_providers_derive_the_same_from_secrets_of_any_length() {
    let world = World::new();
    let software = SoftwareKeyStore::open(&world.dir.path().join("other")).unwrap();
    for length in [1, 32, 64, 65, 200] {
        let secret = || Zeroizing::new(vec![0x5a; length]);
        let here = world.store.import_mac(secret()).unwrap();
        let there = software.import_mac(secret()).unwrap();
        assert_eq!(
            world.store.derive(&here, b"label", b"context").unwrap(),
            software.derive(&there, b"label", b"context").unwrap(),
            "{length}"
        );
    }
    let here = world.store.import_mac(Zeroizing::new(vec![1; 32])).unwrap();
    let error = error_of(world.store.derive(&here, b"label", &[0; 1024]));
    assert!(matches!(error, KeyStoreError::Unsupported(_)), "{error}");
}

#[test]
fn sealed_data_opens_for_its_context_only() {
    let world = World::new();
    for secret in [b"data key".to_vec(), vec![3; 5000], Vec::new()] {
        let sealed = world.store.seal(&secret, b"vault 1").unwrap();
        let opened = world.again().unseal(&sealed, b"vault 1").unwrap();
        assert_eq!(opened.as_slice(), secret);
        let error = error_of(world.store.unseal(&sealed, b"vault 2"));
        assert!(matches!(error, KeyStoreError::NotOurs), "{error}");
    }
}

#[test]
fn random_bytes_of_any_number_are_random() {
    let world = World::new();
    for count in [0, 1, 32, 33, 100] {
        let [mut a, mut b] = [(); 2].map(|()| vec![0; count]);
        world.store.random(&mut a).unwrap();
        world.store.random(&mut b).unwrap();
        assert!(count < 32 || a != b);
    }
}

#[test]
fn a_key_does_what_it_is_for_and_nothing_else() {
    let world = World::new();
    let sign = world.store.create(KeyKind::Sign, None).unwrap();
    let mac = world.store.import_mac(Zeroizing::new(vec![1; 32])).unwrap();
    let peer = p256(world.store.public(&sign).unwrap());
    for error in [
        world.store.open(&mac).err(),
        world.store.public(&mac).err(),
        world.store.agree(&sign, &peer).err(),
        world.store.decrypt(&sign, OaepHash::Sha1, &[0; 256]).err(),
        world.store.derive(&sign, b"", b"").err(),
    ] {
        assert!(
            matches!(error, Some(KeyStoreError::WrongKind { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn a_deleted_key_is_not_found() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    let opened = world.store.open(&id).unwrap();
    world.store.delete(&id).unwrap();
    assert!(!world.file(&id).exists());
    let error = error_of(world.store.open(&id));
    assert!(matches!(error, KeyStoreError::NotFound(_)), "{error}");
    world.store.delete(&id).unwrap();
    // Whoever had it open may finish: it is gone with him.
    assert!(opened.sign(b"message").is_ok());
}

#[test]
fn many_callers_at_once_are_all_served() {
    let world = World::new();
    let ids: Vec<KeyId> = (0..4)
        .map(|_| world.store.create(KeyKind::Sign, None).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for id in ids.iter().cycle().take(24) {
            scope.spawn(|| {
                let key = world.store.open(id).unwrap();
                let signature = key.sign(b"message").unwrap();
                assert!(
                    key.public_jwk()
                        .verifies(Algorithm::Es256, b"message", &signature)
                );
            });
        }
    });
}

fn p256(key: PublicKey) -> Jwk {
    match key {
        PublicKey::P256(jwk) => jwk,
        PublicKey::Rsa { .. } => panic!("a P-256 key is no RSA key"),
    }
}

/// Encrypts to a 2048-bit RSA key with exponent 65537 (its DER: RFC 3279 §2.3.1).
fn encrypt(n: &[u8], algorithm: &'static OaepAlgorithm, text: &[u8]) -> Vec<u8> {
    let before = [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82,
        0x01, 0x01, 0x00,
    ];
    let der = [&before, n, &[2, 3, 1, 0, 1]].concat();
    let key = PublicEncryptingKey::from_der(&der).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut buffer = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(algorithm, text, &mut buffer, None);
    encrypted.unwrap().to_vec()
}
