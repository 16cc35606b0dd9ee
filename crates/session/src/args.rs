//! The command line.

use clap::Parser;

/// The faces of Keyward's broker on the session bus. The bus starts it when it is needed.
#[derive(Debug, Parser)]
#[command(name = "keyward-session", version, after_help = HELP)]
pub(crate) struct Arguments {
    /// Never start keywardd; use it only while it runs.
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Take the names on the bus even from an owner that allows it.
    #[arg(long)]
    pub(crate) take_over: bool,
}

const HELP: &str = "\
It owns com.microsoft.identity.broker1 and dev.keyward.Broker, and holds no secret: keywardd does.
Started by the bus it ends with the bus; started by hand it waits for the bus to come back.

Examples:
  keyward-session                 serve this login's bus
  keyward-session --no-start      and leave keywardd to somebody else
  keyward doctor                  see who owns the names, and what is wrong";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_manual_page_knows_every_flag() {
        let page = include_str!("../../../dist/man/keyward-session.1");
        for argument in Arguments::command().get_arguments() {
            let flag = argument.get_long().unwrap().replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{flag}")), "{flag}");
        }
    }
}
