//! The paths to the broker: each has a hit, and the ping that is its floor.

use std::os::unix::net::UnixStream;

use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::names::{keyward, microsoft};
use keyward_broker_ipc::proxy::{BusBroker, SocketBroker};
use keyward_client::ports::TokenBroker as _;
use keyward_client::request::{CachePolicy, SilentRequest};
use serde_json::{Value, json};
use zbus::Connection;
use zbus::connection::Builder;

use crate::world::{Failure, World};

/// One caller on one path.
pub struct Peer {
    ping: Ping,
    hit: Hit,
}

/// `org.freedesktop.DBus.Peer.Ping`, answered by the process at the end of the path.
struct Ping {
    connection: Connection,
    destination: Option<&'static str>,
    path: &'static str,
}

enum Hit {
    Socket(SocketBroker, Box<SilentRequest>),
    Bus(BusBroker, Box<SilentRequest>),
    Microsoft(Connection, String),
}

/// The three paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// keywardd's socket.
    Socket,
    /// `dev.keyward.Broker` on the bus.
    KeywardBus,
    /// `com.microsoft.identity.broker1` on the bus.
    MicrosoftBus,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Socket, Self::KeywardBus, Self::MicrosoftBus];

    /// Its name in the table, and that of its floor.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Socket => ("socket/hit", "Peer.Ping of keywardd, socket"),
            Self::KeywardBus => ("bus/keyward/hit", "Peer.Ping of keyward-session, bus"),
            Self::MicrosoftBus => ("bus/microsoft/hit", "Peer.Ping of keyward-session, bus"),
        }
    }

    /// The ratio to reach.
    pub const fn reach(self) -> f64 {
        match self {
            Self::Socket => 1.5,
            Self::KeywardBus | Self::MicrosoftBus => 2.5,
        }
    }
}

impl Peer {
    /// A caller with connections of its own.
    pub async fn connect(world: &World, path: Path) -> Result<Self, Failure> {
        let request = Box::new(world.silent_request(0, CachePolicy::UseCache));
        let peer = match path {
            Path::Socket => {
                let stream = UnixStream::connect(world.place.socket())?;
                let connection = Builder::unix_stream(stream).p2p().build().await?;
                let ping = Ping {
                    connection,
                    destination: None,
                    path: keyward::PATH,
                };
                Self {
                    ping,
                    hit: Hit::Socket(world.socket_broker(), request),
                }
            }
            Path::KeywardBus => {
                let connection = Builder::address(world.bus.address()).build().await?;
                let destination = Some(keyward::BUS_NAME);
                let ping = Ping {
                    connection,
                    destination,
                    path: keyward::PATH,
                };
                let broker = BusBroker::new(BusAddress::parse(world.bus.address(), None)?);
                Self {
                    ping,
                    hit: Hit::Bus(broker, request),
                }
            }
            Path::MicrosoftBus => {
                let connection = Builder::address(world.bus.address()).build().await?;
                let destination = Some(microsoft::BUS_NAME);
                let ping = Ping {
                    connection: connection.clone(),
                    destination,
                    path: microsoft::PATH,
                };
                Self {
                    ping,
                    hit: Hit::Microsoft(connection, microsoft_request(world)),
                }
            }
        };
        // The first calls connect and ask the bus who calls.
        peer.ping().await?;
        peer.hit().await?;
        Ok(peer)
    }

    /// The floor.
    pub async fn ping(&self) -> Result<(), Failure> {
        let Ping {
            connection,
            destination,
            path,
        } = &self.ping;
        let interface = Some("org.freedesktop.DBus.Peer");
        connection
            .call_method(*destination, *path, interface, "Ping", &())
            .await?;
        Ok(())
    }

    /// A silent hit.
    pub async fn hit(&self) -> Result<(), Failure> {
        match &self.hit {
            Hit::Socket(broker, request) => {
                broker.acquire_token_silent((**request).clone()).await?;
            }
            Hit::Bus(broker, request) => {
                broker.acquire_token_silent((**request).clone()).await?;
            }
            Hit::Microsoft(connection, request) => {
                let reply = connection
                    .call_method(
                        Some(microsoft::BUS_NAME),
                        microsoft::PATH,
                        Some(microsoft::INTERFACE),
                        "acquireTokenSilently",
                        &(
                            microsoft::PROTOCOL_VERSION,
                            CORRELATION_ID,
                            request.as_str(),
                        ),
                    )
                    .await?;
                let body = reply.body();
                let answer: &str = body.deserialize()?;
                if !answer.contains("\"accessToken\"") {
                    return Err(format!("the broker gave no token: {answer}").into());
                }
            }
        }
        Ok(())
    }
}

const CORRELATION_ID: &str = "2ca47dbe-0b3c-4a1e-9a68-5d2b7b1f6c11";

/// A silent request as Microsoft's runtime sends it.
fn microsoft_request(world: &World) -> String {
    let account = &world.accounts[0];
    let request: Value = json!({"authParameters": {
        "accessTokenToRenew": "",
        "account": {
            "environment": account.environment,
            "homeAccountId": account.home_account_id.as_str(),
            "localAccountId": account.local_account_id,
            "realm": account.tenant_id,
            "username": account.username,
        },
        "additionalQueryParametersForAuthorization": {},
        "authority": world.authority_uri(),
        "authorizationType": 1,
        "clientId": keyward_dev::session::CLIENT_ID,
        "decodedClaims": "",
        "enrollmentId": "",
        "isTestMode": false,
        "password": "",
        "popParams": null,
        "redirectUri": "https://login.microsoftonline.com/common/oauth2/nativeclient",
        "requestedScopes": ["demo.read"],
        "username": account.username,
        "uxContextHandle": -1,
    }});
    request.to_string()
}
