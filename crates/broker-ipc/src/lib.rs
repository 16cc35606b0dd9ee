//! The D-Bus contracts of the broker, and the only crate that speaks D-Bus.
//!
//! * The broker implements [`service::BrokerService`] and serves it with [`server::serve`] on its
//!   socket.
//! * keyward-session serves the same trait, passing requests on, with [`faces::Faces`] on the
//!   session bus: our typed interface and Microsoft's.
//! * Applications find a broker with [`discovery::connect`] and use it as a
//!   [`TokenBroker`](keyward_client::ports::TokenBroker); the [`proxy`] module has one for each
//!   kind of broker.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod address;
mod agent;
mod broker1;
mod bus;
pub mod diagnostics;
pub mod discovery;
mod dispatch;
pub mod faces;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod in_flight;
mod json;
mod link;
mod microsoft;
pub mod names;
pub mod program;
pub mod proxy;
mod quiet;
pub mod rate;
mod reconnect;
mod sasl;
pub mod secret_service;
pub mod server;
pub mod service;
mod share;
mod wire;

pub use agent::AgentScope;
pub use bus::Owner;
/// The vocabulary of requests and answers, for crates that only pass them on.
pub use keyward_client as client;
pub use link::lock_of;
