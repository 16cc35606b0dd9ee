//! The PIN of keys in the TPM, while it is known: in memory that is neither swapped nor left behind,
//! and not for long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use keyward_client::oauth::jose::{Signer, SignerError};
use keyward_config::{PinChoice, TpmSettings};
use keyward_keystore::{KeyStore, KeyStoreError, Pin};
use keyward_locked_memory::Locked;

/// The longest PIN there is, in bytes.
const LONGEST: usize = 32;

/// What a PIN is tried with.
const TRIAL: &[u8] = b"keyward PIN";

/// The PIN, while it is known.
pub(crate) struct Pins {
    ask: bool,
    kept: Duration,
    known: Mutex<Option<Known>>,
}

struct Known {
    digits: Locked<[u8; LONGEST]>,
    length: usize,
    until: Instant,
}

impl Pins {
    /// As configured.
    pub(crate) fn new(settings: &TpmSettings) -> Arc<Self> {
        Arc::new(Self {
            ask: settings.pin.value == PinChoice::Ask,
            kept: settings.pin_kept.value,
            known: Mutex::default(),
        })
    }

    /// No key wants one.
    #[cfg(test)]
    pub(crate) fn none() -> Arc<Self> {
        Self::new(&TpmSettings::default())
    }

    /// Whether new keys in the TPM want one.
    pub(crate) fn are_asked_for(&self) -> bool {
        self.ask
    }

    /// The PIN, if it is known.
    pub(crate) fn get(&self) -> Option<Pin> {
        let mut known = self.known();
        if known
            .as_ref()
            .is_some_and(|known| known.until <= Instant::now())
        {
            *known = None;
        }
        let known = known.as_ref()?;
        Pin::new(known.digits.get(..known.length)?)
    }

    /// Keeps the PIN for as long as configured; then the provider forgets it, too.
    pub(crate) fn keep(self: &Arc<Self>, pin: &Pin, store: Arc<dyn KeyStore>) {
        let typed = pin.expose_secret();
        let mut digits = Locked::<[u8; LONGEST]>::default();
        // INVARIANT: no PIN is longer.
        for (place, digit) in digits.iter_mut().zip(typed) {
            *place = *digit;
        }
        *self.known() = Some(Known {
            digits,
            length: typed.len(),
            until: Instant::now() + self.kept,
        });
        tokio::spawn(forget(Arc::downgrade(self), self.kept, store));
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the PIN in time, unless it was given again meanwhile.
async fn forget(pins: Weak<Pins>, kept: Duration, store: Arc<dyn KeyStore>) {
    tokio::time::sleep(kept).await;
    if pins.upgrade().is_none_or(|pins| pins.get().is_none()) {
        store.lock();
    }
}

/// Whether some key of this provider wants a PIN already.
pub(crate) fn is_new(store: &dyn KeyStore) -> Result<bool, KeyStoreError> {
    Ok(wanting(store)?.is_none())
}

/// Gives the provider a PIN, and tries it where that is possible: `false` when it is wrong. It is
/// tried once, because the device counts.
pub(crate) fn tried(store: &dyn KeyStore, pin: Pin) -> Result<bool, KeyStoreError> {
    store.lock();
    let wanting = wanting(store)?;
    store.unlock(pin);
    let Some(key) = wanting else {
        return Ok(true);
    };
    match key.sign(TRIAL) {
        Ok(_) => Ok(true),
        Err(SignerError::PinRefused(_) | SignerError::PinRequired) => Ok(false),
        Err(error) => Err(KeyStoreError::Unavailable(error.to_string())),
    }
}

/// A key that wants a PIN now.
fn wanting(store: &dyn KeyStore) -> Result<Option<Arc<dyn Signer>>, KeyStoreError> {
    for id in store.keys()? {
        // One of another kind, or one that is lost.
        let Ok(key) = store.open(&id) else { continue };
        match key.sign(TRIAL) {
            Err(SignerError::PinRequired) => return Ok(Some(key)),
            Err(SignerError::Unavailable(why)) => return Err(KeyStoreError::Unavailable(why)),
            _ => {}
        }
    }
    Ok(None)
}
