//! The data keys of a vault: one per protection, each wrapped by its device.

use std::path::{Path, PathBuf};

use keyward_client::binding::KeyProtection;
use keyward_client::ports::StoreError;
use rusqlite::{Connection, params};

use crate::epoch::{EndError, Epoch, Stale, start_over};
use crate::error::{of_database, refused};
use crate::provider::{CounterError, EpochCounter, KeyProvider, Rollback, WrapError};
use crate::seal::{NAME_KEY, Seal, Secrets, VAULT_ID};

/// What a device wraps a data key for, in format 1 and since.
const CONTEXT_1: &[u8] = b"keyward vault data key 1 ";
const CONTEXT_2: &[u8] = b"keyward vault data key 2 ";

/// How a wrapped data key begins: taken over from format 1 as it was, or made since.
const TAKEN_OVER: u8 = 1;
const MADE: u8 = 2;

/// One data key.
pub(crate) struct DataKey {
    pub(crate) id: i64,
    pub(crate) protection: KeyProtection,
    pub(crate) state: State,
    wrapped: Vec<u8>,
    sealed_epoch: Option<Vec<u8>>,
}

/// Whether a data key can be used.
pub(crate) enum State {
    /// It can.
    Open { seal: Box<Seal>, epoch: Epoch },
    /// It never will be again, and says why.
    Lost(String),
    /// It cannot be now, and says why.
    Unavailable(String),
}

impl DataKey {
    /// How it is wrapped; 0 is no way that is known.
    fn form(&self) -> u8 {
        self.wrapped.first().copied().unwrap_or_default()
    }

    pub(crate) fn seal(&self) -> Option<&Seal> {
        match &self.state {
            State::Open { seal, .. } => Some(seal),
            State::Lost(_) | State::Unavailable(_) => None,
        }
    }

    /// The error for records it seals, if they cannot be read.
    pub(crate) fn error(&self, records: u64) -> Option<StoreError> {
        let protection = self.protection;
        match &self.state {
            State::Open { .. } => None,
            State::Lost(reason) => Some(StoreError::KeyLost {
                protection,
                records,
                reason: reason.clone(),
            }),
            State::Unavailable(reason) => Some(StoreError::KeyUnavailable {
                protection,
                records,
                reason: reason.clone(),
            }),
        }
    }
}

/// The data keys of a vault and the devices that open them.
pub(crate) struct DataKeys {
    vault_id: [u8; VAULT_ID],
    /// What to move away when the vault is of no use any more.
    folder: PathBuf,
    providers: Vec<KeyProvider>,
    pub(crate) keys: Vec<DataKey>,
}

