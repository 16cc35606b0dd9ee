//! The SQLite database of a vault.

use std::path::Path;

use aws_lc_rs::rand;
use keyward_client::ports::{Change, Record, StoreError};
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};
use zeroize::Zeroizing;

use crate::KeyWrap;
use crate::error::of_database;
use crate::place::Place;
use crate::seal::{DATA_KEY, Name, Seal, VAULT_ID};

/// `KWV1`: this SQLite database is a vault.
const APPLICATION_ID: u32 = 0x4b57_5631;

/// The format written here. A newer one is refused; an older one would be migrated when there is
/// one, in a single transaction whose last statement sets `user_version`.
const FORMAT: u32 = 1;

/// What wraps a data key, for one vault.
const WRAP_CONTEXT: &[u8] = b"keyward vault data key 1 ";

const SCHEMA: &str = "
    CREATE TABLE meta (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        vault_id BLOB NOT NULL,
        data_key BLOB NOT NULL
    ) STRICT;
    CREATE TABLE record (
        name   BLOB PRIMARY KEY NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
";

/// An open vault. Dropping it writes the log back and gives the lock up.
pub(crate) struct Database {
    connection: Connection,
    seal: Seal,
    /// Set when the database turned out to be damaged: then nothing is written any more.
    damaged: Option<StoreError>,
    /// After the connection, so that the lock is given up last.
    _place: Place,
}

impl Database {
    /// Opens the vault in a folder, making one if there is none.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being read or trusted; nothing was written then.
    pub(crate) fn open(place: Place, wrap: &dyn KeyWrap) -> Result<Self, StoreError> {
        match place.database_header()? {
            Some(header) => check_header(&header, &place)?,
            None => create(&place, wrap)?,
        }
        let connection =
            open_file(&place.database(), Sync::Full).map_err(|error| of_database(&error))?;
        let seal = unwrap_data_key(&connection, wrap)?;
        Ok(Self {
            connection,
            seal,
            damaged: None,
            _place: place,
        })
    }

    /// Every record, unreadable ones as errors in their place.
    pub(crate) fn load(&mut self) -> Result<Vec<Result<Record, StoreError>>, StoreError> {
        let mut records = Vec::new();
        let scanned = self
            .scan(Direction::Forwards, &mut records)
            .map_err(|error| of_database(&error))
            .and_then(|()| self.compare_with_index(records.len()));
        let damage = match scanned {
            Ok(()) => None,
            Err(damage @ StoreError::Damaged(_)) => Some(damage),
            Err(error) => return Err(error),
        };
        if let Some(damage) = &damage {
            self.damaged = Some(damage.clone());
            // A page in the middle is gone: what lies behind it is reached from the other end.
            let mut behind = Vec::new();
            let _ = self.scan(Direction::Backwards, &mut behind);
            let last = records.last().map(|(row, _)| *row);
            behind.retain(|(row, _)| last.is_none_or(|last| *row > last));
            records.extend(behind.into_iter().rev());
        }
        let records = records.into_iter().map(|(_, record)| record);
        Ok(records.chain(damage.map(Err)).collect())
    }

    /// Whether as many records were found as the index knows: a page that lost count of its rows
    /// would otherwise lose them without a word.
    fn compare_with_index(&self, found: usize) -> Result<(), StoreError> {
        let query = "SELECT count(*) FROM record INDEXED BY sqlite_autoindex_record_1";
        let known: i64 = self
            .connection
            .query_row(query, [], |row| row.get(0))
            .map_err(|error| of_database(&error))?;
        if usize::try_from(known) == Ok(found) {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the database is damaged ({found} records found where its index knows {known})"
        )))
    }

    /// Applies all changes or none.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if let Some(damage) = &self.damaged {
            return Err(damage.clone());
        }
        let written = write(&mut self.connection, &self.seal, changes);
        if let Err(error @ StoreError::Damaged(_)) = &written {
            self.damaged = Some(error.clone());
        }
        written
    }

    fn scan(&self, direction: Direction, records: &mut Vec<Numbered>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(direction.query())?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            records.push((row.get(0)?, self.open_row(row)));
        }
        Ok(())
    }

    fn open_row(&self, row: &Row<'_>) -> Result<Record, StoreError> {
        let number: i64 = row.get(0).map_err(|error| of_database(&error))?;
        let unreadable = |reason: &str| StoreError::Unreadable {
            record: format!("in row {number}"),
            reason: reason.to_owned(),
        };
        let columns = (row.get_ref(1), row.get_ref(2));
        let (Ok(name), Ok(sealed)) = columns else {
            return Err(unreadable("its columns are missing"));
        };
        match (name.as_blob(), sealed.as_blob()) {
            (Ok(name), Ok(sealed)) => self.seal.open(name, sealed).map_err(unreadable),
            _ => Err(unreadable("its columns are of another type")),
        }
    }
}

/// A row's number and what is in it.
type Numbered = (i64, Result<Record, StoreError>);

/// Which way the rows are read.
#[derive(Clone, Copy)]
enum Direction {
    Forwards,
    Backwards,
}

impl Direction {
    const fn query(self) -> &'static str {
        match self {
            Self::Forwards => "SELECT rowid, name, sealed FROM record ORDER BY rowid",
            Self::Backwards => "SELECT rowid, name, sealed FROM record ORDER BY rowid DESC",
        }
    }
}

