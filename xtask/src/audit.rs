//! `cargo xtask audit`: licences, bans and sources of all dependencies, by cargo-deny.

use crate::steps::{Failure, Outcome, cargo, in_path, must};

/// Runs cargo-deny with `deny.toml`. Advisories need its database from the internet and are not
/// part of this.
pub fn run() -> Outcome {
    if !in_path("cargo-deny") {
        return Err(Failure::new(
            "cargo-deny is not installed; `cargo install --locked cargo-deny@0.20.2` takes about \
             six minutes, then run `cargo xtask audit` again",
        ));
    }
    must(&mut cargo(&[
        "deny", "check", "licenses", "bans", "sources",
    ]))
}
