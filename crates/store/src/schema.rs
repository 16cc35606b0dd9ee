//! The database file: what makes it a vault, its tables, and how it came to its format.

use std::path::Path;

use aws_lc_rs::rand;
use keyward_client::binding::KeyProtection;
use keyward_client::ports::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::data_key::taken_over;
use crate::error::{of_database, refused};
use crate::place::Place;
use crate::seal::VAULT_ID;

/// `KWV1`: this SQLite database is a vault.
const APPLICATION_ID: u32 = 0x4b57_5631;

/// The format written here. A newer one is refused, an older one migrated.
pub(crate) const FORMAT: u32 = 2;

const SCHEMA: &str = "
    CREATE TABLE meta (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        vault_id BLOB NOT NULL
    ) STRICT;
    CREATE TABLE record (
        name     BLOB PRIMARY KEY NOT NULL,
        sealed   BLOB NOT NULL,
        data_key INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE TABLE data_key (
        id         INTEGER PRIMARY KEY,
        protection TEXT NOT NULL,
        wrapped    BLOB NOT NULL,
        epoch      BLOB,
        retired    INTEGER NOT NULL DEFAULT 0 CHECK (retired IN (0, 1))
    ) STRICT;
";

/// From format 1, in which `meta` held the only data key, wrapped by the software provider. No key
/// is needed: records stay as they are, and the wrapped data key is taken over as it is.
const FROM_FORMAT_1: &str = "
    ALTER TABLE record ADD COLUMN data_key INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE data_key (
        id         INTEGER PRIMARY KEY,
        protection TEXT NOT NULL,
        wrapped    BLOB NOT NULL,
        epoch      BLOB,
        retired    INTEGER NOT NULL DEFAULT 0 CHECK (retired IN (0, 1))
    ) STRICT;
";

/// Opens the database of a vault, making one if there is none and migrating it if it is older.
///
/// # Errors
///
/// When it is no vault or of a newer format; nothing was written then.
pub(crate) fn open(place: &Place) -> Result<Connection, StoreError> {
    match place.database_header()? {
        Some(header) => {
            check_header(&header, &place.database())?;
        }
        None => create(place)?,
    }
    let mut connection =
        open_file(&place.database(), Sync::Full).map_err(|error| of_database(&error))?;
    // Until it is known that this program understands the file, nothing may reach it: the log may
    // hold a migration to a newer format that its maker did not live to write back.
    leave_log(&connection, true)?;
    migrate(&mut connection, &place.database())?;
    leave_log(&connection, false)?;
    Ok(connection)
}

/// Whether closing the connection leaves the log as it is.
pub(crate) fn leave_log(connection: &Connection, leave: bool) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)
        .map(drop)
        .map_err(|error| of_database(&error))
}

/// The format, the log included.
fn format(connection: &Connection) -> Result<u32, StoreError> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| of_database(&error))
}

/// The vault's random id.
pub(crate) fn vault_id(connection: &Connection) -> Result<[u8; VAULT_ID], StoreError> {
    let vault_id: Vec<u8> = connection
        .query_row("SELECT vault_id FROM meta WHERE one = 1", [], |row| {
            row.get(0)
        })
        .map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => of_database(&error),
            other => StoreError::Damaged(format!("its head is damaged ({other})")),
        })?;
    vault_id
        .try_into()
        .map_err(|_| StoreError::Damaged("its head is damaged".to_owned()))
}

/// Reads what the file is from its first bytes (SQLite's file format, 1.3), before SQLite is let
/// near it: opening a database may already write to it. Returns its format as far as the log is not
/// ahead.
pub(crate) fn check_header(header: &[u8], path: &Path) -> Result<u32, StoreError> {
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(not_ours(path, "is not a SQLite database, or cut short"));
    }
    let number = |at: usize| {
        let bytes = header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    if number(68) != APPLICATION_ID {
        return Err(not_ours(path, "is a SQLite database of another program"));
    }
    check_format(number(60), path)?;
    Ok(number(60))
}

fn check_format(format: u32, path: &Path) -> Result<(), StoreError> {
    match format {
        1..=FORMAT => Ok(()),
        0 => Err(not_ours(path, "has format 0, which never existed")),
        newer => Err(not_ours(
            path,
            &format!(
                "has format {newer}, made by a newer version; this one reads up to {FORMAT}: \
                 update Keyward"
            ),
        )),
    }
}

fn not_ours(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged(format!("{} {why}; nothing was changed", path.display()))
}

/// Makes a whole vault beside its final name, then moves it there: no crash leaves half of one. It
/// has no data key yet; the first record brings one.
fn create(place: &Place) -> Result<(), StoreError> {
    let mut vault_id = [0; VAULT_ID];
    rand::fill(&mut vault_id).map_err(|_| refused())?;
    place.begin_draft()?;
    let draft = fill_draft(&place.draft(), &vault_id).map_err(|error| of_database(&error))?;
    write_back(&draft)?;
    close(draft)?;
    place.finish_draft()
}

/// Writes the whole log back into the database. Closing does that as well, but does not say so when
/// it fails.
pub(crate) fn write_back(connection: &Connection) -> Result<(), StoreError> {
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| of_database(&error))?;
    if busy == 0 {
        Ok(())
    } else {
        Err(StoreError::Io("the log cannot be written back".to_owned()))
    }
}

pub(crate) fn close(connection: Connection) -> Result<(), StoreError> {
    let closed = connection.close();
    closed.map_err(|(_, error)| of_database(&error))
}

/// Writes the tables and the head. Nothing waits for the disk: the draft is synced as a whole.
pub(crate) fn fill_draft(draft: &Path, vault_id: &[u8]) -> rusqlite::Result<Connection> {
    let connection = open_file(draft, Sync::Off)?;
    connection.execute_batch("BEGIN;")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO meta (one, vault_id) VALUES (1, ?1)",
        params![vault_id],
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT;")?;
    Ok(connection)
}

/// Migrates what is of an older format.
///
/// # Errors
///
/// When it is of a newer one.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    match format(connection)? {
        FORMAT => Ok(()),
        1 => migrate_from_1(connection),
        other => check_format(other, path),
    }
}

/// The migration rule: one transaction, whose last statement sets the format. A crash leaves the
/// old format or the new one.
fn migrate_from_1(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| match error {
        rusqlite::Error::SqliteFailure(..) => of_database(&error),
        other => StoreError::Damaged(format!("its head is damaged ({other})")),
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let wrapped: Vec<u8> = transaction
        .query_row("SELECT data_key FROM meta WHERE one = 1", [], |row| {
            row.get(0)
        })
        .map_err(failed)?;
    transaction.execute_batch(FROM_FORMAT_1).map_err(failed)?;
    transaction
        .execute(
            "INSERT INTO data_key (id, protection, wrapped) VALUES (1, ?1, ?2)",
            params![KeyProtection::Software.as_str(), taken_over(&wrapped)],
        )
        .map_err(failed)?;
    transaction
        .execute_batch("ALTER TABLE meta DROP COLUMN data_key;")
        .map_err(failed)?;
    transaction
        .pragma_update(None, "user_version", FORMAT)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Opens a database file that exists.
pub(crate) fn open_file(path: &Path, sync: Sync) -> rusqlite::Result<Connection> {
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
pub(crate) enum Sync {
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