fn write(connection: &mut Connection, seal: &Seal, changes: &[Change]) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| of_database(&error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    for change in changes {
        let written = match change {
            Change::Put(record) => {
                let (name, sealed) = seal.seal(record).map_err(|_| refused())?;
                put(&transaction, &name, &sealed)
            }
            Change::Delete(key) => transaction
                .prepare_cached("DELETE FROM record WHERE name = ?1")
                .and_then(|mut statement| statement.execute([seal.name(key)])),
        };
        written.map_err(failed)?;
    }
    // synchronous = FULL: on return the log is on the disk.
    transaction.commit().map_err(failed)
}

fn put(connection: &Connection, name: &Name, sealed: &[u8]) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO record (name, sealed) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
        )?
        .execute(params![name, sealed])
}

/// Reads what the file is from its first bytes (SQLite's file format, 1.3), before SQLite is let
/// near it: opening a database may already write to it.
fn check_header(header: &[u8], place: &Place) -> Result<(), StoreError> {
    let refused = |why: String| {
        Err(StoreError::Damaged(format!(
            "{} {why}; nothing was changed",
            place.database().display()
        )))
    };
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return refused("is not a SQLite database, or cut short".to_owned());
    }
    let number = |at: usize| {
        let bytes = header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    if number(68) != APPLICATION_ID {
        return refused("is a SQLite database of another program".to_owned());
    }
    match number(60) {
        FORMAT => Ok(()),
        newer if newer > FORMAT => refused(format!(
            "has format {newer}, made by a newer version; this one reads up to {FORMAT}: update \
             Keyward"
        )),
        unknown => refused(format!("has format {unknown}, which never existed")),
    }
}

/// Makes a whole vault beside its final name, then moves it there: no crash leaves half of one.
fn create(place: &Place, wrap: &dyn KeyWrap) -> Result<(), StoreError> {
    place.begin_draft()?;
    let mut vault_id = [0; VAULT_ID];
    let mut data_key = Zeroizing::new([0; DATA_KEY]);
    rand::fill(&mut vault_id).map_err(|_| refused())?;
    rand::fill(data_key.as_mut()).map_err(|_| refused())?;
    let wrapped = wrap
        .wrap(data_key.as_ref(), &context_of(&vault_id))
        .map_err(|error| StoreError::Io(error.to_string()))?;

    fill_draft(place, &vault_id, &wrapped).map_err(|error| of_database(&error))?;
    place.finish_draft()
}

/// Writes the tables and the head. Nothing waits for the disk: the draft is synced as a whole.
fn fill_draft(place: &Place, vault_id: &[u8], data_key: &[u8]) -> rusqlite::Result<()> {
    let connection = open_file(&place.draft(), Sync::Off)?;
    connection.execute_batch("BEGIN;")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO meta (one, vault_id, data_key) VALUES (1, ?1, ?2)",
        params![vault_id, data_key],
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT;")?;
    // Writes the log back into the file.
    connection.close().map_err(|(_, error)| error)
}

fn unwrap_data_key(connection: &Connection, wrap: &dyn KeyWrap) -> Result<Seal, StoreError> {
    let (vault_id, wrapped): (Vec<u8>, Vec<u8>) = connection
        .query_row(
            "SELECT vault_id, data_key FROM meta WHERE one = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => of_database(&error),
            other => StoreError::Damaged(format!("its head is damaged ({other})")),
        })?;
    let damaged = || StoreError::Damaged("its head is damaged".to_owned());
    let vault_id: [u8; VAULT_ID] = vault_id.try_into().map_err(|_| damaged())?;
    let data_key = wrap
        .unwrap(&wrapped, &context_of(&vault_id))
        .map_err(|error| StoreError::Damaged(error.to_string()))?;
    let data_key: &[u8; DATA_KEY] = data_key.as_slice().try_into().map_err(|_| damaged())?;
    Seal::new(data_key, vault_id).map_err(|_| refused())
}

/// Opens a database file that exists.
fn open_file(path: &Path, sync: Sync) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(EXCLUSIVE)?;
    connection.execute_batch(sync.pragma())?;
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

/// When SQLite waits for the disk.
#[derive(Clone, Copy)]
enum Sync {
    /// At every commit: on return it survives a power cut.
    Full,
    /// Never.
    Off,
}

impl Sync {
    const fn pragma(self) -> &'static str {
        match self {
            Self::Full => "PRAGMA synchronous = FULL;",
            Self::Off => "PRAGMA synchronous = OFF;",
        }
    }
}

/// One process has the database open, so the log's index stays in its memory. Has to come before
/// anything that reads the database.
const EXCLUSIVE: &str = "PRAGMA locking_mode = EXCLUSIVE;";

/// Small caches: records are read once, and memory is measured.
const PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    PRAGMA wal_autocheckpoint = 256;
    PRAGMA journal_size_limit = 1048576;
";

fn context_of(vault_id: &[u8; VAULT_ID]) -> Vec<u8> {
    [WRAP_CONTEXT, vault_id].concat()
}

fn refused() -> StoreError {
    StoreError::Io("the cryptographic library refused".to_owned())
}

#[cfg(test)]
mod tests;
