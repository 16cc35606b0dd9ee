//! What a vault promises to those who use it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use device::{Device, contents, key, open, open_with, private_dir, put, software};
use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Change, RecordKind, RecordStore, StoreError};

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    assert_eq!(contents(&vault).await, (vec![], vec![]));
    vault
        .apply(vec![
            put("a", "1", "one"),
            put("a", "2", "two"),
            put("b", "1", "three"),
        ])
        .await
        .unwrap();
    let changes = vec![
        put("a", "1", "uno"),
        Change::Delete(key(RecordKind::RefreshToken, "a", "2")),
        Change::Delete(key(RecordKind::RefreshToken, "nobody", "")),
    ];
    vault.apply(changes).await.unwrap();
    drop(vault);

    let vault = open(dir.path()).unwrap();
    let (records, errors) = contents(&vault).await;
    assert_eq!(records, ["a/1=uno", "b/1=three"]);
    assert_eq!(errors, []);
}

#[tokio::test]
async fn a_change_is_made_even_if_nobody_waits_for_it() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    let abandoned = vault.apply(vec![put("a", "1", "rotated")]);
    let mut abandoned = Box::pin(abandoned);
    // Polled once: the change is on its way to the disk when its caller goes away.
    let poll = std::future::poll_fn(|context| {
        std::task::Poll::Ready(abandoned.as_mut().poll(context).is_ready())
    });
    poll.await;
    drop(abandoned);
    assert_eq!(contents(&vault).await.0, ["a/1=rotated"]);
}

#[tokio::test]
async fn nothing_in_the_folder_is_in_clear_or_readable_by_others() {
    let dir = private_dir();
    let folder = dir.path().join("state");
    let vault = open(&folder).unwrap();
    let secret = "alice@dev.test";
    vault
        .apply(vec![put(secret, "issuer", "s3cret-refresh-token")])
        .await
        .unwrap();
    let search = |folder: &Path| {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
            let content = fs::read(entry.path()).unwrap();
            for text in [secret, "s3cret", "refresh_token", "00000000-aaaa", "issuer"] {
                let found = content
                    .windows(text.len())
                    .any(|part| part == text.as_bytes());
                assert!(!found, "{text} in {entry:?}");
            }
            files.push(entry.file_name().into_string().unwrap());
        }
        files.sort();
        files
    };
    assert_eq!(search(&folder), ["vault.db", "vault.db-wal", "vault.lock"]);
    drop(vault);
    assert_eq!(search(&folder), ["vault.db", "vault.lock"]);
}

#[tokio::test]
async fn one_process_holds_a_vault_at_a_time() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(vault);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_copied_vault_is_of_no_use_on_another_device() {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    vault.apply(vec![put("a", "1", "one")]).await.unwrap();
    drop(vault);
    let before = fs::read(dir.path().join("vault.db")).unwrap();

    let stolen = open_with(dir.path(), vec![software(Device(2))]).unwrap();
    let lost = StoreError::KeyLost {
        protection: KeyProtection::Software,
        records: 1,
        reason: "sealed by another device".to_owned(),
    };
    assert_eq!(contents(&stolen).await, (vec![], vec![lost]));
    drop(stolen);
    assert_eq!(fs::read(dir.path().join("vault.db")).unwrap(), before);
    let (records, _) = contents(&open(dir.path()).unwrap()).await;
    assert_eq!(records, ["a/1=one"]);
}

/// Writes this at this offset of the database and opens it. The error has to say this, and the
/// file has to stay as it is.
async fn refused_untouched(at: usize, bytes: &[u8], complaint: &str) {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    vault.apply(vec![put("a", "1", "one")]).await.unwrap();
    drop(vault);
    let path = dir.path().join("vault.db");
    let mut content = fs::read(&path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(&path, &content).unwrap();

    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains(complaint), "{error}");
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[tokio::test]
async fn foreign_and_newer_vaults_are_refused_and_not_touched() {
    refused_untouched(
        60,
        &3u32.to_be_bytes(),
        "has format 3, made by a newer version",
    )
    .await;
    refused_untouched(60, &0u32.to_be_bytes(), "has format 0, which never existed").await;
    refused_untouched(68, b"ABCD", "is a SQLite database of another program").await;
    refused_untouched(0, b"NOT SQLite", "is not a SQLite database").await;
}

#[tokio::test]
async fn what_a_crash_left_of_a_new_vault_is_no_obstacle() {
    let dir = private_dir();
    for name in ["vault.db.new", "vault.db.new-wal", "vault.db.new-journal"] {
        fs::write(dir.path().join(name), "half").unwrap();
    }
    let vault = open(dir.path()).unwrap();
    vault.apply(vec![put("a", "1", "one")]).await.unwrap();
    assert_eq!(contents(&vault).await.0, ["a/1=one"]);
    assert!(!dir.path().join("vault.db.new").exists());
}
