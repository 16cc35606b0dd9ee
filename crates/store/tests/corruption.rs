//! A damaged vault: named errors, the other records still served, nothing wrong served ever.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use device::{contents, open, private_dir, put};
use keyward_client::ports::{RecordStore, StoreError};
use proptest::prelude::*;
use tempfile::TempDir;

const RECORDS: [&str; 3] = ["a/1=one", "b/2=two", "c/3=three"];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// The file of a closed vault with three records.
static VAULT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = private_dir();
    let vault = open(dir.path()).unwrap();
    let changes = vec![
        put("a", "1", "one"),
        put("b", "2", "two"),
        put("c", "3", "three"),
    ];
    runtime().block_on(vault.apply(changes)).unwrap();
    drop(vault);
    fs::read(dir.path().join("vault.db")).unwrap()
});

/// A closed vault with three records, in a folder of its own.
fn vault() -> (TempDir, PathBuf) {
    let dir = private_dir();
    let database = dir.path().join("vault.db");
    fs::write(&database, &*VAULT).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    (dir, database)
}

/// Runs one statement over the database, as somebody with an editor would.
fn edit(database: &Path, statement: &str, parameters: impl rusqlite::Params) {
    let connection = rusqlite::Connection::open(database).unwrap();
    assert_eq!(connection.execute(statement, parameters).unwrap(), 1);
}

fn sealed(database: &Path, row: i64) -> Vec<u8> {
    rusqlite::Connection::open(database)
        .unwrap()
        .query_row("SELECT sealed FROM record WHERE rowid = ?1", [row], |row| {
            row.get(0)
        })
        .unwrap()
}

fn read(dir: &TempDir) -> (Vec<String>, Vec<StoreError>) {
    runtime().block_on(contents(&open(dir.path()).unwrap()))
}

fn assert_only_row_two_is_unreadable(dir: &TempDir) {
    let (records, errors) = read(dir);
    assert_eq!(records, [RECORDS[0], RECORDS[2]]);
    let [StoreError::Unreadable { record, .. }] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert_eq!(record, "in row 2");
}

#[test]
fn a_record_in_another_records_place_is_unreadable() {
    let (dir, database) = vault();
    edit(
        &database,
        "UPDATE record SET sealed = ?1 WHERE rowid = 2",
        [sealed(&database, 1)],
    );
    assert_only_row_two_is_unreadable(&dir);
}

#[test]
fn a_record_under_another_name_is_unreadable() {
    let (dir, database) = vault();
    edit(
        &database,
        "UPDATE record SET name = zeroblob(32) WHERE rowid = 2",
        [],
    );
    assert_only_row_two_is_unreadable(&dir);
}

#[test]
fn an_unreadable_record_is_replaced_by_a_new_one() {
    let (dir, database) = vault();
    edit(
        &database,
        "UPDATE record SET sealed = zeroblob(9) WHERE rowid = 2",
        [],
    );
    let vault = open(dir.path()).unwrap();
    runtime()
        .block_on(vault.apply(vec![put("b", "2", "anew")]))
        .unwrap();
    let (records, errors) = runtime().block_on(contents(&vault));
    assert_eq!((records.len(), errors), (3, vec![]));
    assert!(records.contains(&"b/2=anew".to_owned()));
}

#[test]
fn a_damaged_head_is_named() {
    let (dir, database) = vault();
    edit(&database, "UPDATE meta SET vault_id = zeroblob(16)", []);
    let (records, errors) = read(&dir);
    assert_eq!(records, [""; 0]);
    assert!(
        matches!(errors[..], [StoreError::KeyLost { records: 3, .. }]),
        "{errors:?}"
    );
    edit(&database, "DELETE FROM meta", []);
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("its head is damaged"), "{error}");
}

#[test]
fn rows_a_page_lost_count_of_are_missed() {
    let (dir, database) = vault();
    let connection = rusqlite::Connection::open(&database).unwrap();
    let root: u32 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'record'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(connection);
    let mut content = fs::read(&database).unwrap();
    // The number of cells of a page, big-endian (SQLite's file format, 1.6).
    let count = usize::try_from(root - 1).unwrap() * 4096 + 4;
    assert_eq!(content[count], 3);
    content[count] = 2;
    fs::write(&database, content).unwrap();
    let (records, errors) = read(&dir);
    assert_eq!(records, RECORDS[..2]);
    assert!(
        errors[0]
            .to_string()
            .contains("2 records found where its index knows 3"),
        "{errors:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_byte_of_a_record_costs_that_record_only(
        at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let (dir, database) = vault();
        let mut changed = sealed(&database, 2);
        let at = at.index(changed.len());
        changed[at] ^= flip;
        edit(&database, "UPDATE record SET sealed = ?1 WHERE rowid = 2", [changed]);
        assert_only_row_two_is_unreadable(&dir);
    }

    #[test]
    fn a_shortened_record_costs_that_record_only(length in any::<prop::sample::Index>()) {
        let (dir, database) = vault();
        let mut changed = sealed(&database, 2);
        changed.truncate(length.index(changed.len()));
        edit(&database, "UPDATE record SET sealed = ?1 WHERE rowid = 2", [changed]);
        assert_only_row_two_is_unreadable(&dir);
    }
}

