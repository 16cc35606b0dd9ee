//! Every name of both contracts: bus names, object paths, interfaces, error names.

/// Microsoft's broker contract on the session bus (`linux-broker-dbus.md` 1).
pub mod microsoft {
    /// The well-known bus name clients look for.
    pub const BUS_NAME: &str = "com.microsoft.identity.broker1";
    /// The one object.
    pub const PATH: &str = "/com/microsoft/identity/broker1";
    /// The interface; mind the capital B.
    pub const INTERFACE: &str = "com.microsoft.identity.Broker1";
    /// The protocol version clients send.
    pub const PROTOCOL_VERSION: &str = "0.0";
}

/// Our typed contract, on the broker's socket and on the session bus.
pub mod keyward {
    /// The well-known bus name.
    pub const BUS_NAME: &str = "dev.keyward.Broker";
    /// The broker's object.
    pub const PATH: &str = "/dev/keyward/Broker1";
    /// The broker's interface.
    pub const INTERFACE: &str = "dev.keyward.Broker1";
    /// The object a user agent serves at its end of a connection to the broker.
    pub const USER_AGENT_PATH: &str = "/dev/keyward/UserAgent1";
    /// The user agent's interface.
    pub const USER_AGENT_INTERFACE: &str = "dev.keyward.UserAgent1";
    /// What comes before a user agent's `Canceled`, `Unavailable` and `Listen`.
    pub const USER_AGENT_ERROR_PREFIX: &str = "dev.keyward.UserAgent1.Error.";
    /// What comes before the kind in an error's name.
    pub const ERROR_PREFIX: &str = "dev.keyward.Error.";
}

/// The largest message payload that is looked at: 1 MiB.
pub const MAX_PAYLOAD: usize = 1024 * 1024;
