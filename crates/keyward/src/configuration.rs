//! What an application says once, with MSAL's names.

use std::time::Duration;

use keyward_client::binding::{KeyProtection, RequiredBinding};
use keyward_client::request::Demands;

use crate::NativeBrokerPlugin;

/// The authority of requests that name none: any work, school or personal Microsoft account.
pub const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com/common";

/// Everything a [`PublicClientApplication`](crate::PublicClientApplication) is configured with.
///
/// ```
/// use keyward::{AuthOptions, BrokerOptions, Configuration, NativeBrokerPlugin};
///
/// let config = Configuration {
///     auth: AuthOptions {
///         client_id: "your-client-id".into(),
///         ..Default::default()
///     },
///     broker: BrokerOptions {
///         native_broker_plugin: Some(NativeBrokerPlugin::new()),
///     },
///     ..Default::default()
/// };
///
/// // The same, as a builder:
/// let config = Configuration::builder("your-client-id")
///     .native_broker_plugin(NativeBrokerPlugin::new())
///     .build();
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Which application this is, and which authority it trusts to sign people in.
    pub auth: AuthOptions,
    /// Who keeps the refresh tokens.
    pub broker: BrokerOptions,
    /// Limits.
    pub system: SystemOptions,
    /// What every token has to rest on. A request may demand more, never less.
    pub demands: Demands,
}

impl Configuration {
    /// A configuration for the application registered under `client_id`.
    pub fn builder(client_id: impl Into<String>) -> ConfigurationBuilder {
        let auth = AuthOptions {
            client_id: client_id.into(),
            ..AuthOptions::default()
        };
        ConfigurationBuilder(Self {
            auth,
            ..Self::default()
        })
    }
}

/// Which application this is, and which authority signs people in.
///
/// Which authorities are trusted is not said here: that is the broker's configuration
/// (`[[authority]]`), because an application must not be able to widen it.
///
/// ```
/// use keyward::AuthOptions;
///
/// let auth = AuthOptions {
///     client_id: "04b07795-8ddb-461a-bbee-02f9e1bf7b46".into(),
///     authority: "https://login.microsoftonline.com/organizations".into(),
/// };
/// # let _ = auth;
/// ```
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// The id the application is registered under at its authority.
    pub client_id: String,
    /// The authority of requests that name none. Default: [`DEFAULT_AUTHORITY`].
    pub authority: String,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            authority: DEFAULT_AUTHORITY.to_owned(),
        }
    }
}

/// Who keeps the refresh tokens.
///
/// ```
/// use keyward::{BrokerOptions, NativeBrokerPlugin};
///
/// let broker = BrokerOptions {
///     native_broker_plugin: Some(NativeBrokerPlugin::new()),
/// };
/// # let _ = broker;
/// ```
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    /// The broker on this device. With one, nothing ever falls back to another way of signing in.
    /// Without one every request is an error: flows without a broker do not exist yet.
    pub native_broker_plugin: Option<NativeBrokerPlugin>,
}

/// Limits.
///
/// ```
/// use std::time::Duration;
///
/// let system = keyward::SystemOptions {
///     deadline: Some(Duration::from_secs(120)),
/// };
/// # let _ = system;
/// ```
#[derive(Clone, Debug, Default)]
pub struct SystemOptions {
    /// How long a person may take to sign in, for requests that do not say. `None`: the broker's
    /// own limit, 285 s unless configured.
    pub deadline: Option<Duration>,
}

/// Builds a [`Configuration`].
///
/// ```
/// use keyward::{Configuration, NativeBrokerPlugin, PublicClientApplication};
///
/// # fn main() -> Result<(), keyward::AcquireTokenError> {
/// let config = Configuration::builder("your-client-id")
///     .authority("https://login.microsoftonline.com/organizations")
///     .native_broker_plugin(NativeBrokerPlugin::new())
///     .build();
/// let pca = PublicClientApplication::new(config)?;
/// # let _ = pca;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConfigurationBuilder(Configuration);

impl ConfigurationBuilder {
    /// Sets [`AuthOptions::authority`].
    #[must_use]
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.0.auth.authority = authority.into();
        self
    }

    /// Sets [`BrokerOptions::native_broker_plugin`].
    #[must_use]
    pub fn native_broker_plugin(mut self, plugin: NativeBrokerPlugin) -> Self {
        self.0.broker.native_broker_plugin = Some(plugin);
        self
    }

    /// Sets [`SystemOptions::deadline`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.0.system.deadline = Some(deadline);
        self
    }

    /// Sets [`Demands::binding`]: refuses every sign-in whose refresh token would not be bound to
    /// this device, before anybody sees it, and every token that rests on such a one.
    ///
    /// ```
    /// use keyward::{Configuration, KeyProtection, RequiredBinding};
    ///
    /// let config = Configuration::builder("your-client-id")
    ///     .require_binding(RequiredBinding::SenderConstrained)
    ///     .require_key_protection(KeyProtection::Tpm)
    ///     .build();
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn require_binding(mut self, binding: RequiredBinding) -> Self {
        self.0.demands.binding = Some(binding);
        self
    }

    /// Sets [`Demands::key_protection`]: the same for the place where the key of the binding lives.
    #[must_use]
    pub fn require_key_protection(mut self, key_protection: KeyProtection) -> Self {
        self.0.demands.key_protection = Some(key_protection);
        self
    }

    /// The configuration.
    pub fn build(self) -> Configuration {
        self.0
    }
}
