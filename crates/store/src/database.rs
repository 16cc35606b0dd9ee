//! An open vault: its database and its data keys.

use std::path::PathBuf;

use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Change, Record, RecordKey, StoreError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::data_key::DataKeys;
use crate::error::{of_database, refused};
use crate::image;
use crate::place::Place;
use crate::provider::KeyProvider;
use crate::schema;
use crate::seal::Name;

/// An open vault. Dropping it writes the log back and gives the lock up.
pub(crate) struct Database {
    pub(crate) connection: Connection,
    pub(crate) data_keys: DataKeys,
    /// Set when nothing may be written any more, with the reason.
    pub(crate) closed: Option<StoreError>,
    /// Data keys that were opened and whose epoch did not end since.
    begun: Vec<i64>,
    /// What is wrong and costs no record.
    pub(crate) notes: Vec<StoreError>,
    /// After the connection, so that the lock is given up last.
    pub(crate) place: Place,
}

impl Database {
    /// Opens the vault in a folder, making one if there is none.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being read or trusted; nothing was written then, but for the
    /// migration of an older format.
    pub(crate) fn open(place: Place, providers: Vec<KeyProvider>) -> Result<Self, StoreError> {
        let writable = place.is_writable();
        let connection = if writable {
            schema::open(&place)?
        } else {
            open_image(&place)?
        };
        let vault_id = schema::vault_id(&connection)?;
        let mut database = Self {
            data_keys: DataKeys::read(&connection, vault_id, place.folder(), providers)?,
            connection,
            closed: (!writable).then_some(StoreError::ReadOnly),
            notes: Vec::new(),
            begun: Vec::new(),
            place,
        };
        // Whatever keeps it from being served keeps it from being written as well.
        database.leave_log(true)?;
        database.open_data_keys()?;
        database.some_key_is_usable()?;
        database.leave_log(false)?;
        Ok(database)
    }

    fn leave_log(&self, leave: bool) -> Result<(), StoreError> {
        schema::leave_log(&self.connection, leave)
    }

    /// Opens the data keys that can be opened by now. For each an epoch ends, as soon as the vault
    /// is known to be whole or something is to be written anyway.
    ///
    /// # Errors
    ///
    /// When the vault was rolled back.
    pub(crate) fn open_data_keys(&mut self) -> Result<(), StoreError> {
        let opened = match self.data_keys.open() {
            Ok(opened) => opened,
            Err(error) => {
                self.closed = Some(error.clone());
                return Err(error);
            }
        };
        self.begun.extend(opened);
        Ok(())
    }

    /// Ends the epoch of each data key that was opened since this was called last. What keeps it
    /// from ending keeps nothing from being served.
    pub(crate) fn end_begun_epochs(&mut self) {
        if self.closed.is_some() {
            return;
        }
        for id in std::mem::take(&mut self.begun) {
            if let Err(error) = self.data_keys.end_epoch(id, &self.connection) {
                self.notes.push(error);
            }
        }
    }

    /// A vault of which nothing can be read for now is not opened: a record that is written now
    /// would have another name than the one it replaces.
    fn some_key_is_usable(&self) -> Result<(), StoreError> {
        if self.data_keys.names().is_some() {
            return Ok(());
        }
        for key in &self.data_keys.keys {
            if let Some(error @ StoreError::KeyUnavailable { .. }) =
                key.error(self.count_of(key.id)?)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many records a data key seals.
    pub(crate) fn count_of(&self, id: i64) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM record WHERE data_key = ?1";
        let count: i64 = self
            .connection
            .query_row(query, [id], |row| row.get(0))
            .map_err(|error| of_database(&error))?;
        Ok(count.unsigned_abs())
    }

    /// One record. `None`: there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn get(&mut self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let Some(name) = self.data_keys.names().map(|names| names.name(key)) else {
            return Ok(None);
        };
        let Some((sealed, id)) = self.row(&name)? else {
            return Ok(None);
        };
        if self
            .data_keys
            .get(id)
            .is_some_and(|key| key.seal().is_none())
        {
            self.open_data_keys()?;
        }
        let unreadable = |reason: &str| StoreError::Unreadable {
            record: format!("{} of {}", key.kind.as_str(), key.account),
            reason: reason.to_owned(),
        };
        let data_key = self
            .data_keys
            .get(id)
            .ok_or_else(|| unreadable(NO_DATA_KEY))?;
        match (data_key.seal(), data_key.error(1)) {
            (Some(seal), _) => {
                let opened = seal.open_known(key, &name, sealed);
                opened.map(Some).map_err(unreadable)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(unreadable(NO_DATA_KEY)),
        }
    }

