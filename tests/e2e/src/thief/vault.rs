//! The vault and the keys, opened with our own code by somebody else than the broker.

use std::io;
use std::path::Path;
use std::sync::Arc;

use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Record, RecordStore as _};
use keyward_keystore::{CounterId, KeyStore, Protection, SoftwareKeyStore, tpm};
use keyward_store::{
    CounterError, EpochCounter, FileCounter, KeyProvider, KeyWrap, Rollback, StateFolder, Vault,
    WrapError,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Attempt, Bag, CHALLENGE, Claim, Target, files};

/// Copies the state folder and opens the copy, as a thief can who takes it away with him: with what
/// is in the files, and no TPM.
pub(super) fn from_a_copy(target: &Target) -> Attempt {
    Attempt::of(
        "files",
        "copy the state folder and open vault and keys elsewhere",
        |bag| {
            let copy = target.den.join("copy");
            files::copy_folder(&target.state, &copy)?;
            let folder = StateFolder::of_this_machine(&copy).map_err(io::Error::other)?;
            let keys =
                SoftwareKeyStore::open(&folder.path().join("keys")).map_err(io::Error::other)?;
            let keys: Vec<(Arc<dyn KeyStore>, bool)> = vec![(Arc::new(keys), true)];
            open(&folder, keys, bag)
        },
    )
}

/// The same with the TPM of this machine, if the user may use it.
pub(super) fn with_the_tpm(target: &Target) -> Vec<Attempt> {
    let mut attempts: Vec<_> = ["/dev/tpmrm0", "/dev/tpm0"]
        .into_iter()
        .map(|device| {
            Attempt::of("tpm", format!("open {device}"), |_| {
                let opened = std::fs::File::options().read(true).write(true).open(device);
                opened.map(|_| "opened".to_owned())
            })
        })
        .collect();
    if let Some(tcti) = &target.tcti {
        attempts.push(Attempt::of(
            "tpm",
            "use the keys of the vault in the broker's TPM",
            |bag| {
                let copy = target.den.join("copy-for-tpm");
                files::copy_folder(&target.state, &copy)?;
                let folder = StateFolder::of_this_machine(&copy).map_err(io::Error::other)?;
                let path = folder.path().join("keys");
                let software = SoftwareKeyStore::open(&path).map_err(io::Error::other)?;
                let device = tpm::open(&path, Some(tcti)).map_err(io::Error::other)?;
                open(
                    &folder,
                    vec![(Arc::new(software), true), (device, false)],
                    bag,
                )
            },
        ));
    }
    attempts
}

/// Opens every record, and signs with every key. `bool`: whether the key itself is read for that.
fn open(
    folder: &StateFolder,
    stores: Vec<(Arc<dyn KeyStore>, bool)>,
    bag: &mut Bag,
) -> io::Result<String> {
    let mut signed = 0;
    for (store, taken) in &stores {
        for id in store.keys().map_err(io::Error::other)? {
            let Ok(key) = store.open(&id) else { continue };
            let Ok(signature) = key.sign(CHALLENGE) else {
                continue;
            };
            signed += 1;
            bag.claim(Claim::Signed {
                jwk: json!(key.public_jwk()).to_string(),
                signature,
                taken: *taken,
            });
        }
    }
    let records = records(folder.path(), stores)?;
    if !records.is_empty() {
        bag.claim(Claim::OpenedVault);
    }
    let count = records.len();
    for record in records {
        bag.keep(record.to_vec());
    }
    Ok(format!("{signed} keys used, {count} records opened"))
}

fn records(
    folder: &Path,
    stores: Vec<(Arc<dyn KeyStore>, bool)>,
) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
    let providers = stores.into_iter().map(|(store, _)| {
        let (protection, rollback) = match store.protection() {
            Protection::Software => (
                KeyProtection::Software,
                Rollback::BestEffort(Box::new(FileCounter::beside(folder))),
            ),
            Protection::Tpm => (
                KeyProtection::Tpm,
                Rollback::Detected(Box::new(Peeking(Arc::clone(&store)))),
            ),
        };
        KeyProvider {
            protection,
            rollback,
            wrap: Box::new(Wrap(store)),
        }
    });
    let vault = Vault::open(&StateFolder::single(folder), providers.collect());
    let vault = vault.map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut opened = Vec::new();
    let mut keep = |record: Result<Record, _>| {
        opened.extend(record.ok().map(|record| record.value));
    };
    let loaded = runtime.block_on(vault.load(&mut keep));
    loaded.map_err(io::Error::other)?;
    Ok(opened)
}

/// Reads the device's counter and says that it was stepped: whoever steps it locks the victim out.
struct Peeking(Arc<dyn KeyStore>);

impl EpochCounter for Peeking {
    fn create(&self) -> Result<(String, u64), CounterError> {
        Err(CounterError::Unsupported("the thief makes none".to_owned()))
    }

    fn read(&self, name: &str) -> Result<u64, CounterError> {
        let lost = |why: String| CounterError::Lost(why);
        let id = CounterId::parse(name).ok_or_else(|| lost(name.to_owned()))?;
        let counter = self
            .0
            .counter()
            .ok_or_else(|| lost("no counter".to_owned()))?;
        counter.read(&id).map_err(|error| lost(error.to_string()))
    }

    fn step(&self, name: &str) -> Result<u64, CounterError> {
        Ok(self.read(name)? + 1)
    }

    fn remove(&self, _: &str) -> Result<(), CounterError> {
        Ok(())
    }
}

/// What the broker does with its own key.
struct Wrap(Arc<dyn KeyStore>);

impl KeyWrap for Wrap {
    fn wrap(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, WrapError> {
        let wrapped = self.0.seal(key, context);
        wrapped.map_err(|error| WrapError::Unavailable(error.to_string()))
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let key = self.0.unseal(wrapped, context);
        key.map_err(|error| WrapError::Unavailable(error.to_string()))
    }
}
