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

/// Whatever happened to the file: every record that is served is one that was written, and what
/// is missing is accounted for by an error.
fn nothing_wrong_is_served(dir: &TempDir) -> Result<(), TestCaseError> {
    let vault = match open(dir.path()) {
        Ok(vault) => vault,
        Err(error) => {
            prop_assert!(
                matches!(error, StoreError::Damaged(_) | StoreError::Io(_)),
                "{:?}",
                error
            );
            return Ok(());
        }
    };
    let mut loaded = Vec::new();
    let mut each = |record| loaded.push(record);
    if runtime().block_on(vault.load(&mut each)).is_err() {
        return Ok(());
    }
    let mut served = 0;
    let mut errors = 0;
    for record in loaded {
        match record {
            Ok(record) => {
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                let shown = format!("{}/{}={value}", record.key.account, record.key.detail);
                prop_assert!(RECORDS.contains(&shown.as_str()), "{}", shown);
                served += 1;
            }
            Err(_) => errors += 1,
        }
    }
    prop_assert!(served <= RECORDS.len());
    prop_assert!(
        served == RECORDS.len() || errors > 0,
        "{} served without a word",
        served
    );
    Ok(())
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

    #[test]
    fn a_changed_byte_of_the_file_never_serves_anything_wrong(
        at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let (dir, database) = vault();
        let mut content = fs::read(&database).unwrap();
        let at = at.index(content.len());
        content[at] ^= flip;
        fs::write(&database, &content).unwrap();
        nothing_wrong_is_served(&dir)?;
    }

    #[test]
    fn a_shortened_file_never_serves_anything_wrong(length in any::<prop::sample::Index>()) {
        let (dir, database) = vault();
        let content = fs::read(&database).unwrap();
        fs::write(&database, &content[..length.index(content.len())]).unwrap();
        nothing_wrong_is_served(&dir)?;
    }
}
