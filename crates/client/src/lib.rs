//! The token engine: accounts, token cache, silent and interactive acquisition.
//!
//! The broker and applications run this same engine with other adapters plugged into its
//! [`ports`]. It knows neither D-Bus nor TPM, opens no socket and no file, and reads no clock.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod account;
pub mod authority;
pub mod binding;
mod cache;
pub mod error;
pub mod ports;
pub mod request;
pub mod result;

pub use keyward_oauth as oauth;
