//! The back channel over reqwest and rustls: the only code that opens outbound connections.
//!
//! One request, one answer: no redirects, no retries, a deadline, a bounded answer. Plain http
//! reaches loopback only. Proxies of the environment are honoured, but never for loopback.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod client;
mod failure;
mod route;

pub use client::{Client, DEADLINE, LARGEST_ANSWER};
