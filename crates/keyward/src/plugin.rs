//! The broker on this device, as an application sees it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use keyward_client::error::AcquireTokenError;
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::{BrokerStatus, TokenBroker};
use keyward_config::Environment;
use tokio::sync::OnceCell;

use crate::discovery::{self, Place, WhichBroker};

/// The broker on this device.
///
/// Which broker that is, is decided once, when it is first needed, and never changes for this
/// plugin and its clones: Keyward's socket, else Keyward's name on the session bus, else
/// whichever broker owns `com.microsoft.identity.broker1`. A broker that fails later is an error,
/// not a reason to try the next one.
///
/// ```no_run
/// # async fn example() {
/// let plugin = keyward::NativeBrokerPlugin::new();
/// let broker = plugin.is_broker_available().await;
/// if !broker.available {
///     eprintln!("no broker: {}", broker.reason);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct NativeBrokerPlugin(Arc<Inner>);

struct Inner {
    source: Source,
    chosen: OnceCell<Chosen>,
}

#[derive(Clone)]
enum Source {
    /// Look for one.
    Device {
        place: Place,
        user_agent: Option<Arc<dyn UserAgent>>,
    },
    /// The application brought one.
    Given(Arc<dyn TokenBroker>),
}

/// The broker that was decided on.
pub(crate) struct Chosen {
    pub(crate) broker: Arc<dyn TokenBroker>,
    pub(crate) which: WhichBroker,
}

impl NativeBrokerPlugin {
    /// The broker that is found when one is first needed. Does no I/O.
    ///
    /// ```
    /// let plugin = keyward::NativeBrokerPlugin::new();
    /// # let _ = plugin;
    /// ```
    pub fn new() -> Self {
        Self::at(Place::Process)
    }

    /// Only the broker at this socket.
    ///
    /// ```
    /// let plugin = keyward::NativeBrokerPlugin::at_socket("/run/user/1000/keyward/broker.sock");
    /// # let _ = plugin;
    /// ```
    pub fn at_socket(socket: impl Into<PathBuf>) -> Self {
        Self::at(Place::Socket(socket.into()))
    }

    /// The broker that is found where this environment says, instead of the process's own.
    ///
    /// ```
    /// use keyward::{Environment, NativeBrokerPlugin};
    ///
    /// let nowhere = NativeBrokerPlugin::in_environment(Environment::empty());
    /// # let _ = nowhere;
    /// ```
    pub fn in_environment(environment: Environment) -> Self {
        Self::at(Place::Environment(Box::new(environment)))
    }

    /// A broker of the application's own: one it embeds, or a fake in its tests.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use keyward::{NativeBrokerPlugin, TokenBroker};
    ///
    /// fn for_tests(broker: Arc<dyn TokenBroker>) -> NativeBrokerPlugin {
    ///     NativeBrokerPlugin::with_broker(broker)
    /// }
    /// ```
    pub fn with_broker(broker: Arc<dyn TokenBroker>) -> Self {
        Self::of(Source::Given(broker))
    }

    /// Offers Keyward's broker this user agent for the sign-ins this application asks for. Where it
    /// says that it cannot show them, keyward-session does. Other brokers show their own.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use keyward::{NativeBrokerPlugin, UserAgent};
    ///
    /// fn in_a_terminal(browser: Arc<dyn UserAgent>) -> NativeBrokerPlugin {
    ///     NativeBrokerPlugin::new().user_agent(browser)
    /// }
    /// ```
    #[must_use]
    pub fn user_agent(self, user_agent: Arc<dyn UserAgent>) -> Self {
        match &self.0.source {
            Source::Device { place, .. } => Self::of(Source::Device {
                place: place.clone(),
                user_agent: Some(user_agent),
            }),
            Source::Given(_) => self,
        }
    }

    /// Whether there is a broker, which one, and why not. Decides on one if there is.
    ///
    /// ```no_run
    /// # async fn example(plugin: keyward::NativeBrokerPlugin) {
    /// println!("{}", plugin.is_broker_available().await.reason);
    /// # }
    /// ```
    pub async fn is_broker_available(&self) -> BrokerAvailability {
        match self.chosen().await {
            Ok(chosen) => BrokerAvailability {
                available: true,
                reason: chosen.which.to_string(),
                which: Some(chosen.which.clone()),
            },
            Err(error) => BrokerAvailability {
                available: false,
                reason: error.message().to_owned(),
                which: None,
            },
        }
    }

    /// What the broker says about itself: what is bound to what, and what is wrong.
    ///
    /// ```no_run
    /// # async fn example(plugin: keyward::NativeBrokerPlugin) -> Result<(), keyward::AcquireTokenError> {
    /// for account in plugin.broker_status().await?.accounts {
    ///     println!("{}: {}", account.account.username, account.binding);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn broker_status(&self) -> Result<BrokerStatus, AcquireTokenError> {
        self.broker().await?.status().await
    }

    /// Sees or changes what the broker itself holds. Only Keyward's can be asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotSupported`](crate::ErrorKind) by somebody else's broker, and by one that is
    /// older than the request.
    ///
    /// ```no_run
    /// # async fn example(plugin: keyward::NativeBrokerPlugin) -> Result<(), keyward::AcquireTokenError> {
    /// use keyward::manage::{ManageAnswer, ManageRequest};
    ///
    /// if let ManageAnswer::Device(report) = plugin.manage(ManageRequest::Device).await? {
    ///     println!("new keys: {}", report.key_protection);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn manage(&self, request: ManageRequest) -> Result<ManageAnswer, AcquireTokenError> {
        self.broker().await?.manage(request).await
    }

    pub(crate) async fn broker(&self) -> Result<&dyn TokenBroker, AcquireTokenError> {
        Ok(&*self.chosen().await?.broker)
    }

    /// Absence is not a decision: while there is no broker, each request looks again.
    async fn chosen(&self) -> Result<&Chosen, AcquireTokenError> {
        self.0
            .chosen
            .get_or_try_init(|| async {
                match &self.0.source {
                    Source::Device { place, user_agent } => {
                        discovery::discover(place, user_agent.as_ref()).await
                    }
                    Source::Given(broker) => Ok(Chosen {
                        broker: Arc::clone(broker),
                        which: WhichBroker::Given,
                    }),
                }
            })
            .await
    }

    fn at(place: Place) -> Self {
        Self::of(Source::Device {
            place,
            user_agent: None,
        })
    }

    fn of(source: Source) -> Self {
        Self(Arc::new(Inner {
            source,
            chosen: OnceCell::new(),
        }))
    }
}

impl Default for NativeBrokerPlugin {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NativeBrokerPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = self.0.chosen.get().map(|chosen| &chosen.which);
        f.debug_struct("NativeBrokerPlugin")
            .field("which", &which)
            .finish_non_exhaustive()
    }
}

/// Whether there is a broker.
///
/// ```no_run
/// # async fn example(plugin: keyward::NativeBrokerPlugin) {
/// let keyward::BrokerAvailability { available, reason, which } =
///     plugin.is_broker_available().await;
/// # let _ = (available, reason, which);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAvailability {
    /// Whether requests can be made.
    pub available: bool,
    /// In plain words: which broker was found and how, or why there is none.
    pub reason: String,
    /// The broker that was decided on.
    pub which: Option<WhichBroker>,
}
