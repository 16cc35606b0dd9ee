//! `keyward man` and `keyward completions`.

use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use keyward::ErrorKind;

use crate::args::{Cli, EXAMPLES};
use crate::console::Console;
use crate::failure::Failure;

/// Writes one page per command into the folder.
pub fn pages(directory: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            ErrorKind::IncorrectConfiguration,
            format!("cannot write to {}: {error}", directory.display()),
        )
        .with_hint("name a folder you may write to")
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(documented(), directory).map_err(failed)?;
    console.say(&format!("manual pages are in {}", directory.display()));
    Ok(())
}

/// Prints the completion script.
pub fn completions(shell: Shell, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyward", &mut script);
    console.data(&script)
}

/// The command line with the table of exit codes, which only the manual has room for.
fn documented() -> Command {
    let rows = keyward::ERROR_TABLE
        .iter()
        .map(|row| format!("\n  {:<3} {}", row.exit_code, row.name));
    let table: String = rows.collect();
    Cli::command().after_long_help(format!(
        "{EXAMPLES}\n\nExit codes:\n  0   done\n  2   wrong usage{table}"
    ))
}
