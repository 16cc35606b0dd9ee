//! `cargo xtask`: everything a checkout can be asked to do beside building.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod audit;
mod bench;
mod fuzz;
mod layers;
mod metadata;
mod notices;
mod setup;
mod steps;
mod suite;
mod thief;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keyward's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need and this machine lacks; says what and why, and asks for
    /// nothing when all is there.
    Setup,
    /// Run every check there is, the end-to-end suite last. Runs `setup` first.
    Test {
        /// Leave out the end-to-end suite and what it needs.
        #[arg(long)]
        fast: bool,
    },
    /// Check which crate depends on which, and which may touch what.
    Layers,
    /// Check licences, bans and sources of all dependencies with cargo-deny.
    Audit,
    /// Write THIRD-PARTY.md: whose code the binaries contain, under which licence.
    Notices {
        /// Only check that the file is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Run a benchmark in release mode: `cargo xtask bench broker --json`.
    Bench {
        /// The benchmark's name and its options, passed on as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Let the same-user thief loose on the broker, and print what he got. With `--form system`
    /// that has to be nothing but what the policy allows.
    Thief(thief::Arguments),
    /// Fuzz what reads foreign bytes: `cargo xtask fuzz --seconds 600`, or only `cargo xtask fuzz
    /// jws`. Inputs that were worth keeping, and those that broke something, stay in the target
    /// folder.
    Fuzz {
        /// The targets; by default all.
        targets: Vec<String>,
        /// How long each one runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Test { fast } => suite::run(fast),
        Task::Layers => layers::run(),
        Task::Audit => audit::run(),
        Task::Notices { check } => notices::run(check),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Thief(arguments) => thief::run(&arguments),
        Task::Fuzz { targets, seconds } => fuzz::run(&targets, fuzz::Effort::Seconds(seconds)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
