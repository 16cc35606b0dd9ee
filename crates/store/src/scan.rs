//! Reading every record, a few at a time: what damage leaves readable is served, and nothing is
//! missing without a word.

use std::collections::BTreeMap;

use keyward_client::ports::{Record, StoreError};
use rusqlite::{Row, params};

use crate::data_key::{DataKey, DataKeys};
use crate::database::{Database, NO_DATA_KEY};
use crate::error::of_database;

/// How many records are in memory at once.
const BATCH: i64 = 64;

/// How far a reading has come.
pub(crate) struct Scan {
    stage: Stage,
    /// The last row read from the front.
    after: i64,
    /// How many rows were read.
    found: u64,
    /// How many rows wait for each data key that is not open.
    waiting: BTreeMap<i64, u64>,
    damage: Option<StoreError>,
}

enum Stage {
    Forwards,
    /// Behind a page that cannot be read, from the other end, down to this row.
    Backwards(i64),
    Done,
}

/// One row.
pub(crate) struct Found {
    pub(crate) row: i64,
    pub(crate) content: Content,
}

/// What is in a row.
pub(crate) enum Content {
    Record(Record),
    /// Sealed by a data key that is not open.
    Sealed(SealedRow),
    /// What is wrong with it.
    Damaged(&'static str),
}

/// A row as it is.
pub(crate) struct SealedRow {
    pub(crate) name: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) data_key: i64,
}

impl Scan {
    /// Begins at the first row.
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Forwards,
            after: i64::MIN,
            found: 0,
            waiting: BTreeMap::new(),
            damage: None,
        }
    }

    /// The next rows; none when there are no more.
    ///
    /// # Errors
    ///
    /// When reading went wrong without damage.
    pub(crate) fn next(&mut self, database: &Database) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        while found.is_empty() {
            match self.stage {
                Stage::Forwards => self.forwards(database, &mut found)?,
                Stage::Backwards(before) => self.backwards(database, before, &mut found),
                Stage::Done => break,
            }
        }
        for row in &found {
            if let Content::Sealed(row) = &row.content {
                *self.waiting.entry(row.data_key).or_default() += 1;
            }
        }
        Ok(found)
    }

    fn forwards(&mut self, database: &Database, found: &mut Vec<Found>) -> Result<(), StoreError> {
        let query = "SELECT rowid, name, sealed, data_key FROM record WHERE rowid > ?1
                     ORDER BY rowid LIMIT ?2";
        let read = read(database, query, params![self.after, BATCH], found);
        let last = found.iter().map(|found| found.row).max();
        let advanced = last.is_some_and(|last| last > self.after);
        self.after = self.after.max(last.unwrap_or(self.after));
        self.found += found.len() as u64;
        match read.map_err(|error| of_database(&error)) {
            Ok(()) if advanced => {}
            Ok(()) => {
                self.stage = Stage::Done;
                self.damage = database.compare_with_index(self.found).err();
            }
            Err(damage @ StoreError::Damaged(_)) => {
                self.stage = Stage::Backwards(i64::MAX);
                self.damage = Some(damage);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// As far as it goes: that there is damage is known already.
    fn backwards(&mut self, database: &Database, before: i64, found: &mut Vec<Found>) {
        let query = "SELECT rowid, name, sealed, data_key FROM record
                     WHERE rowid < ?1 AND rowid > ?2 ORDER BY rowid DESC LIMIT ?3";
        let read = read(database, query, params![before, self.after, BATCH], found);
        found.retain(|found| found.row > self.after);
        self.found += found.len() as u64;
        let first = found.iter().map(|found| found.row).min();
        self.stage = match first {
            Some(first) if read.is_ok() && first < before => Stage::Backwards(first),
            _ => Stage::Done,
        };
    }

    /// What is wrong, when everything was read: damage, and keys that are not here.
    pub(crate) fn problems(&self, data_keys: &DataKeys) -> Vec<StoreError> {
        let sealed = self.waiting.iter().map(|(id, records)| {
            let error = data_keys.get(*id).and_then(|key| key.error(*records));
            error.unwrap_or_else(|| StoreError::Unreadable {
                record: format!("in {records} rows"),
                reason: NO_DATA_KEY.to_owned(),
            })
        });
        self.damage.iter().cloned().chain(sealed).collect()
    }

    /// The damage that was found beyond single records.
    pub(crate) fn damage(&self) -> Option<&StoreError> {
        self.damage.as_ref()
    }

    /// How many rows were read.
    pub(crate) fn found(&self) -> u64 {
        self.found
    }

    /// How many rows wait for each data key that is not open.
    pub(crate) fn waiting(&self) -> &BTreeMap<i64, u64> {
        &self.waiting
    }
}

impl Found {
    /// The record, or why it is none; nothing for one that waits for its data key.
    pub(crate) fn into_record(self) -> Option<Result<Record, StoreError>> {
        match self.content {
            Content::Record(record) => Some(Ok(record)),
            Content::Sealed(_) => None,
            Content::Damaged(reason) => Some(Err(StoreError::Unreadable {
                record: format!("in row {}", self.row),
                reason: reason.to_owned(),
            })),
        }
    }
}

impl Database {
    /// What is to be said when everything was read. Damage keeps anything more from being written.
    pub(crate) fn after(&mut self, scan: &Scan) -> Vec<Result<Record, StoreError>> {
        if let Some(damage) = scan.damage() {
            self.closed = Some(damage.clone());
        }
        self.end_begun_epochs();
        let mut problems = scan.problems(&self.data_keys);
        problems.extend(self.notes.iter().cloned());
        problems.into_iter().map(Err).collect()
    }

    /// How many records the index knows.
    pub(crate) fn known(&self) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM record INDEXED BY sqlite_autoindex_record_1";
        let known: i64 = self
            .connection
            .query_row(query, [], |row| row.get(0))
            .map_err(|error| of_database(&error))?;
        Ok(known.unsigned_abs())
    }

    /// Whether as many records were found as the index knows: a page that lost count of its rows
    /// would otherwise lose them without a word.
    fn compare_with_index(&self, found: u64) -> Result<(), StoreError> {
        let known = self.known()?;
        if known == found {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the database is damaged ({found} records found where its index knows {known})"
        )))
    }
}

fn read(
    database: &Database,
    query: &str,
    parameters: impl rusqlite::Params,
    found: &mut Vec<Found>,
) -> rusqlite::Result<()> {
    let mut statement = database.connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        found.push(Found {
            row: row.get(0)?,
            content: content(row, &database.data_keys),
        });
    }
    Ok(())
}

fn content(row: &Row<'_>, data_keys: &DataKeys) -> Content {
    let columns = (row.get_ref(1), row.get_ref(2), row.get::<_, i64>(3));
    let (Ok(name), Ok(sealed), Ok(id)) = columns else {
        return Content::Damaged("its columns are missing or of another type");
    };
    let (Ok(name), Ok(sealed)) = (name.as_blob(), sealed.as_blob()) else {
        return Content::Damaged("its columns are of another type");
    };
    match data_keys.get(id).map(DataKey::seal) {
        None => Content::Damaged(NO_DATA_KEY),
        Some(None) => Content::Sealed(SealedRow {
            name: name.to_vec(),
            sealed: sealed.to_vec(),
            data_key: id,
        }),
        Some(Some(seal)) => match seal.open(name, sealed.to_vec()) {
            Ok(record) => Content::Record(record),
            Err(reason) => Content::Damaged(reason),
        },
    }
}
