//! This device: clock, randomness, vault, keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use keyward_oauth::jose::Jwk;
use keyward_oauth::secret::PinText;
use keyward_oauth::time::UnixTime;

use crate::binding::KeyProtection;
use crate::ports::{
    BindingKey, BindingKeys, Change, Clock, KeyError, KeyRef, PinRefused, PinWanted, Random,
    Record, RecordKey, RecordKind, RecordStore, StoreError,
};

/// A clock that stands still until it is moved.
pub struct StandingClock(AtomicU64);

impl StandingClock {
    pub fn at(seconds: u64) -> Self {
        Self(AtomicU64::new(seconds))
    }

    pub fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn back(&self, seconds: u64) {
        self.0.fetch_sub(seconds, Ordering::SeqCst);
    }
}

impl Clock for StandingClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::SeqCst))
    }
}

pub struct Dice;

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new().fill(bytes).unwrap();
    }
}

/// A vault in memory, which can break.
#[derive(Default)]
pub struct Vault {
    pub records: Mutex<BTreeMap<RecordKey, Record>>,
    pub broken: AtomicBool,
    pub writes: AtomicUsize,
    pub epochs: AtomicUsize,
    pub unreadable: Mutex<Vec<StoreError>>,
}

impl Vault {
    pub fn count(&self, kind: RecordKind) -> usize {
        let records = self.records.lock().unwrap();
        records.keys().filter(|key| key.kind == kind).count()
    }

    /// Whether some record holds this text.
    pub fn holds(&self, text: &str) -> bool {
        let records = self.records.lock().unwrap();
        let mut values = records.values();
        values.any(|record| String::from_utf8_lossy(&record.value).contains(text))
    }
}

#[async_trait]
impl RecordStore for Vault {
    async fn load(
        &self,
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Io("as the test wants".to_owned()));
        }
        let records = self
            .records
            .lock()
            .unwrap()
            .values()
            .cloned()
            .map(Ok)
            .collect::<Vec<_>>();
        let unreadable = self
            .unreadable
            .lock()
            .unwrap()
            .iter()
            .cloned()
            .map(Err)
            .collect();
        [unreadable, records].concat().into_iter().for_each(each);
        Ok(())
    }

    async fn remove_all(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.records.lock().unwrap().clear();
        self.unreadable.lock().unwrap().clear();
        Ok(())
    }

    async fn end_epoch(&self) -> Result<(), StoreError> {
        self.epochs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // A real vault takes time, too.
        tokio::task::yield_now().await;
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let mut records = self.records.lock().unwrap();
        for change in changes {
            match change {
                Change::Put(record) => records.insert(record.key.clone(), record),
                Change::Delete(key) => records.remove(&key),
            };
        }
        Ok(())
    }
}

/// A P-256 key in memory.
pub struct SoftKey {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl SoftKey {
    pub fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = Jwk::p256(pair.public_key().as_ref()).unwrap();
        Self { pair, public }
    }

    pub fn public(&self) -> &Jwk {
        &self.public
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }
}

#[async_trait]
impl BindingKey for SoftKey {
    fn public_jwk(&self) -> &Jwk {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.signature(message))
    }
}

/// Keys in memory, which can be lost.
#[derive(Default)]
pub struct Keys {
    pub held: Mutex<HashMap<KeyRef, Arc<SoftKey>>>,
    made: AtomicUsize,
    pub unavailable: AtomicBool,
    /// Whether new keys are made in a TPM.
    pub in_tpm: AtomicBool,
    /// The PIN keys want, if they do.
    pub pin: Mutex<Option<&'static str>>,
    /// Whether it is known.
    pub unlocked: AtomicBool,
}

impl Keys {
    pub fn count(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// As when the TPM was cleared.
    pub fn lose_all(&self) {
        self.held.lock().unwrap().clear();
    }
}

#[async_trait]
impl BindingKeys for Keys {
    fn protection(&self) -> KeyProtection {
        if self.in_tpm.load(Ordering::SeqCst) {
            KeyProtection::Tpm
        } else {
            KeyProtection::Software
        }
    }

    fn protection_of(&self, key: &KeyRef) -> KeyProtection {
        if key.as_str().starts_with("tpm-") {
            KeyProtection::Tpm
        } else {
            KeyProtection::Software
        }
    }

    async fn create(&self) -> Result<KeyRef, KeyError> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let name = KeyRef::new(match self.protection() {
            KeyProtection::Tpm => format!("tpm-{number}"),
            KeyProtection::Software => format!("key-{number}"),
        });
        let key = Arc::new(SoftKey::generate());
        self.held.lock().unwrap().insert(name.clone(), key);
        Ok(name)
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn BindingKey>, KeyError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(KeyError::Unavailable("as the test wants".to_owned()));
        }
        if self.pin_wanted().await?.is_some() {
            return Err(KeyError::PinRequired("as the test wants".to_owned()));
        }
        match self.held.lock().unwrap().get(key) {
            Some(key) => Ok(Arc::clone(key) as Arc<dyn BindingKey>),
            None => Err(KeyError::Lost(format!("there is no {key}"))),
        }
    }

    async fn pin_wanted(&self) -> Result<Option<PinWanted>, KeyError> {
        let locked = !self.unlocked.load(Ordering::SeqCst);
        let wanted = self.pin.lock().unwrap().filter(|_| locked);
        Ok(wanted.map(|_| PinWanted {
            new: self.count() == 0,
            device: None,
        }))
    }

    async fn unlock(&self, pin: PinText) -> Result<Result<(), PinRefused>, KeyError> {
        let right = *self.pin.lock().unwrap() == Some(pin.expose_secret());
        self.unlocked.store(right, Ordering::SeqCst);
        let attempts_left = Some(3);
        Ok(right.then_some(()).ok_or(PinRefused { attempts_left }))
    }

    async fn delete(&self, key: &KeyRef) -> Result<(), KeyError> {
        self.held.lock().unwrap().remove(key);
        Ok(())
    }
}
