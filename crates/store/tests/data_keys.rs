//! Several devices seal the records of one vault: one that is away costs its own records only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use device::{
    Away, Device, contents, format_1, key, open, open_with, private_dir, put, put_as, software, tpm,
};
use keyward_client::binding::KeyProtection::{self, Software, Tpm};
use keyward_client::ports::{Change, RecordKind, RecordStore, StoreError};
use keyward_store::{KeyProvider, Vault};

/// A vault with a record of each protection.
async fn mixed(folder: &Path) -> Vault {
    let vault = open_with(folder, both()).unwrap();
    vault
        .apply(vec![put("a", "1", "soft"), put_as(Tpm, "b", "1", "hard")])
        .await
        .unwrap();
    vault
}

fn both() -> Vec<KeyProvider> {
    vec![software(Device(1)), tpm(Device(2))]
}

fn count(folder: &Path, query: &str) -> i64 {
    let database = rusqlite::Connection::open(folder.join("vault.db")).unwrap();
    database.query_row(query, [], |row| row.get(0)).unwrap()
}

fn is_lost(errors: &[StoreError], of: KeyProtection, how_many: u64) {
    let [
        StoreError::KeyLost {
            protection,
            records,
            ..
        },
    ] = errors
    else {
        panic!("{errors:?}");
    };
    assert_eq!((*protection, *records), (of, how_many));
}

#[tokio::test]
async fn a_data_key_is_made_when_its_first_record_needs_it() {
    let dir = private_dir();
    let keys = |expected: i64| {
        assert_eq!(count(dir.path(), "SELECT count(*) FROM data_key"), expected);
    };
    drop(open_with(dir.path(), both()).unwrap());
    keys(0);
    let vault = open_with(dir.path(), both()).unwrap();
    vault.apply(vec![put("a", "1", "one")]).await.unwrap();
    drop(vault);
    keys(1);
    drop(mixed(dir.path()).await);
    keys(2);
    drop(mixed(dir.path()).await);
    keys(2);
}

#[tokio::test]
async fn a_device_that_is_away_costs_its_own_records_until_it_is_back() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let away = Away::default();
    away.set(true);
    let providers = vec![software(Device(1)), tpm(away.device(Device(2)))];
    let vault = open_with(dir.path(), providers).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft"]);
    let unavailable = StoreError::KeyUnavailable {
        protection: Tpm,
        records: 1,
        reason: "the device is away".to_owned(),
    };
    assert_eq!(errors, std::slice::from_ref(&unavailable));
    let b = key(RecordKind::RefreshToken, "b", "1");
    assert_eq!(vault.get(&b).unwrap_err(), unavailable);

    // Others are written; its own are not, and get no second data key.
    vault.apply(vec![put("a", "2", "soft")]).await.unwrap();
    let both = vec![put("a", "3", "soft"), put_as(Tpm, "b", "2", "hard")];
    let refused = vault.apply(both).await.unwrap_err().to_string();
    assert!(refused.contains("nothing was written"), "{refused}");
    assert!(refused.contains("the device is away"), "{refused}");

    // Without a restart.
    away.set(false);
    assert_eq!(&**vault.get(&b).unwrap().unwrap().value, b"hard");
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft", "a/2=soft", "b/1=hard"]);
    assert_eq!(errors, []);
    vault
        .apply(vec![put_as(Tpm, "b", "2", "hard")])
        .await
        .unwrap();
    drop(vault);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM data_key"), 2);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_a_device_that_is_away() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let vault = open(dir.path()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft"]);
    assert!(
        errors[0]
            .to_string()
            .contains("nothing here holds tpm keys"),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_vault_of_which_nothing_can_be_read_for_now_is_not_opened() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let before = fs::read(dir.path().join("vault.db")).unwrap();
    let away = Away::default();
    away.set(true);
    let providers = vec![software(away.device(Device(1))), tpm(Device(3))];
    let error = open_with(dir.path(), providers).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::KeyUnavailable {
                protection: Software,
                records: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(fs::read(dir.path().join("vault.db")).unwrap(), before);
    assert_eq!(contents(&mixed(dir.path()).await).await.0.len(), 2);
}

#[tokio::test]
async fn a_lost_device_makes_way_for_a_new_key_once_and_for_good() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let cleared = || vec![software(Device(1)), tpm(Device(3))];
    let vault = open_with(dir.path(), cleared()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft"]);
    is_lost(&errors, Tpm, 1);
    // Nothing was given up yet: were it the old device after all, everything would be there.
    drop(vault);
    assert_eq!(contents(&mixed(dir.path()).await).await.0.len(), 2);

    // A sign-in makes a new binding.
    let vault = open_with(dir.path(), cleared()).unwrap();
    vault
        .apply(vec![put_as(Tpm, "c", "1", "new")])
        .await
        .unwrap();
    drop(vault);
    for _ in 0..2 {
        let vault = open_with(dir.path(), cleared()).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(records, ["a/1=soft", "c/1=new"]);
        is_lost(&errors, Tpm, 1);
    }
    assert_eq!(count(dir.path(), "SELECT count(*) FROM record"), 3);
    // The same account signs in again: its record takes the place of the lost one.
    let vault = open_with(dir.path(), cleared()).unwrap();
    vault
        .apply(vec![put_as(Tpm, "b", "1", "new")])
        .await
        .unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft", "b/1=new", "c/1=new"]);
    assert_eq!(errors, []);
}

#[tokio::test]
async fn a_vault_all_of_whose_devices_are_lost_begins_anew_beside_what_is_lost() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let others = || vec![software(Device(8)), tpm(Device(9))];
    let vault = open_with(dir.path(), others()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!((records.len(), errors.len()), (0, 2), "{errors:?}");
    assert!(
        vault
            .get(&key(RecordKind::RefreshToken, "a", "1"))
            .unwrap()
            .is_none()
    );
    vault
        .apply(vec![Change::Delete(key(
            RecordKind::RefreshToken,
            "a",
            "1",
        ))])
        .await
        .unwrap();
    vault.apply(vec![put("a", "1", "new")]).await.unwrap();
    drop(vault);
    assert_eq!(
        contents(&open_with(dir.path(), others()).unwrap()).await.0,
        ["a/1=new"]
    );
    // An old token that came back would be refused by its authority, or worse, accepted.
    let vault = open_with(dir.path(), both()).unwrap();
    let (records, _) = contents(&vault).await;
    assert_eq!(records, [""; 0]);
}

#[tokio::test]
async fn a_record_that_is_bound_anew_is_in_the_vault_once() {
    let dir = private_dir();
    let vault = mixed(dir.path()).await;
    vault
        .apply(vec![put_as(Tpm, "a", "1", "hard")])
        .await
        .unwrap();
    drop(vault);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM record"), 2);
    let vault = open_with(dir.path(), vec![tpm(Device(2))]).unwrap();
    assert_eq!(
        contents(&vault).await,
        (vec!["a/1=hard".to_owned(), "b/1=hard".to_owned()], vec![])
    );
}

#[tokio::test]
async fn a_record_cannot_be_passed_off_as_sealed_by_another_key() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let database = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    let edit = |statement: &str| assert_eq!(database.execute(statement, []).unwrap(), 1);
    edit("UPDATE record SET data_key = 2 WHERE rowid = 1");
    edit("UPDATE record SET data_key = 7 WHERE rowid = 2");
    database.close().unwrap();
    let vault = open_with(dir.path(), both()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, [""; 0]);
    let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].contains("in row 1") && reasons[0].contains("sealed by another key"));
    assert!(reasons[1].contains("in row 2") && reasons[1].contains("not in the vault"));
}

