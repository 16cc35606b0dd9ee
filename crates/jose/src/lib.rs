//! JSON Object Signing and Encryption: what a broker needs of it and nothing more.
//!
//! JWS in its compact form (RFC 7515), JWK and JWK Sets with public keys only (RFC 7517), a closed
//! list of algorithms (RFC 7518), JWT claims and their time checks (RFC 7519), thumbprints
//! (RFC 7638).
//!
//! Nothing here reads a clock, draws randomness or touches files or sockets. Signing is split:
//! [`jws::Unsigned`] gives the octets to sign and takes the signature, so a key may live in a file,
//! in a TPM or behind an asynchronous call. Verification leaves a type behind: only
//! [`jws::Verified`] shows a payload without saying `unverified`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod algorithm;
pub mod base64url;
pub mod constant_time;
pub mod digest;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod signer;
pub mod time;

#[cfg(test)]
mod test_keys;

pub use algorithm::Algorithm;
pub use jwk::{Jwk, JwkSet, Thumbprint};
pub use signer::{Signer, SignerError};
