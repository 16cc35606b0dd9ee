//! The Secret Service of the user's session (freedesktop.org Secret Service API 0.2): a place for
//! one small secret that is sealed by the login password while nobody is logged in.
//!
//! While somebody is, every program of that session can read it: it protects a disk, not a session.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use zbus::message::Message;
use zbus::{DynamicType, ObjectPath, OwnedObjectPath, Variant};
use zeroize::Zeroizing;

use crate::address::BusAddress;
use crate::bus::Bus;

/// How long it may take to answer. It may start first, and nobody is asked anything.
const PATIENCE: Duration = Duration::from_secs(20);

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
/// The collection people mean when they name none.
const DEFAULT_COLLECTION: &str = "/org/freedesktop/secrets/aliases/default";
/// What stands for no object.
const NONE: &str = "/";

/// A secret, wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// A place for small secrets under names.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret of this name; `None`: there is none.
    async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError>;

    /// Keeps a secret under this name, in place of one that is there.
    async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError>;
}

/// Why a secret cannot be read or kept, in plain words and with what to do. Never the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Secret Service cannot be used: {0}")]
pub struct SecretStoreError(pub String);

/// The Secret Service on a session bus.
#[derive(Clone, Debug)]
pub struct SecretService {
    address: BusAddress,
}

/// A secret as it travels: session, parameters, value, content type.
type Travelling = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

impl SecretService {
    /// The one on this bus. Connects with every call: calls are rare.
    pub fn new(address: BusAddress) -> Self {
        Self { address }
    }
}

#[async_trait]
impl SecretStore for SecretService {
    async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        in_time(async {
            let session = Session::open(&self.address).await?;
            session.read(name).await
        })
        .await
    }

    async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError> {
        in_time(async {
            let session = Session::open(&self.address).await?;
            session.write(name, secret).await
        })
        .await
    }
}

/// A conversation with it. Secrets are not encrypted on the bus (`plain`): whoever may listen there
/// may ask for them as well.
struct Session {
    bus: Bus,
    path: OwnedObjectPath,
}

impl Session {
    async fn open(address: &BusAddress) -> Result<Self, SecretStoreError> {
        let bus = Bus::for_calls(address).await.map_err(|error| {
            SecretStoreError(format!("the session bus cannot be reached: {error}"))
        })?;
        let asked = ("plain", Variant::from(""));
        let reply = call(&bus, PATH, SERVICE, "OpenSession", &asked).await?;
        let body = reply.body();
        let (_, path): (Variant<'_>, OwnedObjectPath) =
            body.deserialize().map_err(|_| misunderstood())?;
        Ok(Self { bus, path })
    }

    async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        let Some(item) = self.find(name).await? else {
            return Ok(None);
        };
        let reply = call(&self.bus, item.as_str(), ITEM, "GetSecret", &self.path).await?;
        let body = reply.body();
        let (secret,): (Travelling,) = body.deserialize().map_err(|_| misunderstood())?;
        let (_, _, value, _) = secret;
        Ok(Some(Secret::new(value)))
    }

    async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError> {
        self.unlock(DEFAULT_COLLECTION).await?;
        let properties = HashMap::from([
            (
                "org.freedesktop.Secret.Item.Label",
                Variant::from(format!("Keyward: {name}")),
            ),
            (
                "org.freedesktop.Secret.Item.Attributes",
                Variant::from(attributes(name)),
            ),
        ]);
        let kept = (&self.path, &[] as &[u8], secret, "application/octet-stream");
        let body = (properties, kept, true);
        let reply = call(
            &self.bus,
            DEFAULT_COLLECTION,
            COLLECTION,
            "CreateItem",
            &body,
        )
        .await?;
        let body = reply.body();
        let (item, _): (OwnedObjectPath, OwnedObjectPath) =
            body.deserialize().map_err(|_| misunderstood())?;
        if item.as_str() == NONE {
            return Err(locked());
        }
        Ok(())
    }

    /// The item of this name, unlocked.
    async fn find(&self, name: &str) -> Result<Option<OwnedObjectPath>, SecretStoreError> {
        let reply = call(&self.bus, PATH, SERVICE, "SearchItems", &attributes(name)).await?;
        let body = reply.body();
        let (unlocked, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            body.deserialize().map_err(|_| misunderstood())?;
        if let Some(item) = unlocked.into_iter().next() {
            return Ok(Some(item));
        }
        let Some(item) = locked.into_iter().next() else {
            return Ok(None);
        };
        self.unlock(item.as_str()).await?;
        Ok(Some(item))
    }

    /// Unlocks an object, if that takes nobody's password.
    async fn unlock(&self, path: &str) -> Result<(), SecretStoreError> {
        let object = ObjectPath::try_from(path).map_err(|_| misunderstood())?;
        let reply = call(&self.bus, PATH, SERVICE, "Unlock", &[object].as_slice()).await?;
        let body = reply.body();
        let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
            body.deserialize().map_err(|_| misunderstood())?;
        if prompt.as_str() == NONE {
            Ok(())
        } else {
            Err(locked())
        }
    }
}

fn attributes(name: &str) -> HashMap<&'static str, String> {
    HashMap::from([
        ("xdg:schema", "dev.keyward.Secret".to_owned()),
        ("name", name.to_owned()),
    ])
}

async fn call<B>(
    bus: &Bus,
    path: &str,
    interface: &'static str,
    method: &'static str,
    body: &B,
) -> Result<Message, SecretStoreError>
where
    B: serde::Serialize + DynamicType,
{
    bus.connection()
        .call_method(Some(NAME), path, Some(interface), method, body)
        .await
        .map_err(|error| SecretStoreError(format!("{method}: {error}")))
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, SecretStoreError>>,
) -> Result<T, SecretStoreError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(SecretStoreError(format!(
            "it did not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

fn locked() -> SecretStoreError {
    SecretStoreError("the keyring is locked: log in with its password, or unlock it".to_owned())
}

fn misunderstood() -> SecretStoreError {
    SecretStoreError("its answer cannot be understood".to_owned())
}
