//! The providers of keys as the engine and the vault see them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyward_client::binding::KeyProtection;
use keyward_client::oauth::jose::{Jwk, Signer, SignerError};
use keyward_client::oauth::secret::PinText;
use keyward_client::ports::{BindingKey, BindingKeys, KeyError, KeyRef, PinRefused, PinWanted};
use keyward_keystore::{KeyId, KeyKind, KeyStore, KeyStoreError, Pin};

use crate::pin::{self, Pins};
use crate::providers::{Ended, Providers, protection_of};

/// How many opened keys are kept: more than a person has accounts in use at once.
const KEPT_OPEN: usize = 32;

/// Binding keys of every provider, the ones used last kept open. A key is opened when it is first
/// needed: a provider that is away is in nobody's way who needs nothing of it.
pub(crate) struct DeviceKeys {
    providers: Arc<Providers>,
    pins: Arc<Pins>,
    /// The one used last is at the back.
    open: Mutex<VecDeque<(KeyRef, Arc<DeviceKey>)>>,
}

impl DeviceKeys {
    pub(crate) fn new(providers: Arc<Providers>, pins: Arc<Pins>) -> Self {
        Self {
            providers,
            pins,
            open: Mutex::default(),
        }
    }

    /// Takes a key out of those kept open.
    fn take(&self, key: &KeyRef) -> Option<Arc<DeviceKey>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let index = open.iter().position(|(kept, _)| kept == key)?;
        open.remove(index).map(|(_, opened)| opened)
    }

    /// Keeps a key open, as the one used last.
    fn keep(&self, key: &KeyRef, opened: &Arc<DeviceKey>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(kept, _)| kept != key);
        if open.len() == KEPT_OPEN {
            open.pop_front();
        }
        open.push_back((key.clone(), Arc::clone(opened)));
    }
}

impl DeviceKeys {
    /// Whether new keys there want a PIN.
    fn wants_pin(&self, choice: KeyProtection) -> bool {
        choice == KeyProtection::Tpm && self.pins.are_asked_for()
    }
}

#[async_trait]
impl BindingKeys for DeviceKeys {
    fn protection(&self) -> KeyProtection {
        self.providers.choice()
    }

    fn protection_of(&self, key: &KeyRef) -> KeyProtection {
        // A name that is none of ours cannot be opened either way.
        id_of(key).map_or(KeyProtection::Software, |id| protection_of(&id))
    }

    async fn create(&self) -> Result<KeyRef, KeyError> {
        let choice = self.providers.choice();
        let pin = if self.wants_pin(choice) {
            Some(self.pins.get().ok_or_else(|| {
                KeyError::PinRequired("new keys get one (tpm.pin = \"ask\")".to_owned())
            })?)
        } else {
            None
        };
        let made = move |store: &dyn KeyStore| store.create(KeyKind::Sign, pin.as_ref());
        let id = self.providers.ask(choice, made).await;
        Ok(KeyRef::new(id.map_err(key_error)?.as_str()))
    }

    async fn pin_wanted(&self) -> Result<Option<PinWanted>, KeyError> {
        let choice = self.providers.choice();
        if !self.wants_pin(choice) || self.pins.get().is_some() {
            return Ok(None);
        }
        let asked = self.providers.ask(choice, |store| {
            let device = store.device()?;
            Ok(PinWanted {
                new: pin::is_new(store)?,
                device: device.maker,
            })
        });
        asked.await.map(Some).map_err(key_error)
    }

    async fn unlock(&self, pin: PinText) -> Result<Result<(), PinRefused>, KeyError> {
        let choice = self.providers.choice();
        let typed = || Pin::new(pin.expose_secret().as_bytes());
        let refused = Ok(Err(PinRefused {
            attempts_left: None,
        }));
        let (Some(tried), Some(kept)) = (typed(), typed()) else {
            return refused;
        };
        let tried = self
            .providers
            .ask(choice, move |store| pin::tried(store, tried));
        if !tried.await.map_err(key_error)? {
            return refused;
        }
        self.pins
            .keep(&kept, self.providers.of(choice).map_err(key_error)?);
        Ok(Ok(()))
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn BindingKey>, KeyError> {
        let opened = if let Some(opened) = self.take(key) {
            opened
        } else {
            let id = id_of(key)?;
            let protection = protection_of(&id);
            let open = move |store: &dyn KeyStore| store.open(&id);
            let signer = self.providers.ask(protection, open).await;
            Arc::new(DeviceKey {
                signer: signer.map_err(key_error)?,
                protection,
                providers: Arc::clone(&self.providers),
            })
        };
        self.keep(key, &opened);
        Ok(opened)
    }

    async fn delete(&self, key: &KeyRef) -> Result<(), KeyError> {
        self.take(key);
        let id = id_of(key)?;
        let delete = move |store: &dyn KeyStore| store.delete(&id);
        let protection = self.protection_of(key);
        self.providers
            .ask(protection, delete)
            .await
            .map_err(key_error)
    }
}

struct DeviceKey {
    signer: Arc<dyn Signer>,
    protection: KeyProtection,
    providers: Arc<Providers>,
}

#[async_trait]
impl BindingKey for DeviceKey {
    fn public_jwk(&self) -> &Jwk {
        self.signer.public_jwk()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (signer, message) = (Arc::clone(&self.signer), message.to_vec());
        let sign = move || signer.sign(&message).map_err(signer_error);
        self.providers.at_leisure(self.protection, sign).await
    }
}

fn id_of(key: &KeyRef) -> Result<KeyId, KeyError> {
    KeyId::parse(key.as_str())
        .ok_or_else(|| KeyError::Lost("its name is not one of this keystore".to_owned()))
}

fn signer_error(error: SignerError) -> KeyError {
    let text = error.to_string();
    match error {
        SignerError::KeyLost => KeyError::Lost(text),
        SignerError::Unavailable(why) => KeyError::Unavailable(why),
        SignerError::PinRequired | SignerError::PinRefused(_) => KeyError::PinRequired(text),
    }
}

/// Whose move it is. A key file that is gone or was changed stays so, and so does a device that is
/// another one; a device that does not answer may do so later; everything else has to be mended.
// As an argument of `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn key_error(error: KeyStoreError) -> KeyError {
    let text = error.to_string();
    match error {
        KeyStoreError::NotFound(_) | KeyStoreError::Damaged { .. } | KeyStoreError::Lost(_) => {
            KeyError::Lost(text)
        }
        KeyStoreError::Unavailable(_) | KeyStoreError::LockedOut(_) => KeyError::Unavailable(text),
        KeyStoreError::PinRequired | KeyStoreError::WrongPin { .. } => KeyError::PinRequired(text),
        _ => KeyError::Refused(text),
    }
}

impl From<Ended> for KeyError {
    fn from(ended: Ended) -> Self {
        key_error(ended.into())
    }
}

#[cfg(test)]
mod tests;
