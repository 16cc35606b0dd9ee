//! `cargo xtask bench NAME`: figures beside a floor measured in the same run.
//!
//! Latencies on a shared machine mean little by themselves; each case is compared with the
//! cheapest thing that takes the same path, measured in turns with it.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod broker;
mod peers;
mod report;
mod sample;
mod scale;
#[cfg(feature = "tpm")]
mod tpm;
mod vault;
mod world;

/// Benchmarks of Keyward.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// One line of JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Silent hits through the broker: socket, both bus names, many callers, a stalled authority;
    /// start-up and memory.
    Broker(broker::Arguments),
    /// Signing by a TPM through the key store, beside the same commands without it; silent hits
    /// while it stalls.
    #[cfg(feature = "tpm")]
    Tpm(tpm::Arguments),
    /// Writing and reading records, beside bare SQLite; memory.
    Vault(vault::Arguments),
    /// Prints what reading a whole vault costs this process in memory, in KiB.
    #[command(hide = true)]
    VaultMemory(vault::MemoryArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match &arguments.bench {
        Bench::Broker(arguments) => run(broker::run(arguments)),
        #[cfg(feature = "tpm")]
        Bench::Tpm(arguments) => run(tpm::run(arguments)),
        Bench::Vault(arguments) => run(vault::run(arguments)),
        Bench::VaultMemory(arguments) => {
            return match run(vault::memory(arguments)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&*error),
            };
        }
    };
    match report {
        Ok(report) if arguments.json => match report.json() {
            Ok(line) => println!("{line}"),
            Err(error) => return fail(&error),
        },
        Ok(report) => print!("{}", report.table()),
        Err(error) => return fail(&*error),
    }
    ExitCode::SUCCESS
}

/// Callers live on one thread, as most applications' do; the authority has its own.
fn run<T>(bench: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench)
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("bench: {error}");
    ExitCode::FAILURE
}
