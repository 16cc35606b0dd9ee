//! Shows a person the authorize URL in the system browser and waits for the redirect on a
//! loopback address (RFC 8252 §7.3).
//!
//! It asks a person questions the same way: a page on a loopback address nobody else knows.
//!
//! Where a terminal is at hand, it asks there instead.
//!
//! This crate starts processes and listens on loopback; it sees the authorize URL and the
//! redirect with its code, which is useless without the PKCE verifier the broker keeps.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod browser;
mod launcher;
mod listener;
mod page;
mod question;
mod redirect_uri;
mod request;
mod shown;
mod terminal;

pub use browser::SystemBrowser;
pub use launcher::{InvalidCommand, Launcher};
pub use terminal::AtTerminal;
