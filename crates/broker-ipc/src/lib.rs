//! The D-Bus contracts of the broker, and the only crate that speaks D-Bus.
//!
//! [`service`] is what the broker implements and [`server`] offers on its socket.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod names;
pub mod server;
pub mod service;
