//! keywardd: the holder of refresh tokens and keys.
//!
//! It listens on one Unix socket, executes nothing, opens no screen and joins no bus. Start-up
//! goes: read, open, restrict, serve (`run.rs`).
//! Whatever cannot be read or opened is an answer to callers, not the end: they get it as a typed
//! error, and it is tried again when they ask again.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod activation;
mod args;
mod audit;
mod authorities;
mod decision;
mod device_keys;
mod durable;
mod engine_ports;
mod holdings;
mod log;
mod manage;
mod opened;
mod opening;
mod outcome;
mod pin;
mod policy;
mod process;
mod providers;
mod rebind;
mod requirements;
mod run;
mod sandbox;
mod serve;
mod service;
mod socket;
mod users;
mod vault_care;
mod vault_keys;
mod wrapping_key;

pub use args::Options;
pub use run::{StartupError, main, run};
