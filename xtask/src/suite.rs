//! `cargo xtask test`: every check, the end-to-end suite last.

use std::num::NonZero;

use crate::steps::{Outcome, Steps, cargo, must};
use crate::{fuzz, layers, notices, setup};

/// Sets up, checks, tests. With `fast` everything but the end-to-end suite.
///
/// The end-to-end suite comes last, and nothing is printed after it, so that the test runner's
/// closing line ends the output.
pub fn run(fast: bool) -> Outcome {
    let mut steps = Steps::new(if fast { 8 } else { 11 });
    steps.step("setup", setup::run)?;
    steps.step("format", || must(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.step("layers and permissions", layers::run)?;
    steps.step("third-party notices", || notices::run(true))?;
    steps.step("clippy, warnings as errors", clippy)?;
    steps.step("documentation, warnings as errors", documentation)?;
    steps.step("documentation tests", || {
        must(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]))
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

fn clippy() -> Outcome {
    must(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Libraries only: binaries hold no public items, and `keyward` names both a library and a binary.
fn documentation() -> Outcome {
    must(
        cargo(&["doc", "--workspace", "--no-deps", "--lib", "--quiet"])
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
    let mut build = cargo(&["build", "--quiet"]);
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
    let mut tests = cargo(&["test", "--workspace", "--test", "e2e", "--"]);
    tests.args(["--test-threads", &threads]);
    if !setup::python::is_installed() {
        tests.args(["--skip", "msal_python::"]);
    }
    must(&mut tests)
}

fn unit_tests() -> Outcome {
    must(&mut cargo(&[
        "test",
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
