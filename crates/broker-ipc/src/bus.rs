//! A connection to a message bus, and the few methods of the bus itself that are used
//! (D-Bus Specification, "Message Bus Messages").

use std::collections::HashMap;
use std::io;

use serde::Serialize;
use zbus::message::Message;
use zbus::{Connection, DynamicType, MessageStream, OwnedVariant, Variant};

use crate::address::BusAddress;
use crate::link;

const NAME: &str = "org.freedesktop.DBus";
const PATH: &str = "/org/freedesktop/DBus";

/// `RequestName`: replace an owner that allows it.
const REPLACE_EXISTING: u32 = 2;
/// `RequestName`: do not wait in a queue.
const DO_NOT_QUEUE: u32 = 4;
const PRIMARY_OWNER: u32 = 1;
const ALREADY_OWNER: u32 = 4;

/// From whom a name may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// From nobody.
    Free,
    /// From an owner that lets itself be replaced.
    Replaceable,
}

/// Us on a bus.
#[derive(Clone, Debug)]
pub(crate) struct Bus(Connection);

/// Who a name on the bus belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its unique name.
    pub unique_name: String,
    /// Its user, as the bus says.
    pub uid: Option<u32>,
    /// Its process, as the bus says.
    pub pid: Option<u32>,
}

impl Bus {
    /// Joins a bus. The stream has every message that comes in, from the first one.
    pub(crate) async fn join(address: &BusAddress) -> io::Result<(Self, MessageStream)> {
        let uid = rustix::process::getuid().as_raw();
        let incoming = link::join(address.connect().await?, uid).await?;
        let bus = Self(Connection::from(&incoming));
        let hello = bus.call("Hello", &()).await.map_err(io::Error::other)?;
        let name: String = hello.body().deserialize().map_err(io::Error::other)?;
        bus.0.set_unique_name(name).map_err(io::Error::other)?;
        Ok((bus, incoming))
    }

    /// Joins a bus to make calls. What else comes in is dropped: messages nobody takes out of the
    /// stream would stop the answers behind them.
    pub(crate) async fn for_calls(address: &BusAddress) -> io::Result<Self> {
        Self::join(address).await.map(|(bus, _)| bus)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Asks for a name. `false`: somebody else has it.
    pub(crate) async fn own(&self, name: &str, taking: Taking) -> zbus::Result<bool> {
        let flags = match taking {
            Taking::Free => DO_NOT_QUEUE,
            Taking::Replaceable => DO_NOT_QUEUE | REPLACE_EXISTING,
        };
        let reply = self.call("RequestName", &(name, flags)).await?;
        let answer: u32 = reply.body().deserialize()?;
        Ok(matches!(answer, PRIMARY_OWNER | ALREADY_OWNER))
    }

    /// Asks to be told whenever a connection leaves the bus.
    pub(crate) async fn watch_departures(&self) -> zbus::Result<()> {
        let rule = "type='signal',sender='org.freedesktop.DBus',\
                    interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''";
        self.call("AddMatch", &rule).await.map(drop)
    }

    /// Who owns a name, if anybody does.
    pub(crate) async fn owner(&self, name: &str) -> zbus::Result<Option<Owner>> {
        let unique_name: String = match self.call("GetNameOwner", &name).await {
            Ok(reply) => reply.body().deserialize()?,
            Err(error) if has_no_owner(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (uid, pid) = match self.credentials(&unique_name).await {
            Ok(credentials) => credentials,
            Err(error) if has_no_owner(&error) => return Ok(None),
            Err(_) => (None, None),
        };
        Ok(Some(Owner {
            unique_name,
            uid,
            pid,
        }))
    }

    /// The user and the process behind a name.
    pub(crate) async fn credentials(&self, name: &str) -> zbus::Result<(Option<u32>, Option<u32>)> {
        let reply = self.call("GetConnectionCredentials", &name).await?;
        let body = reply.body();
        let credentials: HashMap<&str, Variant<'_>> = body.deserialize()?;
        let number = |key| match credentials.get(key) {
            Some(Variant::U32(number)) => Some(*number),
            _ => None,
        };
        Ok((number("UnixUserID"), number("ProcessID")))
    }

    /// Whether the bus would start somebody for a name.
    pub(crate) async fn is_activatable(&self, name: &str) -> zbus::Result<bool> {
        let reply = self.call("ListActivatableNames", &()).await?;
        let body = reply.body();
        let names: Vec<&str> = body.deserialize()?;
        Ok(names.contains(&name))
    }

    /// Whether the owner of a name answers.
    pub(crate) async fn ping(&self, name: &str, path: &str) -> zbus::Result<()> {
        self.0
            .call_method(
                Some(name),
                path,
                Some("org.freedesktop.DBus.Peer"),
                "Ping",
                &(),
            )
            .await
            .map(drop)
    }

    /// A property of an object of a service on the bus.
    pub(crate) async fn property(
        &self,
        service: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> zbus::Result<OwnedVariant> {
        self.0
            .call_method(
                Some(service),
                path,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &(interface, name),
            )
            .await?
            .body()
            .deserialize()
    }

    async fn call<B>(&self, method: &'static str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        self.0
            .call_method(Some(NAME), PATH, Some(NAME), method, body)
            .await
    }
}

/// The unique name that left, if this is the signal that says so.
pub(crate) fn departed(signal: &Message) -> Option<String> {
    let header = signal.header();
    if header.member()?.as_str() != "NameOwnerChanged" || header.sender()?.as_str() != NAME {
        return None;
    }
    let body = signal.body();
    let (name, _, new_owner): (&str, &str, &str) = body.deserialize().ok()?;
    (name.starts_with(':') && new_owner.is_empty()).then(|| name.to_owned())
}

pub(crate) fn has_no_owner(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::FDO(error) => matches!(
            **error,
            zbus::fdo::Error::NameHasNoOwner(_) | zbus::fdo::Error::ServiceUnknown(_)
        ),
        _ => false,
    }
}
