//! The floor: the vault's table in SQLite with the vault's settings, its rows as they are written.
//! One sealed value stands in every row, to be opened where the vault opens one.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::BATCH;

/// The settings of the vault (`crates/store/src/schema.rs`).
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA synchronous = FULL;
    PRAGMA journal_mode = WAL;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    PRAGMA wal_autocheckpoint = 256;
    PRAGMA journal_size_limit = 1048576;
";

/// A database of rows as large as the vault's.
pub struct Bare {
    connection: Connection,
    names: Vec<[u8; 32]>,
    row: Vec<u8>,
    key: LessSafeKey,
}

impl Bare {
    /// As many rows as the vault in this folder has, each as long.
    pub fn beside(folder: &Path, size: usize) -> rusqlite::Result<Self> {
        let vault = Connection::open(folder.join("vault.db"))?;
        let query = "SELECT sealed FROM record ORDER BY length(sealed) DESC LIMIT 1";
        let longest: Vec<u8> = vault.query_row(query, [], |row| row.get(0))?;
        drop(vault);
        let connection = Connection::open(folder.join("bare.db"))?;
        connection.execute_batch(SETTINGS)?;
        connection.execute_batch(
            "CREATE TABLE record (
                 name BLOB PRIMARY KEY NOT NULL,
                 sealed BLOB NOT NULL,
                 data_key INTEGER NOT NULL DEFAULT 1
             ) STRICT;",
        )?;
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| refused())?;
        let bare = Self {
            connection,
            names: (0..size).map(|_| name()).collect(),
            row: Vec::new(),
            key: LessSafeKey::new(key),
        };
        let row = bare.sealed(longest.len())?;
        let bare = Self { row, ..bare };
        for start in (0..size).step_by(BATCH) {
            bare.connection.execute_batch("BEGIN IMMEDIATE;")?;
            for row in start..size.min(start + BATCH) {
                bare.upsert(row)?;
            }
            bare.connection.execute_batch("COMMIT;")?;
        }
        Ok(bare)
    }

    /// A sealed value of this length.
    fn sealed(&self, length: usize) -> rusqlite::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = std::array::from_fn(|at| name()[at]);
        let mut text = vec![b'y'; length - NONCE_LEN - AES_256_GCM.tag_len()];
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([0; 32]),
                &mut text,
            )
            .map_err(|_| refused())?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// Replaces a row; on return it is on the disk. What it is replaced by is sealed beforehand, and
    /// another one each time: SQLite does not write what does not change.
    pub fn put(&self, row: usize) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE;")?;
        self.upsert(row)?;
        self.connection.execute_batch("COMMIT;")
    }

    /// Makes another value to put.
    pub fn renew(&mut self) -> rusqlite::Result<()> {
        self.row = self.sealed(self.row.len())?;
        Ok(())
    }

    fn upsert(&self, row: usize) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO record (name, sealed, data_key) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE
                 SET sealed = excluded.sealed, data_key = excluded.data_key",
            )?
            .execute(params![self.names[row], self.row, 1])
            .map(drop)
    }

    /// Reads a row and opens it.
    pub fn get_and_open(&self, row: usize) -> rusqlite::Result<Vec<u8>> {
        let (mut sealed, _): (Vec<u8>, i64) = self
            .connection
            .prepare_cached("SELECT sealed, data_key FROM record WHERE name = ?1")?
            .query_row([self.names[row]], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed[..NONCE_LEN]);
        let length = self
            .key
            .open_within(
                nonce.map_err(|_| refused())?,
                Aad::from([0; 32]),
                &mut sealed,
                NONCE_LEN..,
            )
            .map_err(|_| refused())?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

/// The cryptographic library refused; it has no reason to.
fn refused() -> rusqlite::Error {
    rusqlite::Error::InvalidQuery
}

/// Random, as the vault's keyed hashes are.
fn name() -> [u8; 32] {
    let mut name = [0; 32];
    name[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    name[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    name
}