impl DataKeys {
    /// Reads the data keys of a vault. None is open yet.
    pub(crate) fn read(
        connection: &Connection,
        vault_id: [u8; VAULT_ID],
        folder: &Path,
        providers: Vec<KeyProvider>,
    ) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| match error {
            rusqlite::Error::SqliteFailure(..) => of_database(&error),
            other => StoreError::Damaged(format!("its head is damaged ({other})")),
        };
        let mut statement = connection
            .prepare("SELECT id, protection, wrapped, epoch, retired FROM data_key ORDER BY id")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let text: String = row.get(1).map_err(failed)?;
            // Records sealed by one of a protection that is not known here are unreadable.
            let Some(protection) = KeyProtection::parse(&text) else {
                continue;
            };
            let retired: bool = row.get(4).map_err(failed)?;
            keys.push(DataKey {
                id: row.get(0).map_err(failed)?,
                protection,
                state: if retired {
                    State::Lost("another key took its place".to_owned())
                } else {
                    State::Unavailable("it was not opened yet".to_owned())
                },
                wrapped: row.get(2).map_err(failed)?,
                sealed_epoch: row.get(3).map_err(failed)?,
            });
        }
        Ok(Self {
            vault_id,
            folder: folder.to_owned(),
            providers,
            keys,
        })
    }

    /// Tries to open what is not open. Returns those that were opened.
    ///
    /// # Errors
    ///
    /// When the vault is older than a device remembers.
    pub(crate) fn open(&mut self) -> Result<Vec<i64>, StoreError> {
        let mut opened = Vec::new();
        for index in 0..self.keys.len() {
            if !matches!(self.keys[index].state, State::Unavailable(_)) {
                continue;
            }
            let state = self.opened(&self.keys[index])?;
            let key = &mut self.keys[index];
            if matches!(state, State::Open { .. }) {
                opened.push(key.id);
            }
            key.state = state;
        }
        self.share_one_name_key()?;
        Ok(opened)
    }

    fn opened(&self, key: &DataKey) -> Result<State, StoreError> {
        let Some(provider) = self.provider(key.protection) else {
            let why = format!("nothing here holds {} keys", key.protection);
            return Ok(State::Unavailable(why));
        };
        let secrets = match self.unwrapped(provider, key) {
            Ok(secrets) => secrets,
            Err(state) => return Ok(state),
        };
        let seal = Seal::new(secrets, key.protection, self.vault_id).map_err(|_| refused())?;
        let epoch = match (&key.sealed_epoch, key.form()) {
            (Some(sealed), MADE) => seal.open_epoch(key.id, sealed),
            (None, TAKEN_OVER) => Some(Epoch::Uncounted),
            _ => None,
        };
        let Some(epoch) = epoch else {
            return Ok(self.damaged());
        };
        match epoch.check(&provider.rollback, &self.folder) {
            Ok(epoch) => Ok(State::Open {
                seal: Box::new(seal),
                epoch,
            }),
            Err(Stale::Unknown(why)) => Ok(State::Unavailable(why)),
            Err(Stale::RolledBack(why)) => Err(StoreError::RolledBack(why)),
        }
    }

    /// What a data key is made of, or why that cannot be had.
    fn unwrapped(&self, provider: &KeyProvider, key: &DataKey) -> Result<Secrets, State> {
        let context = match key.form() {
            TAKEN_OVER => [CONTEXT_1, &self.vault_id].concat(),
            MADE => self.context(key.id, key.protection),
            _ => return Err(self.damaged()),
        };
        let wrapped = key.wrapped.get(1..).unwrap_or_default();
        let bytes = provider
            .wrap
            .unwrap(wrapped, &context)
            .map_err(|error| match error {
                WrapError::Lost(why) => State::Lost(why),
                WrapError::Unavailable(why) => State::Unavailable(why),
            })?;
        let secrets = match key.form() {
            TAKEN_OVER => Secrets::of_format_1(&bytes),
            _ => Secrets::from_bytes(&bytes),
        };
        secrets.ok_or_else(|| self.damaged())
    }

    /// Gives up the open data keys with this protection that would not open again, because their
    /// device lost what wraps them meanwhile. Whether there are any.
    pub(crate) fn give_up_lost(&mut self, protection: KeyProtection) -> bool {
        let lost = |key: &DataKey| {
            let provider = self.provider(protection)?;
            key.seal().filter(|_| key.protection == protection)?;
            match self.unwrapped(provider, key) {
                Err(state @ State::Lost(_)) => Some((key.id, state)),
                Ok(_) | Err(_) => None,
            }
        };
        let lost: Vec<_> = self.keys.iter().filter_map(lost).collect();
        let any = !lost.is_empty();
        for (id, state) in lost {
            if let Some(key) = self.keys.iter_mut().find(|key| key.id == id) {
                key.state = state;
            }
        }
        any
    }

    /// A record has one place whatever seals it; that takes one name key.
    fn share_one_name_key(&self) -> Result<(), StoreError> {
        let mut names = self.open_seals().map(|seal| &*seal.secrets().name_key);
        let first = names.next();
        if names.all(|name_key| Some(name_key) == first) {
            Ok(())
        } else {
            Err(StoreError::Damaged(
                "its data keys belong to different vaults".to_owned(),
            ))
        }
    }

    fn open_seals(&self) -> impl Iterator<Item = &Seal> {
        self.keys.iter().filter_map(DataKey::seal)
    }

    /// What gives records their names. `None`: no data key is open.
    pub(crate) fn names(&self) -> Option<&Seal> {
        self.open_seals().next()
    }

    /// The data key with this number.
    pub(crate) fn get(&self, id: i64) -> Option<&DataKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The open data key with this protection.
    pub(crate) fn open_one(&self, protection: KeyProtection) -> Option<(i64, &Seal)> {
        let mut keys = self.keys.iter().filter(|key| key.protection == protection);
        keys.find_map(|key| Some((key.id, key.seal()?)))
    }

    /// Why there is no open data key with this protection, if one that is there may open later.
    pub(crate) fn unavailable(&self, protection: KeyProtection) -> Option<&str> {
        let mut keys = self.keys.iter().filter(|key| key.protection == protection);
        keys.find_map(|key| match &key.state {
            State::Unavailable(why) => Some(why.as_str()),
            State::Open { .. } | State::Lost(_) => None,
        })
    }

    /// Makes a data key with this protection. It is not in the database yet: see
    /// [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// When the device cannot be used.
    pub(crate) fn make(&mut self, protection: KeyProtection) -> Result<i64, StoreError> {
        let unusable = |why: &str| {
            StoreError::Io(format!(
                "nothing was written: the {protection} key that would seal it cannot be used ({why})"
            ))
        };
        let provider = self
            .provider(protection)
            .ok_or_else(|| unusable("nothing here holds such keys"))?;
        let name_key: Option<&[u8; NAME_KEY]> = self.names().map(|seal| &*seal.secrets().name_key);
        let secrets = Secrets::draw(name_key).map_err(|_| refused())?;
        let last = self.keys.iter().map(|key| key.id).max();
        let id = last.unwrap_or(0) + 1;
        let wrapped = provider
            .wrap
            .wrap(&secrets.to_bytes(), &self.context(id, protection))
            .map_err(|error| unusable(&error.to_string()))?;
        let epoch = match provider.rollback.counter().map(EpochCounter::create) {
            Some(Ok((counter, value))) => Epoch::At { counter, value },
            None | Some(Err(CounterError::Unsupported(_))) => Epoch::Uncounted,
            Some(Err(error)) => return Err(unusable(&error.to_string())),
        };
        let seal = Seal::new(secrets, protection, self.vault_id).map_err(|_| refused())?;
        self.keys.push(DataKey {
            id,
            protection,
            wrapped: [&[MADE], wrapped.as_slice()].concat(),
            sealed_epoch: Some(seal.seal_epoch(id, &epoch).map_err(|_| refused())?),
            state: State::Open {
                seal: Box::new(seal),
                epoch,
            },
        });
        Ok(id)
    }

    /// Writes a data key that was just made; those that were lost make way for it for good.
    pub(crate) fn insert(&self, connection: &Connection, id: i64) -> rusqlite::Result<()> {
        let Some(key) = self.get(id) else {
            return Ok(());
        };
        for other in self.keys.iter().filter(|other| self.makes_way(other, key)) {
            connection.execute("UPDATE data_key SET retired = 1 WHERE id = ?1", [other.id])?;
        }
        connection.execute(
            "INSERT INTO data_key (id, protection, wrapped, epoch, retired)
             VALUES (?1, ?2, ?3, ?4, 0)",
            params![id, key.protection.as_str(), key.wrapped, key.sealed_epoch],
        )?;
        Ok(())
    }

    /// Whether a lost key is never tried again once `new` is there: one with the same protection,
    /// and one whose records have names that are not known here.
    fn makes_way(&self, lost: &DataKey, new: &DataKey) -> bool {
        let only_new_is_open = self.open_seals().count() == 1;
        matches!(lost.state, State::Lost(_))
            && (lost.protection == new.protection || only_new_is_open)
    }

    /// Forgets data keys that could not be written.
    pub(crate) fn forget(&mut self, made: &[i64]) {
        for key in self.keys.extract_if(.., |key| made.contains(&key.id)) {
            let State::Open {
                epoch: Epoch::At { counter, .. },
                ..
            } = &key.state
            else {
                continue;
            };
            let provider = self
                .providers
                .iter()
                .find(|p| p.protection == key.protection);
            if let Some(device) = provider.and_then(|provider| provider.rollback.counter()) {
                // What is left behind if this fails, too, is a counter nobody reads.
                let _ = device.remove(counter);
            }
        }
    }

    /// Ends the epoch of a data key; one that is not open or not counted has none.
    ///
    /// # Errors
    ///
    /// When copies made before may still pass.
    pub(crate) fn end_epoch(&mut self, id: i64, connection: &Connection) -> Result<(), StoreError> {
        let Some(index) = self.keys.iter().position(|key| key.id == id) else {
            return Ok(());
        };
        let key = &self.keys[index];
        let (State::Open { seal, epoch }, Some(provider)) =
            (&key.state, self.provider(key.protection))
        else {
            return Ok(());
        };
        let Some(device) = provider.rollback.counter() else {
            return Ok(());
        };
        let mut wrapped = key.wrapped.clone();
        if wrapped.first() == Some(&TAKEN_OVER) {
            let context = self.context(id, key.protection);
            let made = provider.wrap.wrap(&seal.secrets().to_bytes(), &context);
            let made = made.map_err(|error| not_ended(key.protection, &error.to_string()))?;
            wrapped = [&[MADE], made.as_slice()].concat();
        }
        let mut recorded = None;
        let ended = epoch.end(device, |next| {
            let sealed = seal.seal_epoch(id, next).map_err(|_| refused())?;
            connection
                .execute(
                    "UPDATE data_key SET wrapped = ?2, epoch = ?3 WHERE id = ?1",
                    params![id, wrapped, sealed],
                )
                .map_err(|error| of_database(&error))?;
            recorded = Some((next.clone(), sealed));
            Ok(())
        });
        let protection = key.protection;
        if let Some((next, sealed)) = recorded {
            let key = &mut self.keys[index];
            key.wrapped = wrapped;
            key.sealed_epoch = Some(sealed);
            if let State::Open { epoch, .. } = &mut key.state {
                *epoch = next;
            }
        }
        match ended {
            // Where nothing can count, nothing was promised.
            Ok(()) | Err(EndError::Counter(CounterError::Unsupported(_))) => Ok(()),
            Err(EndError::Counter(error)) => Err(not_ended(protection, &error.to_string())),
            Err(EndError::Store(error)) => Err(error),
        }
    }

    fn damaged(&self) -> State {
        State::Unavailable(format!(
            "the vault's head is damaged; put it back from a copy, or {}",
            start_over(&self.folder)
        ))
    }

    /// How rollback of the records with this protection is noticed.
    pub(crate) fn rollback(&self, protection: KeyProtection) -> Option<&Rollback> {
        self.provider(protection).map(|provider| &provider.rollback)
    }

    fn provider(&self, protection: KeyProtection) -> Option<&KeyProvider> {
        let mut providers = self.providers.iter();
        providers.find(|provider| provider.protection == protection)
    }

    fn context(&self, id: i64, protection: KeyProtection) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            CONTEXT_2,
            &self.vault_id,
            &id.to_be_bytes(),
            protection.as_str().as_bytes(),
        ];
        parts.concat()
    }
}

/// A data key of format 1, as it is kept since.
pub(crate) fn taken_over(wrapped: &[u8]) -> Vec<u8> {
    [&[TAKEN_OVER], wrapped].concat()
}

fn not_ended(protection: KeyProtection, why: &str) -> StoreError {
    StoreError::Io(format!(
        "the {protection} device does not count, so an older copy of the vault may pass: {why}"
    ))
}
