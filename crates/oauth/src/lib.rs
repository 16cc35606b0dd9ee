//! OAuth 2.0 and OpenID Connect as values and state machines.
//!
//! Nothing here awaits, reads a clock, draws randomness or touches the environment: time and
//! random bytes come in as arguments, requests and verdicts go out (invariant 1 of
//! `ARCHITECTURE.md`). The only traits are the two channels of [`transport`], which adapters
//! implement.

pub mod identifiers;
pub mod scope;
pub mod secret;
pub mod time;
pub mod transport;

pub use keyward_jose as jose;
