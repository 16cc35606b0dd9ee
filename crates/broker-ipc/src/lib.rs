//! The D-Bus contracts of the broker, and the only crate that speaks D-Bus.
//!
//! [`service`] is what the broker implements and [`server`] offers on its socket.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agent;
mod broker1;
mod dispatch;
mod guard;
mod in_flight;
mod link;
pub mod names;
mod sasl;
pub mod server;
pub mod service;
mod wire;

pub use agent::AgentScope;
