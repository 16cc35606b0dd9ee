use keyward_client::oauth::jose::Algorithm;
use std::sync::mpsc;

use keyward_keystore::{Counter, Device, OaepHash, Protection, PublicKey, SoftwareKeyStore};
use zeroize::Zeroizing;

use super::*;

fn keys() -> (tempfile::TempDir, DeviceKeys) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SoftwareKeyStore::open(&dir.path().join("keys")).unwrap());
    let providers = Providers::new(store, None, KeyProtection::Software);
    (dir, DeviceKeys::new(Arc::new(providers), Pins::none()))
}

#[tokio::test]
async fn a_key_signs_until_it_is_deleted() {
    let (_dir, keys) = keys();
    let key = keys.create().await.unwrap();
    let opened = keys.open(&key).await.unwrap();
    let signature = opened.sign(b"message").await.unwrap();
    assert!(
        opened
            .public_jwk()
            .verifies(Algorithm::Es256, b"message", &signature)
    );

    keys.delete(&key).await.unwrap();
    let error = keys.open(&key).await.err().unwrap();
    assert!(matches!(error, KeyError::Lost(_)), "{error}");
    keys.delete(&key).await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_no_key_of_ours_is_a_lost_key() {
    let (_dir, keys) = keys();
    let error = keys.open(&KeyRef::new("../../x")).await.err().unwrap();
    assert!(matches!(error, KeyError::Lost(_)), "{error}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_holds_up_nobody_who_needs_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let software = || Arc::new(SoftwareKeyStore::open(&dir.path().join("keys")).unwrap());
    let (tpm, answers) = Stalling::with(software());
    let providers = Providers::new(software(), Some(tpm), KeyProtection::Software);
    let keys = Arc::new(DeviceKeys::new(Arc::new(providers), Pins::none()));
    let here = keys.create().await.unwrap();
    keys.providers.choose(KeyProtection::Tpm);

    let waiting = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move {
            let there = keys.create().await.unwrap();
            let signed = keys.open(&there).await.unwrap().sign(b"message").await;
            signed.map(|_| keys.protection_of(&there))
        }
    });
    // One thread serves everybody: if it waited, none of this would come back.
    for _ in 0..100 {
        tokio::task::yield_now().await;
        let key = keys.open(&here).await.unwrap();
        key.sign(b"message").await.unwrap();
    }
    assert!(!waiting.is_finished());
    for _ in 0..3 {
        answers.send(()).unwrap();
    }
    assert_eq!(waiting.await.unwrap(), Ok(KeyProtection::Tpm));
}

#[tokio::test]
async fn few_keys_are_kept_open_and_the_ones_used_last_among_them() {
    let (dir, keys) = keys();
    let first = keys.create().await.unwrap();
    for _ in 0..KEPT_OPEN + 3 {
        keys.open(&first).await.unwrap();
        let key = keys.create().await.unwrap();
        keys.open(&key).await.unwrap();
    }
    assert_eq!(keys.open.lock().unwrap().len(), KEPT_OPEN);
    // Kept open: it is not read again.
    std::fs::remove_file(dir.path().join(format!("keys/{first}.key"))).unwrap();
    keys.open(&first).await.unwrap();
}

/// A TPM that answers one call for each that it is allowed to.
struct Stalling {
    keys: Arc<SoftwareKeyStore>,
    allowed: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Stalling {
    fn with(keys: Arc<SoftwareKeyStore>) -> (Arc<dyn KeyStore>, mpsc::Sender<()>) {
        let (answers, allowed) = mpsc::channel();
        let allowed = Arc::new(Mutex::new(allowed));
        (Arc::new(Self { keys, allowed }), answers)
    }

    fn wait(&self) {
        self.allowed.lock().unwrap().recv().unwrap();
    }

    fn unsupported<T>() -> Result<T, KeyStoreError> {
        Err(KeyStoreError::Unsupported("nobody should ask for this"))
    }
}

struct StallingKey(Arc<dyn Signer>, Arc<Mutex<mpsc::Receiver<()>>>);

impl Signer for StallingKey {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn public_jwk(&self) -> &Jwk {
        self.0.public_jwk()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.1.lock().unwrap().recv().unwrap();
        self.0.sign(message)
    }
}

impl KeyStore for Stalling {
    fn protection(&self) -> Protection {
        Protection::Tpm
    }

    fn device(&self) -> Result<Device, KeyStoreError> {
        Self::unsupported()
    }

    fn create(&self, kind: KeyKind, pin: Option<&Pin>) -> Result<KeyId, KeyStoreError> {
        self.wait();
        let id = self.keys.create(kind, pin)?;
        Ok(KeyId::parse(&format!("tpm-{}", id.as_str())).unwrap())
    }

    fn import_mac(&self, _: Zeroizing<Vec<u8>>) -> Result<KeyId, KeyStoreError> {
        Self::unsupported()
    }

    fn public(&self, _: &KeyId) -> Result<PublicKey, KeyStoreError> {
        Self::unsupported()
    }

    fn open(&self, id: &KeyId) -> Result<Arc<dyn Signer>, KeyStoreError> {
        self.wait();
        let own = KeyId::parse(id.as_str().strip_prefix("tpm-").unwrap()).unwrap();
        let key = self.keys.open(&own)?;
        Ok(Arc::new(StallingKey(key, Arc::clone(&self.allowed))))
    }

    fn agree(&self, _: &KeyId, _: &Jwk) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        Self::unsupported()
    }

    fn decrypt(
        &self,
        _: &KeyId,
        _: OaepHash,
        _: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Self::unsupported()
    }

    fn derive(&self, _: &KeyId, _: &[u8], _: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        Self::unsupported()
    }

    fn delete(&self, _: &KeyId) -> Result<(), KeyStoreError> {
        Self::unsupported()
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyStoreError> {
        Self::unsupported()
    }

    fn seal(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        Self::unsupported()
    }

    fn unseal(&self, _: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Self::unsupported()
    }

    fn random(&self, _: &mut [u8]) -> Result<(), KeyStoreError> {
        Self::unsupported()
    }

    fn unlock(&self, _: Pin) {}

    fn lock(&self) {}

    fn counter(&self) -> Option<&dyn Counter> {
        None
    }
}
