//! The authority over its own HTTP interface, as clients, browsers and thieves see it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod api;
mod api_dpop;
mod api_pop;
mod app;
mod browser;
mod device;
mod dpop;
mod entra;
mod entra_errors;
mod faults;
mod faulty_grants;
mod key;
mod metadata;
mod oidc;
mod oidc_endpoints;
mod pages;
mod prompts;
mod rotation;
mod server;
mod strict;
mod tls;
