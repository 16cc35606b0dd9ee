//! `cargo xtask test`: every check, the end-to-end suite last.

use std::num::NonZero;
use std::process::Command;

use crate::steps::{Outcome, Steps, cargo, must};
use crate::{fuzz, layers, notices, setup};

/// Everything is checked and tested as packages are built: with keys in a TPM. It needs
/// libtss2-dev, which the setup installs.
const FEATURES: &str = "keyward-broker/tpm,keyward-dev/tpm";

/// The crates that are others without it.
const OTHERS_BY_DEFAULT: [&str; 3] = ["keyward-keystore", "keyward-broker", "keyward-dev"];

/// Sets up, checks, tests. With `fast` everything but the end-to-end suite.
///
/// The end-to-end suite comes last, and nothing is printed after it, so that the test runner's
/// closing line ends the output.
pub fn run(fast: bool) -> Outcome {
    let mut steps = Steps::new(if fast { 9 } else { 12 });
    steps.step("setup", setup::run)?;
    steps.step("format", || must(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.step("layers and permissions", layers::run)?;
    steps.step("third-party notices", || notices::run(true))?;
    steps.step("clippy, warnings as errors", clippy)?;
    steps.step("clippy of the default build, without a TPM", default_clippy)?;
    steps.step("documentation, warnings as errors", documentation)?;
    steps.step("documentation tests", || {
        must(with_tpm("test").args(["--workspace", "--doc", "--quiet"]))
    })?;
    steps.step("unit and component tests", unit_tests)?;
    if fast {
        return Ok(());
    }
    steps.step("a moment of fuzzing per target", || {
        fuzz::run(&[], fuzz::Effort::Smoke)
    })?;
    steps.step("the binaries that ship, for the end-to-end tests", binaries)?;
    steps.last("end-to-end tests", end_to_end)
}

/// A cargo command for everything with its optional parts.
fn with_tpm(task: &str) -> Command {
    cargo(&[task, "--features", FEATURES])
}

fn clippy() -> Outcome {
    let all = ["--workspace", "--all-targets", "--quiet"];
    must(
        with_tpm("clippy")
            .args(["--features", "keyward-bench/tpm"])
            .args(all)
            .args(["--", "--deny", "warnings"]),
    )
}

/// Who builds without asking for anything gets no warning either.
fn default_clippy() -> Outcome {
    let mut clippy = cargo(&["clippy", "--all-targets", "--quiet"]);
    for package in OTHERS_BY_DEFAULT {
        clippy.args(["--package", package]);
    }
    must(clippy.args(["--", "--deny", "warnings"]))
}

/// Libraries only: binaries hold no public items, and `keyward` names both a library and a binary.
fn documentation() -> Outcome {
    must(
        with_tpm("doc")
            .args(["--workspace", "--no-deps", "--lib", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// The one for developers, and the three a package of the broker holds.
fn binaries() -> Outcome {
    let packages = [
        "keyward-dev",
        "keyward-broker",
        "keyward-session",
        "keyward-cli",
    ];
    let mut build = with_tpm("build");
    build.arg("--quiet");
    for package in packages {
        build.args(["--package", package]);
    }
    must(&mut build)
}

/// Tests of what could not be installed are left out, and counted as such in the closing line.
fn end_to_end() -> Outcome {
    // They wait for other processes half of their time.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (2 * processors).to_string();
    let mut tests = with_tpm("test");
    tests.args(["--workspace", "--test", "e2e", "--"]);
    tests.args(["--test-threads", &threads]);
    if !setup::python::is_installed() {
        tests.args(["--skip", "msal_python::"]);
    }
    must(&mut tests)
}

fn unit_tests() -> Outcome {
    must(with_tpm("test").args([
        "--workspace",
        "--exclude",
        "keyward-e2e",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
        "--quiet",
    ]))
}
