//! The development authority: an Entra-shaped tenant and an OpenID tenant with DPoP, in one
//! process, on loopback, for developing and testing without the internet.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use keyward_dev_authority::Authority;
//!
//! let authority = Authority::builder().port(0).start().await?;
//! println!("{}", authority.announcement());
//! authority.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! **Tenants.** The Entra-shaped one, [`ENTRA_TENANT`], also as `common`, `organizations` and
//! [`ENTRA_DOMAIN`]; the OpenID one at `/oidc`, whose metadata is also at the GUID derived from its
//! issuer. Every URL in an answer is on the origin the request came to, and a token minted under
//! one spelling of loopback is good under all. **TLS** is spoken on the same port, with a
//! certificate of its own ([`Running::certificate`]), for clients that refuse anything else. **Users**: [`users`]; every password is `pw`.
//! **Clients**: any GUID, with native redirect URIs and any scope, unless
//! [`Builder::strict_clients`] says otherwise. **Family tokens** (`foci`) go to Microsoft's own
//! first-party clients and to whoever asks for the scope `urn:keyward:foci`. **API**: `/api/me`
//! takes Bearer, DPoP and PoP. **Faults**: [`faults`]; over HTTP they are scripted at `/admin`,
//! with the token only the starter has. **Pages**: [`pages`] and [`scripted`].
//!
//! **Rotation** in the OpenID tenant: the key of the proof is checked first; a token that was
//! rotated away, shown with the right key, revokes its family; except that the token used last may
//! be used again until a successor of it was used, because a client may die between rotation and
//! storage. In the Entra-shaped tenant old refresh tokens stay good.
//!
//! Nothing is written to disk. It listens on 127.0.0.1 and \[::1\] only and answers to no other
//! name. It opens no connection.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod admin;
mod api;
mod builder;
mod calendar;
mod call;
mod clients;
mod clock;
mod dispatch;
mod dpop;
mod ending;
mod entra;
mod expiring;
pub mod faults;
mod grants;
mod keys;
mod listen;
mod locked;
mod nonces;
mod oidc;
mod origin;
pub mod pages;
mod params;
mod random;
mod replays;
mod reply;
mod request_log;
mod route;
pub mod scripted;
mod secrecy;
mod server;
mod settings;
mod shr;
mod signin;
mod state;
mod subject;
mod tenant;
mod tls;
mod tokens;
pub mod users;

pub use builder::{Authority, Builder};
pub use clients::StrictClient;
pub use clock::{Clock, ManualClock, SystemClock};
pub use faults::{Endpoint, Fault, FaultRule, InvalidFault, Match};
pub use grants::refresh::issued::IssuedRefreshToken;
pub use keys::KeptKeys;
pub use request_log::LogEntry;
pub use server::{Running, Stopped};
pub use settings::OidcMode;
pub use tenant::{ENTRA_DOMAIN, ENTRA_TENANT, Tenant};
