//! The token engine: accounts, token cache, silent and interactive acquisition.
//!
//! The broker and applications run this same engine with other adapters plugged into its
//! [`ports`]. It knows neither D-Bus nor TPM, opens no socket and no file, and reads no clock.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod account;
pub mod audit;
pub mod authority;
pub mod binding;
pub mod error;
pub mod manage;
pub mod ports;
pub mod request;
pub mod result;

mod accounts;
mod acquisition;
mod authority_metadata;
mod binding_probe;
mod bound;
mod cache;
mod demands;
mod engine;
mod failure;
mod grant_proof;
mod identity;
mod interactive;
mod nonces;
mod pin;
mod proof;
mod rebind;
mod renewal;
mod settle;
mod sign_out;
mod silent;
mod single_flight;
mod throttle;
mod turns;
mod vault;

#[cfg(test)]
mod testing;

pub use demands::Demanded;
pub use engine::{Engine, Settings};
pub use interactive::{Attention, PromptGate, PromptKind, PromptStatus};
pub use keyward_oauth as oauth;
