//! What the providers of this device do for the vault: each wraps the data key of its own records,
//! and notices, as well as it can, that an old vault was put back.

use std::path::Path;
use std::sync::Arc;

use keyward_client::binding::KeyProtection;
use keyward_config::Permit;
use keyward_keystore::{Counter, CounterId, KeyStore, KeyStoreError};
use keyward_store::{
    CounterError, EpochCounter, FileCounter, KeyProvider, KeyWrap, Rollback, WrapError,
};
use zeroize::Zeroizing;

use crate::providers::Providers;

/// Every provider there is, for the vault in this folder.
pub(crate) fn for_vault(providers: &Providers, folder: &Path, permit: Permit) -> Vec<KeyProvider> {
    let there_are = providers.all().filter_map(|protection| {
        let store = providers.of(protection).ok()?;
        Some(KeyProvider {
            protection,
            rollback: match permit {
                // What the developer tool makes is thrown away, and would leave its counters
                // behind in the device.
                Permit::WellKnownHosts => Rollback::Undetected,
                Permit::ConfiguredOnly => rollback(protection, &store, folder),
            },
            wrap: Box::new(DeviceWrap(store)),
        })
    });
    there_are.collect()
}

fn rollback(protection: KeyProtection, store: &Arc<dyn KeyStore>, folder: &Path) -> Rollback {
    match protection {
        KeyProtection::Tpm => Rollback::Detected(Box::new(DeviceCounter(Arc::clone(store)))),
        KeyProtection::Software => Rollback::BestEffort(Box::new(FileCounter::beside(folder))),
    }
}

/// Wraps a data key by the device's own key.
struct DeviceWrap(Arc<dyn KeyStore>);

impl KeyWrap for DeviceWrap {
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError> {
        self.0.seal(key, context).map_err(wrap_error)
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        self.0.unseal(wrapped, context).map_err(wrap_error)
    }
}

/// Nothing but a device that is another one loses a data key: a file can be put back.
fn wrap_error(error: KeyStoreError) -> WrapError {
    match error {
        KeyStoreError::Lost(_) => WrapError::Lost(error.to_string()),
        other => WrapError::Unavailable(other.to_string()),
    }
}

/// The device's own counter.
struct DeviceCounter(Arc<dyn KeyStore>);

impl DeviceCounter {
    fn with<T>(
        &self,
        what: impl FnOnce(&dyn Counter) -> Result<T, KeyStoreError>,
    ) -> Result<T, CounterError> {
        let none = KeyStoreError::Unsupported("a monotonic counter");
        let counter = self.0.counter().ok_or(none).map_err(counter_error)?;
        what(counter).map_err(counter_error)
    }
}

impl EpochCounter for DeviceCounter {
    fn create(&self) -> Result<(String, u64), CounterError> {
        self.with(|counter| {
            let id = counter.create()?;
            Ok((id.to_string(), counter.read(&id)?))
        })
    }

    fn read(&self, name: &str) -> Result<u64, CounterError> {
        let id = named(name)?;
        self.with(|counter| counter.read(&id))
    }

    fn step(&self, name: &str) -> Result<u64, CounterError> {
        let id = named(name)?;
        self.with(|counter| counter.step(&id))
    }

    fn remove(&self, name: &str) -> Result<(), CounterError> {
        let id = named(name)?;
        self.with(|counter| counter.remove(&id))
    }
}

fn named(name: &str) -> Result<CounterId, CounterError> {
    CounterId::parse(name)
        .ok_or_else(|| CounterError::Lost(format!("{name:?} names no counter of this device")))
}

// As an argument of `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn counter_error(error: KeyStoreError) -> CounterError {
    let text = error.to_string();
    match error {
        KeyStoreError::Lost(_) | KeyStoreError::NotFound(_) => CounterError::Lost(text),
        KeyStoreError::Unsupported(_) => CounterError::Unsupported(text),
        _ => CounterError::Unavailable(text),
    }
}
