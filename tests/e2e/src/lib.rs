//! What the end-to-end tests stand on: a private login with the development authority, the
//! programs that ship, and unmodified clients; started, watched and ended by the tests alone.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

pub mod authority;
pub mod browser;
pub mod cli;
pub mod elsewhere;
pub mod face;
pub mod heist;
pub mod machine;
pub mod msal;
pub mod msal_python;
pub mod person;
pub mod private_session;
pub mod programs;
pub mod provider;
pub mod stack;
pub mod thief;
pub mod token_thief;
pub mod typed;
pub mod verdict;

pub use authority::TestAuthority;
pub use elsewhere::Elsewhere;
pub use msal::Msal;
pub use msal_python::MsalPython;
pub use person::Person;
pub use stack::{Stack, Tenant, on_both_tenants};
pub use token_thief::TokenThief;
pub use typed::Typed;

use std::time::Duration;

use base64::Engine as _;

/// An application of the tests: any GUID is a client of the development authority.
pub const CLIENT: &str = "6d1f0c3e-58a2-4b7e-9a41-0d2c4b6e8f10";

/// Another application.
pub const OTHER_CLIENT: &str = "b8a5e2d4-7c19-4f60-8e33-5a9b1c7d2e4f";

/// The user who signs in unless a test says otherwise.
pub const ALICE: &str = "alice@dev.test";

/// Another user.
pub const BOB: &str = "bob@dev.test";

/// Longer than anything takes that goes well, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Decodes a part of a JWT.
pub fn base64url(text: &str) -> Vec<u8> {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(text).expect("base64url without padding")
}

/// The header of a JWT.
pub fn header(jwt: &str) -> serde_json::Value {
    part(jwt, 0)
}

/// The payload of a JWT, unverified.
pub fn payload(jwt: &str) -> serde_json::Value {
    part(jwt, 1)
}

fn part(jwt: &str, number: usize) -> serde_json::Value {
    let part = jwt.split('.').nth(number);
    let part = base64url(part.expect("a JWT has a header and a payload"));
    serde_json::from_slice(&part).expect("it is JSON")
}
