//! What only the database itself can be made to do: run out of space, refuse to write.

use keyward_client::ports::RecordKind;

use rusqlite::Row;
use zeroize::Zeroizing;

use super::*;
use crate::machine::StateFolder;
use crate::place::tests::private_dir;
use crate::provider::{KeyWrap, Rollback, WrapError};
use crate::scan::{Found, Scan};
use crate::schema::FORMAT;

/// Wraps nothing: what is wrapped is of no interest here.
struct InClear;

impl KeyWrap for InClear {
    fn wrap(&self, key: &[u8], _: &[u8]) -> Result<Vec<u8>, WrapError> {
        Ok(key.to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }
}

fn open(dir: &tempfile::TempDir) -> Result<Database, StoreError> {
    let provider = KeyProvider {
        protection: KeyProtection::Software,
        wrap: Box::new(InClear),
        rollback: Rollback::Undetected,
    };
    let place = Place::open(&StateFolder::single(dir.path())).unwrap();
    Database::open(place, vec![provider])
}

fn read(database: &mut Database) -> Vec<Result<Record, StoreError>> {
    let mut scan = Scan::new();
    let mut records = Vec::new();
    loop {
        let batch = scan.next(database).unwrap();
        if batch.is_empty() {
            break;
        }
        records.extend(batch.into_iter().filter_map(Found::into_record));
    }
    records.extend(database.after(&scan));
    records
}

fn database() -> (tempfile::TempDir, Database) {
    let dir = private_dir();
    let database = open(&dir).unwrap();
    (dir, database)
}

fn put(detail: &str, size: usize) -> Change {
    Change::Put(Record {
        key: RecordKey {
            kind: RecordKind::AccessToken,
            account: "a".to_owned(),
            client: "c".to_owned(),
            detail: detail.to_owned(),
        },
        value: Zeroizing::new(vec![b'x'; size]),
        protection: KeyProtection::Software,
    })
}

fn details(database: &mut Database) -> Vec<String> {
    let records = read(database);
    let mut details: Vec<String> = records
        .into_iter()
        .map(|record| record.unwrap().key.detail)
        .collect();
    details.sort();
    details
}

#[test]
fn a_full_disk_is_named_and_changes_nothing() {
    let (_dir, mut database) = database();
    database.apply(&[put("before", 100)]).unwrap();
    let pages: i64 = database
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    database
        .connection
        .pragma_update(None, "max_page_count", pages + 4)
        .unwrap();

    let changes = [put("small", 10), put("large", 1024 * 1024)];
    assert_eq!(database.apply(&changes), Err(StoreError::Full));
    assert_eq!(details(&mut database), ["before"]);
    database.apply(&[put("after", 100)]).unwrap();
    assert_eq!(details(&mut database), ["after", "before"]);
}

#[test]
fn a_vault_that_may_not_be_written_is_named_and_still_read() {
    let (_dir, mut database) = database();
    database.apply(&[put("before", 100)]).unwrap();
    database
        .connection
        .pragma_update(None, "query_only", true)
        .unwrap();
    assert_eq!(
        database.apply(&[put("after", 100)]),
        Err(StoreError::ReadOnly)
    );
    assert_eq!(details(&mut database), ["before"]);
}

#[test]
fn the_promised_settings_are_in_force() {
    let (_dir, database) = database();
    let setting = |name: &str| -> String {
        let value = |row: &Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        let query = format!("PRAGMA {name}");
        match database.connection.query_row(&query, [], value).unwrap() {
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        }
    };
    assert_eq!(setting("journal_mode"), "wal");
    assert_eq!(setting("locking_mode"), "exclusive");
    assert_eq!(setting("synchronous"), "Integer(2)");
    assert_eq!(setting("secure_delete"), "Integer(1)");
    assert_eq!(setting("user_version"), format!("Integer({FORMAT})"));
}

#[test]
fn pages_that_are_lost_take_nothing_with_them_but_their_own_records() {
    use std::os::unix::fs::FileExt;

    let (dir, mut database) = database();
    let names: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
    for name in &names {
        database.apply(&[put(name, 900)]).unwrap();
    }
    drop(database);
    // Wipe one page of the record table: the one with record 100 in the middle.
    let path = dir.path().join("vault.db");
    let plain = Connection::open(&path).unwrap();
    let page: u32 = plain
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'record'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(plain);
    let content = std::fs::read(&path).unwrap();
    let leaf = leaf_in_the_middle(&content, usize::try_from(page).unwrap());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_at(&[0xee; 64], ((leaf - 1) * PAGE) as u64)
        .unwrap();
    drop(file);

    let mut database = open(&dir).unwrap();
    let records = read(&mut database);
    let (good, bad): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(matches!(bad[0], Err(StoreError::Damaged(_))), "{bad:?}");
    assert!(good.len() >= 190 && good.len() < 200, "{}", good.len());

    let refused = database.apply(&[put("new", 10)]);
    assert!(
        matches!(refused, Err(StoreError::Damaged(_))),
        "{refused:?}"
    );
}

const PAGE: usize = 4096;

/// Follows the interior page of a table (SQLite's file format, 1.6) to the leaf in its middle.
fn leaf_in_the_middle(content: &[u8], root: usize) -> usize {
    let page = &content[(root - 1) * PAGE..root * PAGE];
    assert_eq!(page[0], 5, "an interior page");
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
    let slot = 12 + cells / 2 * 2;
    let cell = usize::from(u16::from_be_bytes([page[slot], page[slot + 1]]));
    let child = u32::from_be_bytes(page[cell..cell + 4].try_into().unwrap());
    usize::try_from(child).unwrap()
}
