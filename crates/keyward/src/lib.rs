//! MSAL for Rust: sign in once; refresh tokens never leave the broker, and are bound to this
//! device wherever the authority can check it.
//!
//! Enabling the broker takes one line of configuration, as in `@azure/msal-node`:
//!
//! ```no_run
//! use keyward::{AuthOptions, BrokerOptions, Configuration};
//! use keyward::{InteractiveRequest, NativeBrokerPlugin, PublicClientApplication};
//!
//! # async fn example() -> Result<(), keyward::AcquireTokenError> {
//! let msal_config = Configuration {
//!     auth: AuthOptions {
//!         client_id: "your-client-id".into(),
//!         ..Default::default()
//!     },
//!     broker: BrokerOptions {
//!         native_broker_plugin: Some(NativeBrokerPlugin::new()),
//!     },
//!     ..Default::default()
//! };
//!
//! let pca = PublicClientApplication::new(msal_config)?;
//!
//! let result = pca
//!     .acquire_token_interactive(InteractiveRequest {
//!         scopes: ["User.Read"].into(),
//!         ..Default::default()
//!     })
//!     .await?;
//! println!("{} ({:?})", result.account.username, result.binding);
//! # Ok(())
//! # }
//! ```
//!
//! There is no fallback: a broker that is configured and fails is an error whose
//! [`kind`](AcquireTokenError::kind) says whose move it is, and without a broker plugin every
//! request is an error until flows without a broker exist.
//!
//! # Windows
//!
//! For a sign-in to be shown over the calling application, pass the application's window as
//! [`InteractiveRequest::window_handle`]. In a terminal a best effort is made to find it.
//!
//! # Where this differs from msal-node with Microsoft's plugin
//!
//! - [`SilentFlowRequest::force_refresh`] works with Keyward's broker.
//! - An answer for another account than the one asked for is
//!   [`ErrorKind::AccountSwitch`], never a result.
//! - Interactive requests have a deadline, and dropping their future cancels them.
//! - The sign-in is shown in the browser.
//! - Results say what ties the refresh token to this device
//!   ([`binding`](AuthenticationResult::binding)) and where that key lives
//!   ([`key_protection`](AuthenticationResult::key_protection)). Keyward's broker always says;
//!   somebody else's broker cannot, and both are `None`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod application;
mod configuration;
mod conversion;
pub mod diagnostics;
mod discovery;
mod plugin;
mod request;
mod resource;
mod right_user;
mod window;

pub use application::PublicClientApplication;
pub use configuration::{
    AuthOptions, BrokerOptions, Configuration, ConfigurationBuilder, DEFAULT_AUTHORITY,
    SystemOptions,
};
pub use discovery::WhichBroker;
pub use plugin::{BrokerAvailability, NativeBrokerPlugin};
pub use request::{
    AuthenticationScheme, InteractiveRequest, InteractiveRequestBuilder, SignOutRequest,
    SignOutRequestBuilder, SilentFlowRequest, SilentFlowRequestBuilder,
};
pub use window::WindowHandle;

pub use keyward_client::account::AccountInfo;
pub use keyward_client::audit;
pub use keyward_client::binding::{Binding, KeyProtection, RequiredBinding};
pub use keyward_client::error::{
    AcquireTokenError, AuthorityError, ErrorKind, ErrorRow, TABLE as ERROR_TABLE,
};
pub use keyward_client::manage;
pub use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
pub use keyward_client::oauth::scope::Scopes;
pub use keyward_client::oauth::secret::{AccessToken, IdTokenText};
pub use keyward_client::oauth::time::UnixTime;
pub use keyward_client::oauth::transport::UserAgent;
pub use keyward_client::ports::{AccountStatus, BrokerStatus, TokenBroker};
pub use keyward_client::request::{Demands, Prompt, ResourceRequest};
pub use keyward_client::result::{AuthenticationResult, TokenSource, TokenType};
pub use keyward_config::Environment;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
