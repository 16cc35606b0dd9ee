//! Mending a vault: a clean one with every record that can be read, or may be read later, takes its
//! place, and the damaged one is kept aside.

use keyward_client::manage::{VaultRepair, VaultReport};
use keyward_client::ports::StoreError;
use rusqlite::{Connection, params};

use crate::data_key::{DataKeys, State};
use crate::database::{Database, put};
use crate::error::of_database;
use crate::scan::{Content, SealedRow};
use crate::schema;

impl Database {
    /// Says what a repair would cost.
    pub(crate) fn rehearse_repair(&mut self) -> Result<VaultRepair, StoreError> {
        let found = self.check()?;
        Ok(VaultRepair {
            lost: found.lost(),
            repaired: false,
            kept_aside: None,
            found,
        })
    }

    /// Puts a clean vault in the place of a damaged one. A crash leaves the one or the other.
    ///
    /// # Errors
    ///
    /// When nothing was replaced.
    pub(crate) fn repair(&mut self) -> Result<VaultRepair, StoreError> {
        let rehearsed = self.rehearse_repair()?;
        let mendable = !rehearsed.found.problems.is_empty() || rehearsed.lost > 0;
        if !mendable {
            return Ok(rehearsed);
        }
        if !self.place.is_writable() {
            return Err(StoreError::ReadOnly);
        }
        self.notes.clear();
        let found = self.fill()?;
        let kept_aside = self.place.keep_aside()?;
        self.replace()?;
        Ok(VaultRepair {
            found,
            repaired: true,
            lost: rehearsed.lost,
            kept_aside: Some(kept_aside.display().to_string()),
        })
    }

    /// Writes everything worth keeping into the draft of a vault.
    fn fill(&mut self) -> Result<VaultReport, StoreError> {
        let failed = |error: rusqlite::Error| of_database(&error);
        let vault_id = schema::vault_id(&self.connection)?;
        self.place.begin_draft()?;
        let draft = schema::fill_draft(&self.place.draft(), &vault_id).map_err(failed)?;
        draft.execute_batch("BEGIN;").map_err(failed)?;
        let found = self.read_everything(|data_keys, found| match &found.content {
            Content::Record(record) => put(&draft, data_keys, record),
            Content::Sealed(row) if may_open_later(data_keys, row) => copy(&draft, row),
            Content::Sealed(_) | Content::Damaged(_) => Ok(()),
        })?;
        // Last: their epochs may have ended meanwhile.
        for key in &self.data_keys.keys {
            if !matches!(key.state, State::Lost(_)) {
                self.data_keys.insert(&draft, key.id).map_err(failed)?;
            }
        }
        draft.execute_batch("COMMIT;").map_err(failed)?;
        schema::write_back(&draft)?;
        schema::close(draft)?;
        Ok(found)
    }

    /// Puts the draft in the vault's place.
    fn replace(&mut self) -> Result<(), StoreError> {
        // What is in the log belongs to the old database: were it left beside the new one, SQLite
        // would take it for the new one's.
        schema::write_back(&self.connection)?;
        let nothing = Connection::open_in_memory().map_err(|error| of_database(&error))?;
        let old = std::mem::replace(&mut self.connection, nothing);
        // Until the new one is open, nothing may be read or written.
        self.closed = Some(StoreError::Io("the vault is being repaired".to_owned()));
        schema::close(old)?;
        let replaced = self.place.finish_draft();
        self.connection = schema::open(&self.place)?;
        replaced?;
        let keys = &mut self.data_keys.keys;
        keys.retain(|key| !matches!(key.state, State::Lost(_)));
        self.closed = None;
        Ok(())
    }
}

fn may_open_later(data_keys: &DataKeys, row: &SealedRow) -> bool {
    let key = data_keys.get(row.data_key);
    key.is_some_and(|key| matches!(key.state, State::Unavailable(_)))
}

/// Takes a row over as it is.
fn copy(draft: &Connection, row: &SealedRow) -> Result<(), StoreError> {
    draft
        .prepare_cached("INSERT OR IGNORE INTO record (name, sealed, data_key) VALUES (?1, ?2, ?3)")
        .and_then(|mut statement| statement.execute(params![row.name, row.sealed, row.data_key]))
        .map(drop)
        .map_err(|error| of_database(&error))
}
