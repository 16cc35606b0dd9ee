//! What end-to-end tests and benchmarks stand on: a private login with its own session bus and
//! keyring, processes that are ended by their own id, a software TPM, a recording of the bus,
//! loopback HTTP, and the search for secrets in files, logs and the memory of processes.
//!
//! Everything is private to the test that asks for it, and everything is gone when it is dropped.
//! A kit for tests reports what is wrong by panicking with the reason and the logs.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

pub mod bus;
pub mod dialogue;
pub mod http;
pub mod keyring;
pub mod login;
pub mod memory;
pub mod other_broker;
pub mod private_key;
pub mod process;
pub mod recording;
pub mod root;
pub mod secrets;
pub mod tpm;
pub mod wait;

pub use bus::SessionBus;
pub use dialogue::Dialogue;
pub use keyring::Keyring;
pub use login::Login;
pub use other_broker::OtherBroker;
pub use process::Process;
pub use recording::Recording;
pub use secrets::Secrets;
pub use tpm::SoftwareTpm;
