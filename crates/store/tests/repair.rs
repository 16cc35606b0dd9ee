//! Checking a vault says what is damaged; repairing it loses nothing that can be read.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs;
use std::path::Path;

use device::{
    Away, Device, contents, key, open, open_with, private_dir, put, put_as, software, tpm,
};
use keyward_client::binding::KeyProtection::{Software, Tpm};
use keyward_client::manage::{DamagedRecord, ReadableRecords, SealedRecords};
use keyward_client::ports::{RecordKind, RecordStore, StoreError};
use keyward_store::{FileCounter, KeyProvider, Rollback, Vault};

const CHANGED: &str = "it was changed, or sealed by another key or for another place";

fn both() -> Vec<KeyProvider> {
    vec![software(Device(1)), tpm(Device(2))]
}

/// Five records, one of them sealed by the TPM.
async fn filled(folder: &Path) {
    let vault = open_with(folder, both()).unwrap();
    let changes = vec![
        put("a", "1", "one"),
        put("b", "2", "two"),
        put("c", "3", "three"),
        put("d", "4", "four"),
        put_as(Tpm, "e", "5", "five"),
    ];
    vault.apply(changes).await.unwrap();
}

fn edit(folder: &Path, statement: &str) {
    let connection = rusqlite::Connection::open(folder.join("vault.db")).unwrap();
    connection.execute_batch(statement).unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn whole(vault: &Vault) -> bool {
    vault.check().await.unwrap().is_whole()
}

#[tokio::test]
async fn one_record_is_read_alone() {
    let dir = private_dir();
    filled(dir.path()).await;
    let vault = open_with(dir.path(), both()).unwrap();
    for (account, detail, value) in [("a", "1", "one"), ("e", "5", "five")] {
        let key = key(RecordKind::RefreshToken, account, detail);
        let record = vault.get(&key).unwrap().unwrap();
        assert_eq!(record.key, key);
        assert_eq!(&**record.value, value.as_bytes());
    }
    for (kind, detail) in [
        (RecordKind::AccessToken, "1"),
        (RecordKind::RefreshToken, "9"),
    ] {
        assert!(vault.get(&key(kind, "a", detail)).unwrap().is_none());
    }
    drop(vault);
    edit(
        dir.path(),
        "UPDATE record SET sealed = zeroblob(60) WHERE rowid = 1",
    );
    let vault = open_with(dir.path(), both()).unwrap();
    let error = vault
        .get(&key(RecordKind::RefreshToken, "a", "1"))
        .unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_whole_vault_is_found_whole_and_a_repair_leaves_it_alone() {
    let dir = private_dir();
    filled(dir.path()).await;
    let vault = open_with(dir.path(), both()).unwrap();
    let report = vault.check().await.unwrap();
    assert!(report.is_whole(), "{report:?}");
    let count = |key_protection, records| ReadableRecords {
        kind: RecordKind::RefreshToken,
        key_protection,
        records,
    };
    assert_eq!(report.readable, [count(Software, 4), count(Tpm, 1)]);
    let before = fs::read(dir.path().join("vault.db")).unwrap();
    let repair = vault.repair(false).await.unwrap();
    assert_eq!(
        (repair.repaired, repair.lost, repair.kept_aside),
        (false, 0, None)
    );
    drop(vault);
    assert!(fs::read(dir.path().join("vault.db")).unwrap() == before);
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_lost_and_changes_nothing() {
    let dir = private_dir();
    filled(dir.path()).await;
    edit(
        dir.path(),
        "UPDATE record SET sealed = zeroblob(60) WHERE rowid IN (2, 4)",
    );
    let before = fs::read(dir.path().join("vault.db")).unwrap();
    let vault = open_with(dir.path(), both()).unwrap();
    let repair = vault.repair(true).await.unwrap();
    assert_eq!(
        (repair.repaired, repair.lost, repair.kept_aside),
        (false, 2, None)
    );
    let reason = "it is of an unknown format".to_owned();
    let damaged = [2, 4].map(|row| DamagedRecord {
        row,
        reason: reason.clone(),
    });
    assert_eq!(repair.found.damaged, damaged);
    assert_eq!(repair.found.records(), 3);
    drop(vault);
    assert!(fs::read(dir.path().join("vault.db")).unwrap() == before);
    assert_eq!(files(dir.path()), ["vault.db", "vault.lock"]);
}

#[tokio::test]
async fn a_repair_keeps_what_can_be_read_and_what_was_there_aside() {
    let dir = private_dir();
    filled(dir.path()).await;
    edit(
        dir.path(),
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE rowid = 1) WHERE rowid = 2",
    );
    let damaged = fs::read(dir.path().join("vault.db")).unwrap();
    let vault = open_with(dir.path(), both()).unwrap();
    let repair = vault.repair(false).await.unwrap();
    assert!(repair.repaired);
    assert_eq!(repair.lost, 1);
    assert_eq!(repair.found.damaged[0].reason, CHANGED);
    let aside = repair.kept_aside.unwrap();
    assert!(fs::read(&aside).unwrap() == damaged);

    // It goes on without a restart, and after one.
    assert!(whole(&vault).await);
    vault.apply(vec![put("b", "2", "anew")]).await.unwrap();
    drop(vault);
    let vault = open_with(dir.path(), both()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(errors, []);
    assert_eq!(
        records,
        ["a/1=one", "b/2=anew", "c/3=three", "d/4=four", "e/5=five"]
    );
    assert_eq!(
        files(dir.path()),
        [
            "vault.db",
            "vault.db-wal",
            "vault.db.damaged-1",
            "vault.lock"
        ]
    );
    // A second one does not overwrite what the first kept.
    drop(vault);
    edit(
        dir.path(),
        "UPDATE record SET sealed = zeroblob(60) WHERE rowid = 1",
    );
    let vault = open_with(dir.path(), both()).unwrap();
    let second = vault.repair(false).await.unwrap().kept_aside.unwrap();
    assert!(second.ends_with("vault.db.damaged-2"), "{second}");
}

#[tokio::test]
async fn a_repair_keeps_what_may_be_read_later_and_drops_what_never_will() {
    let dir = private_dir();
    filled(dir.path()).await;
    edit(
        dir.path(),
        "UPDATE record SET sealed = zeroblob(60) WHERE rowid = 1",
    );
    let away = Away::default();
    away.set(true);
    let providers = vec![software(Device(1)), tpm(away.device(Device(2)))];
    let vault = open_with(dir.path(), providers).unwrap();
    let repair = vault.repair(false).await.unwrap();
    let sealed = SealedRecords {
        key_protection: Tpm,
        records: 1,
        lost: false,
        reason: "the device is away".to_owned(),
    };
    assert_eq!(repair.found.sealed, [sealed]);
    assert_eq!((repair.repaired, repair.lost), (true, 1));
    away.set(false);
    assert_eq!(
        contents(&vault).await.0,
        ["b/2=two", "c/3=three", "d/4=four", "e/5=five"]
    );
    drop(vault);

    let cleared = || vec![software(Device(1)), tpm(Device(7))];
    let vault = open_with(dir.path(), cleared()).unwrap();
    let repair = vault.repair(false).await.unwrap();
    assert_eq!((repair.repaired, repair.lost), (true, 1));
    assert!(repair.found.sealed[0].lost);
    assert!(whole(&vault).await);
    drop(vault);
    let vault = open_with(dir.path(), cleared()).unwrap();
    assert_eq!(
        contents(&vault).await.0,
        ["b/2=two", "c/3=three", "d/4=four"]
    );
}

#[tokio::test]
async fn a_database_whose_structure_is_damaged_is_written_anew() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    let value = "x".repeat(900);
    let changes = (0..200).map(|n| put("a", &format!("{n:03}"), &value));
    vault.apply(changes.collect()).await.unwrap();
    drop(vault);
    // One page of the table in the middle of the file.
    let path = dir.path().join("vault.db");
    let mut content = fs::read(&path).unwrap();
    let page = (content.len() / 4096 / 2) * 4096;
    content[page..page + 64].fill(0xee);
    fs::write(&path, &content).unwrap();

    let vault = open(dir.path()).unwrap();
    let (readable, errors) = contents(&vault).await;
    assert!((190..200).contains(&readable.len()), "{}", readable.len());
    assert!(!errors.is_empty());
    let refused = vault.apply(vec![put("b", "1", "one")]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    let repair = vault.repair(false).await.unwrap();
    assert!(
        repair.repaired && !repair.found.problems.is_empty(),
        "{repair:?}"
    );
    assert_eq!(repair.lost, 200 - readable.len() as u64);
    assert!(whole(&vault).await);
    assert_eq!(contents(&vault).await, (readable.clone(), vec![]));
    vault.apply(vec![put("b", "1", "one")]).await.unwrap();
    drop(vault);
    assert_eq!(
        contents(&open(dir.path()).unwrap()).await.0.len(),
        readable.len() + 1
    );
}

#[tokio::test]
async fn a_repaired_vault_is_of_the_newest_epoch_and_the_damaged_one_is_not() {
    let dir = private_dir();
    let counted = || {
        vec![KeyProvider {
            rollback: Rollback::Detected(Box::new(FileCounter::beside(dir.path()))),
            ..software(Device(1))
        }]
    };
    let vault = open_with(dir.path(), counted()).unwrap();
    vault
        .apply(vec![put("a", "1", "one"), put("b", "2", "two")])
        .await
        .unwrap();
    drop(vault);
    edit(
        dir.path(),
        "UPDATE record SET sealed = zeroblob(60) WHERE rowid = 1",
    );
    let vault = open_with(dir.path(), counted()).unwrap();
    assert_eq!(contents(&vault).await.0, ["b/2=two"]);
    let aside = vault.repair(false).await.unwrap().kept_aside.unwrap();
    vault.end_epoch().await.unwrap();
    drop(vault);
    for _ in 0..2 {
        let vault = open_with(dir.path(), counted()).unwrap();
        assert_eq!(contents(&vault).await, (vec!["b/2=two".to_owned()], vec![]));
    }
    fs::copy(aside, dir.path().join("vault.db")).unwrap();
    let error = open_with(dir.path(), counted()).unwrap_err();
    assert!(matches!(error, StoreError::RolledBack(_)), "{error:?}");
}
