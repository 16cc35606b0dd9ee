//! `cargo xtask thief --form session|system`: what a program that runs as the user can take from
//! the broker.

use clap::{Args, ValueEnum};

use crate::steps::{Outcome, cargo, must};

/// What is to be robbed.
#[derive(Args)]
pub struct Arguments {
    /// The form of the broker. The system form has uids of its own and needs root.
    #[arg(long, value_enum)]
    form: Form,
    /// Where the broker's keys are. `tpm` starts a software TPM.
    #[arg(long, value_enum, default_value_t = Keys::Software)]
    keys: Keys,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Session,
    System,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keys {
    Software,
    Tpm,
}

/// Builds the broker as packages hold it, and the thief, and lets him loose. Fails when he got more
/// than the policy allows from the system form.
pub fn run(arguments: &Arguments) -> Outcome {
    let tpm = arguments.keys == Keys::Tpm;
    let mut build = cargo(&[
        "build",
        "--quiet",
        "--package=keyward-broker",
        "--package=keyward-session",
        "--package=keyward-cli",
        "--package=keyward-dev",
    ]);
    let mut thief = cargo(&["run", "--quiet", "--package=keyward-e2e"]);
    if tpm {
        build.args(["--features", "keyward-broker/tpm"]);
        thief.args(["--features", "keyward-keystore/tpm"]);
    }
    must(&mut build)?;
    let form = match arguments.form {
        Form::Session => "session",
        Form::System => "system",
    };
    let keys = if tpm { "tpm" } else { "software" };
    thief.args(["--bin", "same-user-thief", "--"]);
    thief.args(["--form", form, "--keys", keys]);
    if arguments.json {
        thief.arg("--json");
    }
    must(&mut thief)
}
