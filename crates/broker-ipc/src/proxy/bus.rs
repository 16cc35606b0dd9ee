//! Our broker behind its name on the session bus: keyward-session passes requests on.

use keyward_client::error::{AcquireTokenError, ErrorKind};

use crate::address::BusAddress;
use crate::bus::Bus;
use crate::names::keyward::BUS_NAME;
use crate::reconnect::{Opened, Reconnecting};

use super::typed::{Typed, typed_broker};

/// `dev.keyward.Broker` on a bus.
pub struct BusBroker {
    typed: Typed,
}

impl BusBroker {
    /// A proxy; connects with the first call.
    pub fn new(address: BusAddress) -> Self {
        Self {
            typed: Typed::new(reconnecting(address), Some(BUS_NAME)),
        }
    }
}

typed_broker!(BusBroker);

/// A connection to a bus, for calls only.
pub(super) fn reconnecting(address: BusAddress) -> Reconnecting {
    Reconnecting::new(move || {
        let address = address.clone();
        Box::pin(async move {
            let bus = Bus::for_calls(&address).await.map_err(|error| {
                AcquireTokenError::new(
                    ErrorKind::BrokerUnavailable,
                    format!("the session bus cannot be reached: {error}"),
                )
            })?;
            Ok(Opened {
                connection: bus.connection().clone(),
                _serving: None,
            })
        })
    })
}
