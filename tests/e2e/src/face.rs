//! `com.microsoft.identity.broker1`, called as Microsoft's clients call it: JSON in, JSON out.

use keyward_testkit::bus::{Caller, Destination, Error};
use serde_json::{Value, json};

use crate::stack::{MICROSOFT_NAME, Stack};

/// A client of the JSON protocol.
pub struct Face {
    caller: Caller,
}

/// A correlation id as clients send it.
const CORRELATION_ID: &str = "3f6f2c1a-3d0e-4d4f-9b0f-7a8b9c0d1e2f";

impl Face {
    /// Connects to the bus.
    pub fn connect(stack: &Stack) -> Self {
        Self {
            caller: stack.bus.connect(),
        }
    }

    /// Connects to the bus at this address, if there is one.
    pub fn at(address: &str) -> Option<Self> {
        let caller = Caller::try_bus(address).ok()?;
        Some(Self { caller })
    }

    /// Asks whether anybody is there, as Microsoft's runtime does when it is loaded.
    pub fn ping(&self) -> bool {
        let peer = Destination {
            interface: "org.freedesktop.DBus.Peer",
            ..BROKER
        };
        self.caller.call(peer, "Ping", &()).is_ok()
    }

    /// Calls a method with a request; the answer is a JSON object, whatever went wrong.
    pub fn ask(&self, method: &str, request: &Value) -> Value {
        let text = self
            .raw(method, &request.to_string())
            .unwrap_or_else(|error| panic!("{method} answered a D-Bus error: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }

    /// Calls a method with any text.
    ///
    /// # Errors
    ///
    /// A D-Bus error.
    pub fn raw(&self, method: &str, request: &str) -> Result<String, Error> {
        let body = ("0.0", CORRELATION_ID, request);
        let answer = self.caller.call(BROKER, method, &body)?;
        answer.body().deserialize()
    }

    /// The connection.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// Where the broker is.
pub const BROKER: Destination<'static> = Destination {
    name: Some(MICROSOFT_NAME),
    path: "/com/microsoft/identity/broker1",
    interface: "com.microsoft.identity.Broker1",
};

/// A token request as Microsoft's runtime sends it.
pub fn token_request(client_id: &str, authority: &str, account: &Value, kind: u32) -> Value {
    json!({"authParameters": {
        "accessTokenToRenew": "",
        "account": account,
        "additionalQueryParametersForAuthorization": {"x-client-xtra-sku": "|,|0.20.7,|,|,|12.0.2"},
        "authority": authority,
        "authorizationType": kind,
        "clientId": client_id,
        "decodedClaims": "",
        "enrollmentId": "",
        "isTestMode": false,
        "password": "",
        "popParams": null,
        "redirectUri": "https://login.microsoftonline.com/common/oauth2/nativeclient",
        "requestedScopes": ["User.Read"],
        "username": account["username"].as_str().unwrap_or_default(),
        "uxContextHandle": -1,
    }})
}

/// The error in an answer, in either of the places where it may stand.
pub fn error_of(answer: &Value) -> Option<&Value> {
    let places = [&answer["error"], &answer["brokerTokenResponse"]["error"]];
    places.into_iter().find(|error| error.is_object())
}