/// A vault whose file was changed, on a file system in memory where there is one: there are
/// thousands of them.
struct Patient {
    dir: TempDir,
    database: PathBuf,
}

impl Patient {
    fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(0o700));
        let dir = builder
            .tempdir_in("/dev/shm")
            .or_else(|_| builder.tempdir());
        let dir = dir.unwrap();
        let database = dir.path().join("vault.db");
        Self { dir, database }
    }

    /// Opens a vault with this content. What was there is served exactly, or accounted for by an
    /// error; and reading it changes nothing.
    fn examine(&self, content: &[u8], what: &str) -> Outcome {
        for name in ["vault.db-wal", "vault.epoch"] {
            let _ = fs::remove_file(self.dir.path().join(name));
        }
        fs::write(&self.database, content).unwrap();
        fs::set_permissions(&self.database, fs::Permissions::from_mode(0o600)).unwrap();
        let outcome = self.open_and_read(what);
        let after = fs::read(&self.database).unwrap();
        assert!(after == content, "{what}: it was written to");
        outcome
    }

    fn open_and_read(&self, what: &str) -> Outcome {
        let vault = match open(self.dir.path()) {
            Ok(vault) => vault,
            Err(error) => {
                assert_named(&error, what);
                return Outcome::Refused;
            }
        };
        let mut loaded = Vec::new();
        let mut each = |record| loaded.push(record);
        if let Err(error) = runtime().block_on(vault.load(&mut each)) {
            assert_named(&error, what);
            return Outcome::Refused;
        }
        let mut served = Vec::new();
        let mut errors = 0;
        for record in loaded {
            match record {
                Ok(record) => {
                    let value = String::from_utf8(record.value.to_vec()).unwrap();
                    let shown = format!("{}/{}={value}", record.key.account, record.key.detail);
                    assert!(
                        RECORDS.contains(&shown.as_str()),
                        "{what}: {shown} is served"
                    );
                    served.push(shown);
                }
                Err(error) => {
                    assert_named(&error, what);
                    errors += 1;
                }
            }
        }
        served.sort();
        served.dedup();
        let all = served.len() == RECORDS.len();
        assert!(all || errors > 0, "{what}: {served:?} without a word");
        Outcome::Served(served.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Served(usize),
}

/// Damage is called damage: neither another program's doing nor a full disk.
fn assert_named(error: &StoreError, what: &str) {
    let named = match error {
        StoreError::Damaged(_) | StoreError::Unreadable { .. } | StoreError::KeyLost { .. } => true,
        StoreError::KeyUnavailable { reason, .. } => reason.contains("head is damaged"),
        // A page number beyond the file, or a page that is half there.
        StoreError::Io(text) => text.contains("disk I/O error"),
        _ => false,
    };
    assert!(named, "{what}: {error:?}");
}

/// Where each record's sealed value is in the file.
fn sealed_places() -> Vec<std::ops::Range<usize>> {
    let (_dir, database) = vault();
    let place = |row| {
        let sealed = sealed(&database, row);
        let mut windows = VAULT.windows(sealed.len());
        let at = windows.position(|window| window == sealed).unwrap();
        at..at + sealed.len()
    };
    (1..=3).map(place).collect()
}

/// Splits the work between two threads.
fn in_two_threads(count: usize, examine: impl Fn(&Patient, usize) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let examine = &examine;
            scope.spawn(move || {
                let patient = Patient::new();
                for index in (half..count).step_by(2) {
                    examine(&patient, index);
                }
            });
        }
    });
}

#[test]
fn whichever_byte_is_changed_nothing_wrong_is_served_and_nothing_is_missing_without_a_word() {
    let places = sealed_places();
    in_two_threads(VAULT.len(), |patient, at| {
        // Another bit each time, and over the whole file all of them.
        let mut content = VAULT.clone();
        content[at] ^= 1 << (at % 8);
        let outcome = patient.examine(&content, &format!("byte {at}"));
        if places.iter().any(|place| place.contains(&at)) {
            assert_eq!(outcome, Outcome::Served(2), "byte {at} is in one record");
        }
    });
}

#[test]
fn wherever_the_file_ends_nothing_wrong_is_served_and_nothing_is_missing_without_a_word() {
    in_two_threads(VAULT.len(), |patient, length| {
        patient.examine(&VAULT[..length], &format!("length {length}"));
    });
}

#[test]
fn a_whole_vault_is_served_whole() {
    assert_eq!(Patient::new().examine(&VAULT, "whole"), Outcome::Served(3));
}
