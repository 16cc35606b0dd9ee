//! A small world for the tests of the flows: an authority that speaks real JSON and checks what it
//! is sent, a vault and keys in memory, a clock that stands still, a person who signs in.

// The device draws its keys itself.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod agent;
pub mod authority;
pub mod device;
pub mod world;

pub use agent::{Agent, Person};
pub use authority::{Authority, Binds, Fault, Rehearsal};
pub use world::World;
