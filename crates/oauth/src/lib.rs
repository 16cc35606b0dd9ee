//! OAuth 2.0 and OpenID Connect as values and state machines.
//!
//! Nothing here awaits, reads a clock, draws randomness or touches the environment: time and
//! random bytes come in as arguments, requests and verdicts go out (invariant 1 of
//! `ARCHITECTURE.md`). The only traits are the two channels of [`transport`], which adapters
//! implement.
//!
//! A sign-in reads like RFC 6749 §4.1: [`authorization_code::start`] gives the URL to show and a
//! [`Pending`](authorization_code::Pending); the redirect turns that into an
//! [`Exchange`](authorization_code::Exchange), whose request is sent; [`token_response::read`]
//! reads the answer, and [`UnverifiedIdToken::verify`](id_token::UnverifiedIdToken::verify) says
//! who signed in. Requests carry a [`dpop`] proof where the authority binds tokens to keys.

// `uid` and `utid` are Entra's names.
#![allow(clippy::similar_names)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod answer;
pub mod authorization_code;
pub mod claims;
pub mod client_info;
pub mod dpop;
pub mod error_response;
pub mod http_date;
pub mod id_token;
pub mod identifiers;
pub mod issuer;
pub mod metadata;
pub mod pkce;
pub mod question;
pub mod refresh_token;
pub mod revocation;
pub mod scope;
pub mod secret;
pub mod shr;
pub mod time;
pub mod token_request;
pub mod token_response;
pub mod transport;

mod form;

#[cfg(test)]
mod test_fixtures;

pub use keyward_jose as jose;