    fn row(&self, name: &Name) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
        self.connection
            .prepare_cached("SELECT sealed, data_key FROM record WHERE name = ?1")
            .and_then(|mut statement| {
                let row = statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?)));
                row.optional()
            })
            .map_err(|error| of_database(&error))
    }

    /// Applies all changes or none.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if let Some(why) = &self.closed {
            return Err(why.clone());
        }
        self.end_begun_epochs();
        let mut made = Vec::new();
        let written = self
            .make_data_keys(changes, &mut made)
            .and_then(|()| self.write(changes, &made));
        if let Err(error) = &written {
            self.data_keys.forget(&made);
            if matches!(error, StoreError::Damaged(_)) {
                self.closed = Some(error.clone());
            }
        }
        written
    }

    /// Makes the data keys these changes need. A protection whose data key may be opened later
    /// gets no second one.
    fn make_data_keys(
        &mut self,
        changes: &[Change],
        made: &mut Vec<i64>,
    ) -> Result<(), StoreError> {
        for change in changes {
            let Change::Put(record) = change else {
                continue;
            };
            let protection = record.protection;
            if self.data_keys.open_one(protection).is_some() {
                continue;
            }
            if self.data_keys.unavailable(protection).is_some() {
                self.open_data_keys()?;
            }
            if let Some(why) = self.data_keys.unavailable(protection) {
                return Err(not_written(protection, why));
            }
            if self.data_keys.open_one(protection).is_none() {
                made.push(self.data_keys.make(protection)?);
            }
        }
        Ok(())
    }

    fn write(&mut self, changes: &[Change], made: &[i64]) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| of_database(&error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        for id in made {
            self.data_keys.insert(&transaction, *id).map_err(failed)?;
        }
        for change in changes {
            match change {
                Change::Put(record) => put(&transaction, &self.data_keys, record)?,
                Change::Delete(key) => delete(&transaction, &self.data_keys, key)?,
            }
        }
        // synchronous = FULL: on return the log is on the disk.
        transaction.commit().map_err(failed)
    }

    /// Removes every record, whatever seals it.
    pub(crate) fn remove_all(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.closed {
            return Err(why.clone());
        }
        self.end_begun_epochs();
        // synchronous = FULL: on return the log is on the disk.
        self.connection
            .execute("DELETE FROM record", [])
            .map(drop)
            .map_err(|error| of_database(&error))
    }

    /// Ends the epoch of every data key that is open.
    ///
    /// # Errors
    ///
    /// The last one's that did not end.
    pub(crate) fn end_epoch(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.closed {
            return Err(why.clone());
        }
        self.begun.clear();
        let ids: Vec<i64> = self.data_keys.keys.iter().map(|key| key.id).collect();
        let mut ended = Ok(());
        for id in ids {
            if let Err(error) = self.data_keys.end_epoch(id, &self.connection) {
                ended = Err(error);
            }
        }
        ended
    }

    /// Gives up data keys that would not open again. Whether there are any.
    pub(crate) fn give_up_lost(&mut self, protection: KeyProtection) -> bool {
        self.data_keys.give_up_lost(protection)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.database()
    }
}

/// Why a record cannot be opened whose data key is not there.
pub(crate) const NO_DATA_KEY: &str = "it is sealed by a data key that is not in the vault";

/// The vault as it is on a read-only file system.
fn open_image(place: &Place) -> Result<Connection, StoreError> {
    let (database, log) = place.content()?;
    if database.is_empty() {
        return Err(StoreError::ReadOnly);
    }
    schema::check_header(&database, &place.database())?;
    let mut connection = image::open(database, &log).map_err(|error| of_database(&error))?;
    schema::migrate(&mut connection, &place.database())?;
    Ok(connection)
}

pub(crate) fn put(
    connection: &Connection,
    data_keys: &DataKeys,
    record: &Record,
) -> Result<(), StoreError> {
    let (id, seal) = data_keys
        .open_one(record.protection)
        .ok_or_else(|| not_written(record.protection, "it was closed meanwhile"))?;
    let (name, sealed) = seal.seal(record).map_err(|_| refused())?;
    connection
        .prepare_cached(
            "INSERT INTO record (name, sealed, data_key) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE
             SET sealed = excluded.sealed, data_key = excluded.data_key",
        )
        .and_then(|mut statement| statement.execute(params![name, sealed, id]))
        .map(drop)
        .map_err(|error| of_database(&error))
}

fn delete(
    connection: &Connection,
    data_keys: &DataKeys,
    key: &RecordKey,
) -> Result<(), StoreError> {
    let Some(names) = data_keys.names() else {
        // Nothing that was known here is in the vault.
        return Ok(());
    };
    connection
        .prepare_cached("DELETE FROM record WHERE name = ?1")
        .and_then(|mut statement| statement.execute([names.name(key)]))
        .map(drop)
        .map_err(|error| of_database(&error))
}

fn not_written(protection: KeyProtection, why: &str) -> StoreError {
    StoreError::Io(format!(
        "nothing was written: the {protection} key that would seal it cannot be used ({why})"
    ))
}

#[cfg(test)]
mod tests;
