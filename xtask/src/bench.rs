//! `cargo xtask bench NAME [--json]`: benchmarks run in release mode, against the binaries that
//! ship.

use crate::steps::{Outcome, cargo, must};

/// Builds what is measured, then runs `keyward-bench` with these arguments. Cargo reports on
/// stderr, so with `--json` stdout carries the result alone.
pub fn run(arguments: &[String]) -> Outcome {
    let mut build = cargo(&[
        "build",
        "--release",
        "--package=keyward-broker",
        "--package=keyward-session",
        "--package=keyward-dev",
    ]);
    let mut run = cargo(&["run", "--quiet", "--release", "--package", "keyward-bench"]);
    // Only this one needs libtss2-dev.
    if arguments.iter().any(|argument| argument == "tpm") {
        build.args(["--features", "keyward-broker/tpm,keyward-dev/tpm"]);
        run.args(["--features", "tpm"]);
        // The library under it reports on stderr what is tried again here.
        run.env("TSS2_LOG", "all+NONE");
    }
    // The vault is a library.
    if !arguments.iter().any(|argument| argument == "vault") {
        must(&mut build)?;
    }
    run.args(["--bin", "keyward-bench", "--"]).args(arguments);
    must(&mut run)
}