#[tokio::test]
async fn the_wrapped_key_of_one_protection_is_of_no_use_for_another() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let database = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    database
        .execute_batch(
            "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE id = 1) WHERE id = 2",
        )
        .unwrap();
    database.close().unwrap();
    // Even if one device holds both.
    let same = vec![software(Device(1)), tpm(Device(1))];
    let vault = open_with(dir.path(), same).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=soft"]);
    is_lost(&errors, Tpm, 1);
}

#[tokio::test]
async fn a_vault_of_format_1_is_migrated_and_keeps_everything() {
    let dir = private_dir();
    format_1(dir.path());
    for round in 0..3 {
        let vault = open_with(dir.path(), both()).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(errors, []);
        assert_eq!(records[..3], ["a/1=one", "b/2=two", "c/3=three"]);
        assert_eq!(records.len(), 3 + round.min(1));
        vault
            .apply(vec![put_as(Tpm, "d", "4", "four")])
            .await
            .unwrap();
    }
    assert_eq!(count(dir.path(), "PRAGMA user_version"), 2);
}

#[tokio::test]
async fn migrating_needs_no_key() {
    let dir = private_dir();
    format_1(dir.path());
    let away = Away::default();
    away.set(true);
    let error = open_with(dir.path(), vec![software(away.device(Device(1)))]).unwrap_err();
    assert!(
        matches!(error, StoreError::KeyUnavailable { records: 3, .. }),
        "{error:?}"
    );
    let (records, errors) = contents(&open(dir.path()).unwrap()).await;
    assert_eq!((records.len(), errors), (3, vec![]));
}

#[tokio::test]
async fn a_migration_that_was_interrupted_is_not_mistaken_for_an_old_vault() {
    let dir = private_dir();
    format_1(dir.path());
    // Migrated, but only the log knows: as a crash right after the commit leaves it.
    let vault = open(dir.path()).unwrap();
    let copy = private_dir();
    for name in ["vault.db", "vault.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    drop(vault);
    let header = fs::read(copy.path().join("vault.db")).unwrap();
    assert_eq!(
        header[60..64],
        [0, 0, 0, 1],
        "the file itself is of format 1"
    );
    let (records, errors) = contents(&open(copy.path()).unwrap()).await;
    assert_eq!((records.len(), errors), (3, vec![]));
}

#[tokio::test]
async fn a_newer_format_that_only_the_log_knows_is_refused_and_not_touched() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    vault.apply(vec![put("a", "1", "one")]).await.unwrap();
    drop(vault);
    let newer = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    newer
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA user_version = 3;")
        .unwrap();
    let copy = private_dir();
    let files = ["vault.db", "vault.db-wal"];
    for name in files {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(copy.path().join(name), private).unwrap();
    }
    drop(newer);
    let before = files.map(|name| fs::read(copy.path().join(name)).unwrap());
    let error = open(copy.path()).unwrap_err();
    assert!(error.to_string().contains("has format 3"), "{error}");
    let after = files.map(|name| fs::read(copy.path().join(name)).unwrap());
    assert!(before == after);
}

#[tokio::test]
async fn removing_all_leaves_no_row_of_a_device_that_is_away() {
    let dir = private_dir();
    drop(mixed(dir.path()).await);
    let away = Away::default();
    away.set(true);
    let providers = vec![software(Device(1)), tpm(away.device(Device(2)))];
    let vault = open_with(dir.path(), providers).unwrap();
    vault.remove_all().await.unwrap();
    assert_eq!(contents(&vault).await, (vec![], vec![]));
    away.set(false);
    assert_eq!(contents(&vault).await, (vec![], vec![]));
    drop(vault);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM record"), 0);
    assert_eq!(contents(&mixed(dir.path()).await).await.0.len(), 2);
}
