//! Brokers elsewhere, as [`TokenBroker`](keyward_client::ports::TokenBroker)s.
//!
//! All of them are used inside a Tokio runtime, reconnect by themselves, and tell the broker when
//! the future of a call is dropped.

mod bus;
mod failure;
mod microsoft;
mod place;
mod socket;
mod typed;

pub use bus::BusBroker;
pub use microsoft::MicrosoftBroker;
pub use socket::{SocketBroker, SocketOptions, Starter};
