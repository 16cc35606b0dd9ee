//! `keyward man` and `keyward completions`.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use keyward::ErrorKind;

use crate::args::Cli;
use crate::console::Console;
use crate::failure::Failure;

/// The pages of the programs beside this one.
const OTHERS: [(&str, &str); 2] = [
    (
        "keywardd.1",
        include_str!("../../../../dist/man/keywardd.1"),
    ),
    (
        "keyward-session.1",
        include_str!("../../../../dist/man/keyward-session.1"),
    ),
];

/// Writes one page per command and program into the folder.
pub fn pages(directory: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            ErrorKind::IncorrectConfiguration,
            format!("cannot write to {}: {error}", directory.display()),
        )
        .with_hint("name a folder you may write to")
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    for (name, page) in OTHERS {
        std::fs::write(directory.join(name), page).map_err(failed)?;
    }
    console.say(&format!("manual pages are in {}", directory.display()));
    Ok(())
}

/// Prints the completion script.
pub fn completions(shell: Shell, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyward", &mut script);
    console.data(&script)
}
