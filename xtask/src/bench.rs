//! `cargo xtask bench NAME [--json]`: benchmarks run in release mode, against the binaries that
//! ship.

use crate::steps::{Outcome, cargo, must};

/// Builds what is measured, then runs `keyward-bench` with these arguments. Cargo reports on
/// stderr, so with `--json` stdout carries the result alone.
pub fn run(arguments: &[String]) -> Outcome {
    must(&mut cargo(&[
        "build",
        "--release",
        "--package=keyward-broker",
        "--package=keyward-session",
        "--package=keyward-dev",
    ]))?;
    let run = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "keyward-bench",
        "--bin",
        "keyward-bench",
        "--",
    ];
    must(cargo(&run).args(arguments))
}
