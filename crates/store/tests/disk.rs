//! A disk that is full at every write there is, and one that cannot be written at all: named errors,
//! records that were there are served, nothing that was acknowledged is lost.
//!
//! The disk is a small file system in memory, in a mount namespace of its own: it takes root, or a
//! kernel that lets users have namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use device::{Device, contents, format_1, open_with, private_dir, put, software};
use keyward_client::ports::{RecordStore, StoreError};
use keyward_store::{FileCounter, KeyProvider, Rollback, Vault};

const DISK: &str = "KEYWARD_TEST_DISK";

/// Runs one of the ignored tests below with a disk of its own.
fn with_a_disk_of_its_own(test: &str) {
    let disk = private_dir();
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let mount = "mount -t tmpfs -o size=1m,mode=700 none \"$0\" || exit 99; exec \"$@\"";
    let output = command
        .args(["sh", "-c", mount])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DISK, disk.path())
        .output()
        .expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !said.contains("panicked") {
        // Past the test runner, which shows nothing of what a test prints that passes.
        let _ = writeln!(std::io::stderr(), "\nSKIPPED, needs root: {test} ({said})");
        assert!(!rustix::process::geteuid().is_root(), "{said}");
        return;
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_disk_that_is_full_at_any_write_of_a_new_vault_loses_nothing() {
    with_a_disk_of_its_own("full_new");
}

#[test]
fn a_disk_that_is_full_at_any_write_leaves_an_old_vault_as_it_was() {
    with_a_disk_of_its_own("full_old");
}

#[test]
fn a_disk_that_is_full_at_any_write_of_a_repair_leaves_the_vault_as_it_was() {
    with_a_disk_of_its_own("full_repair");
}

#[test]
fn a_read_only_file_system_is_read() {
    with_a_disk_of_its_own("read_only");
}

fn disk() -> PathBuf {
    PathBuf::from(std::env::var_os(DISK).unwrap())
}

/// What this file system gives away at once.
const PAGE: u64 = 4096;

/// Fills the disk but for this many pages.
fn leave(pages: u64) {
    let path = disk().join("filler");
    let mut filler = File::create(&path).unwrap();
    let block = [0x55; 4096];
    while filler.write_all(&block).is_ok() {}
    let length = filler.metadata().unwrap().len();
    filler.set_len(length - pages * PAGE).unwrap();
}

fn free() {
    fs::remove_file(disk().join("filler")).unwrap();
}

/// An empty folder on the disk.
fn folder() -> PathBuf {
    let folder = disk().join("state");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn open(folder: &Path) -> Result<Vault, StoreError> {
    let provider = KeyProvider {
        rollback: Rollback::BestEffort(Box::new(FileCounter::beside(folder))),
        ..software(Device(1))
    };
    open_with(folder, vec![provider])
}

fn assert_full(error: &StoreError, pages: u64) {
    let named = match error {
        StoreError::Full => true,
        other => other.to_string().contains("No space left on device"),
    };
    assert!(named, "{pages} pages left: {error:?}");
}

/// Writes records until there is no more room, or enough. Returns those that were acknowledged.
async fn fill(vault: &Vault, pages: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 10..22 {
        let value = format!("{number}").repeat(450);
        match vault
            .apply(vec![put("a", &number.to_string(), &value)])
            .await
        {
            Ok(()) => acknowledged.push(format!("a/{number}={value}")),
            Err(error) => assert_full(&error, pages),
        }
    }
    acknowledged
}

async fn serves(vault: &Vault, expected: &[String], pages: u64) {
    let (records, errors) = contents(vault).await;
    assert!(
        records == expected,
        "{pages} pages left: {} records",
        records.len()
    );
    for error in errors {
        assert_full(&error, pages);
    }
}

#[tokio::test]
#[ignore = "run by a test above"]
async fn full_new() {
    let mut opened = 0;
    for pages in 0.. {
        let folder = folder();
        leave(pages);
        let mut acknowledged = Vec::new();
        match open(&folder) {
            Ok(vault) => {
                opened += 1;
                acknowledged = fill(&vault, pages).await;
                serves(&vault, &acknowledged, pages).await;
            }
            Err(error) => assert_full(&error, pages),
        }
        // Once more on the full disk, then on one that has room again.
        if let Ok(vault) = open(&folder) {
            serves(&vault, &acknowledged, pages).await;
        } else {
            assert_eq!(acknowledged, [""; 0]);
        }
        free();
        let vault = open(&folder).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(
            (records == acknowledged, errors),
            (true, vec![]),
            "{pages} pages left"
        );
        let all = fill(&vault, pages).await;
        assert_eq!(all.len(), 12);
        serves(&vault, &all, pages).await;
        if acknowledged.len() == 12 {
            assert!(opened > 20, "the disk was full at {opened} moments only");
            return;
        }
    }
}

#[tokio::test]
#[ignore = "run by a test above"]
async fn full_old() {
    for pages in 0.. {
        let folder = folder();
        format_1(&folder);
        let before = fs::read(folder.join("vault.db")).unwrap();
        leave(pages);
        let migrated = match open(&folder) {
            Ok(vault) => {
                // It was migrated, and there may be no room for anything else.
                let old = ["a/1=one", "b/2=two", "c/3=three"].map(str::to_owned);
                serves(&vault, &old, pages).await;
                fill(&vault, pages).await.len() == 12
            }
            Err(error) => {
                assert_full(&error, pages);
                assert!(fs::read(folder.join("vault.db")).unwrap() == before);
                false
            }
        };
        free();
        let (records, errors) = contents(&open(&folder).unwrap()).await;
        assert_eq!(errors, []);
        for old in ["a/1=one", "b/2=two", "c/3=three"] {
            assert!(
                records.contains(&old.to_owned()),
                "{pages} pages left: {records:?}"
            );
        }
        if migrated {
            assert!(pages > 5, "the disk was full at {pages} moments only");
            return;
        }
    }
}

#[tokio::test]
#[ignore = "run by a test above"]
async fn full_repair() {
    for pages in 0.. {
        let folder = folder();
        let vault = open(&folder).unwrap();
        let mut expected = fill(&vault, pages).await;
        drop(vault);
        let edited = rusqlite::Connection::open(folder.join("vault.db")).unwrap();
        edited
            .execute(
                "UPDATE record SET sealed = zeroblob(60) WHERE rowid = 1",
                [],
            )
            .unwrap();
        drop(edited);
        expected.remove(0);
        leave(pages);
        let vault = open(&folder).unwrap();
        let repaired = match vault.repair(false).await {
            Ok(repair) => repair.repaired,
            Err(error) => {
                assert_full(&error, pages);
                false
            }
        };
        let (records, _) = contents(&vault).await;
        assert!(records == expected, "{pages} pages left: {}", records.len());
        drop(vault);
        free();
        let vault = open(&folder).unwrap();
        assert!(contents(&vault).await.0 == expected, "{pages} pages left");
        assert_eq!(vault.check().await.unwrap().is_whole(), repaired);
        if repaired {
            assert!(pages > 5, "the disk was full at {pages} moments only");
            return;
        }
    }
}

fn remount_read_only() {
    let mut command = Command::new("mount");
    command.args(["-o", "remount,ro"]).arg(disk());
    assert!(command.status().unwrap().success());
}

#[tokio::test]
#[ignore = "run by a test above"]
async fn read_only() {
    let folder = folder();
    let vault = open(&folder).unwrap();
    let written = fill(&vault, 0).await;
    // As a crash leaves it: most of it is in the log.
    let crashed = disk().join("crashed");
    let old = disk().join("old");
    let empty = disk().join("empty");
    for folder in [&crashed, &old, &empty] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for name in ["vault.db", "vault.db-wal", "vault.epoch"] {
        fs::copy(folder.join(name), crashed.join(name)).unwrap();
    }
    drop(vault);
    format_1(&old);
    remount_read_only();

    for folder in [&folder, &crashed] {
        let vault = open(folder).unwrap();
        assert_eq!(contents(&vault).await, (written.clone(), vec![]));
        let refused = vault.apply(vec![put("b", "1", "one")]).await;
        assert_eq!(refused, Err(StoreError::ReadOnly));
        assert_eq!(vault.end_epoch().await, Err(StoreError::ReadOnly));
        assert!(vault.check().await.unwrap().is_whole());
        // There is nothing to repair.
        assert!(!vault.repair(false).await.unwrap().repaired);
    }
    let vault = open(&old).unwrap();
    assert_eq!(
        contents(&vault).await.0,
        ["a/1=one", "b/2=two", "c/3=three"]
    );
    assert_eq!(open(&empty).unwrap_err(), StoreError::ReadOnly);
}
