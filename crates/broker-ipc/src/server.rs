//! The broker's end of the socket: `dev.keyward.Broker1`, peer to peer.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::UnixListener;

use crate::service::BrokerService;

/// How much one caller, and all of them together, may ask for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight for one connection, or for one caller on a bus behind it.
    pub per_caller: usize,
    /// Requests in flight altogether.
    pub total: usize,
    /// Open connections.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_caller: 64,
            total: 512,
            connections: 256,
        }
    }
}
