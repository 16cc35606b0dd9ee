//! What is on the session bus, for `keyward doctor`.

use std::time::{Duration, Instant};

use zbus::{OwnedVariant, Variant};

use crate::address::BusAddress;
use crate::bus::{Bus, Owner};
use crate::names;

const PATIENCE: Duration = Duration::from_secs(5);
const SECRETS: &str = "org.freedesktop.secrets";
const LOGIN: &str = "/org/freedesktop/secrets/collection/login";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";

/// The session bus as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusReport {
    /// Microsoft's name.
    pub microsoft: NameReport,
    /// Our name.
    pub keyward: NameReport,
    /// Where Microsoft's runtime keeps its cache.
    pub secrets: Secrets,
}

/// One bus name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameReport {
    /// The name.
    pub name: &'static str,
    /// Who owns it.
    pub owner: Option<Owner>,
    /// Whether the bus would start somebody for it.
    pub activatable: bool,
    /// How long the owner took to answer a ping; `None`: it did not, or there is none.
    pub ping: Option<Duration>,
}

/// The Secret Service, without which Microsoft's runtime finds no accounts
/// (`linux-broker-dbus.md` 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Nobody owns `org.freedesktop.secrets`, and nobody would be started for it.
    Missing,
    /// It has no collection `login`.
    NoLogin,
    /// The collection `login` is locked.
    Locked,
    /// It is ready.
    Unlocked,
    /// It does not answer as it should.
    Broken(String),
}

/// Looks at the session bus. Starts nobody but the Secret Service.
///
/// # Errors
///
/// What keeps us from the bus, in plain words.
pub async fn inspect(address: &BusAddress) -> Result<BusReport, String> {
    let bus = Bus::for_calls(address)
        .await
        .map_err(|error| format!("the session bus cannot be reached: {error}"))?;
    let microsoft = names::microsoft::BUS_NAME;
    let keyward = names::keyward::BUS_NAME;
    Ok(BusReport {
        microsoft: name(&bus, microsoft, names::microsoft::PATH).await?,
        keyward: name(&bus, keyward, names::keyward::PATH).await?,
        secrets: secrets(&bus).await,
    })
}

/// Who owns both names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The owner of Microsoft's name.
    pub microsoft: Option<Owner>,
    /// The owner of ours.
    pub keyward: Option<Owner>,
}

/// Asks the bus who owns both names, and their owners nothing: they may hang.
///
/// # Errors
///
/// What keeps us from the bus, in plain words.
pub async fn owners(address: &BusAddress) -> Result<Owners, String> {
    let failed = |error: zbus::Error| format!("the bus does not say who owns a name: {error}");
    let bus = Bus::for_calls(address)
        .await
        .map_err(|error| format!("the session bus cannot be reached: {error}"))?;
    let microsoft = bus.owner(names::microsoft::BUS_NAME).await;
    let keyward = bus.owner(names::keyward::BUS_NAME).await;
    Ok(Owners {
        microsoft: microsoft.map_err(failed)?,
        keyward: keyward.map_err(failed)?,
    })
}

/// For which of both names the bus would start somebody. Starts nobody.
///
/// # Errors
///
/// What keeps us from the bus, in plain words.
pub async fn activatable(address: &BusAddress) -> Result<Vec<&'static str>, String> {
    let bus = Bus::for_calls(address)
        .await
        .map_err(|error| format!("the session bus cannot be reached: {error}"))?;
    let mut activatable = Vec::new();
    for name in [names::microsoft::BUS_NAME, names::keyward::BUS_NAME] {
        let is = bus.is_activatable(name).await;
        if is.map_err(|error| format!("the bus does not say whom it would start: {error}"))? {
            activatable.push(name);
        }
    }
    Ok(activatable)
}

async fn name(bus: &Bus, name: &'static str, path: &str) -> Result<NameReport, String> {
    let failed = |error: zbus::Error| format!("the bus does not say who owns {name}: {error}");
    let owner = bus.owner(name).await.map_err(failed)?;
    let ping = match &owner {
        Some(owner) => {
            let start = Instant::now();
            let answered = tokio::time::timeout(PATIENCE, bus.ping(&owner.unique_name, path));
            matches!(answered.await, Ok(Ok(()))).then(|| start.elapsed())
        }
        None => None,
    };
    Ok(NameReport {
        name,
        owner,
        activatable: bus.is_activatable(name).await.map_err(failed)?,
        ping,
    })
}

async fn secrets(bus: &Bus) -> Secrets {
    let offered = async {
        Ok::<_, zbus::Error>(
            bus.owner(SECRETS).await?.is_some() || bus.is_activatable(SECRETS).await?,
        )
    };
    match offered.await {
        Ok(true) => {}
        Ok(false) => return Secrets::Missing,
        Err(error) => return Secrets::Broken(error.to_string()),
    }
    let locked = bus.property(SECRETS, LOGIN, COLLECTION, "Locked");
    match tokio::time::timeout(PATIENCE, locked).await {
        Ok(Ok(locked)) => read_locked(&locked),
        Ok(Err(zbus::Error::MethodError(..) | zbus::Error::FDO(_))) => Secrets::NoLogin,
        Ok(Err(error)) => Secrets::Broken(error.to_string()),
        Err(_) => Secrets::Broken("it does not answer".to_owned()),
    }
}

fn read_locked(locked: &OwnedVariant) -> Secrets {
    match &**locked {
        Variant::Bool(true) => Secrets::Locked,
        Variant::Bool(false) => Secrets::Unlocked,
        _ => Secrets::Broken("its answer cannot be understood".to_owned()),
    }
}
