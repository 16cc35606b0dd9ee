//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use keyward_config::{Environment, FlagName, Permit};

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Variables, flags and files, and what the embedding program adds.
    pub environment: Environment,
    /// Whether well-known hosts may be mapped elsewhere. Only `keyward-dev` says yes.
    pub permit: Permit,
}

impl Options {
    /// Reads the command line (the program's name first) and the process environment. Exits with
    /// help, version or a usage error where that is what was asked for.
    pub fn from_command_line(args: impl IntoIterator<Item = OsString>) -> Self {
        let args = Args::parse_from(args);
        Self {
            environment: args.add_to(Environment::of_process()),
            permit: Permit::ConfiguredOnly,
        }
    }

    /// What the part of a broker of the system form is started with that serves one user: the same
    /// with this state folder.
    pub(crate) fn with_state_dir(&self, folder: &str) -> Self {
        let environment = self.environment.clone();
        Self {
            environment: environment.with_flag(FlagName::StateDir, folder),
            permit: self.permit,
        }
    }
}

/// Holds refresh tokens and the keys they are bound to, and answers applications with access
/// tokens.
///
/// In the session form, one keywardd serves one user: it is started on demand by keyward-session.
/// In the system form (--system) it runs under a uid of its own and serves every local user, each
/// from a vault of their own. It stays in the foreground, executes nothing, and ends on SIGTERM.
#[derive(Parser)]
#[command(
    name = "keywardd",
    version,
    after_help = "Exit status: 0 after SIGTERM or SIGINT, 2 for wrong usage, otherwise that of \
                  the error in the table of `keyward --help`.\n\n\
                  Examples:\n  \
                  keywardd\n  \
                  keywardd --log debug\n  \
                  keywardd --state-dir /tmp/try/state --socket /tmp/try/run/broker.sock\n  \
                  systemctl enable --now keywardd"
)]
struct Args {
    /// Serve every local user, each from a vault of their own, under a uid that is nobody else's
    /// and not root's. Reads /etc/keyward/config.toml and flags, and no variable.
    #[arg(long)]
    system: bool,
    /// With --system: the configuration file, in place of /etc/keyward/config.toml.
    #[arg(long, value_name = "PATH", requires = "system")]
    config: Option<PathBuf>,
    /// Stay in the foreground, as keywardd always does: for unit files that insist on saying so.
    #[arg(long)]
    foreground: bool,
    /// The socket to listen on; its folder has to be the user's own. Default: $KEYWARD_SOCKET, or
    /// keyward/broker.sock in $XDG_RUNTIME_DIR; with --system /run/keyward/broker.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// The folder of vault and keys, on a local file system. Default: $KEYWARD_STATE_DIR, or
    /// keyward in $XDG_STATE_HOME; with --system /var/lib/keyward.
    #[arg(long, value_name = "PATH")]
    state_dir: Option<String>,
    /// What to log on stderr: error, warn, info, debug or trace, or directives per module.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Where new binding keys are made: tpm, software, or tpm-or-software, which is decided once.
    #[arg(long, value_name = "WHERE")]
    key_protection: Option<String>,
}

impl Args {
    fn add_to(self, environment: Environment) -> Environment {
        let environment = if self.system {
            environment.of_system_form(self.config.as_deref())
        } else {
            environment
        };
        let flags = [
            (FlagName::Socket, self.socket),
            (FlagName::StateDir, self.state_dir),
            (FlagName::Log, self.log),
            (FlagName::KeyProtection, self.key_protection),
        ];
        flags
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(environment, |environment, (name, value)| {
                environment.with_flag(name, &value)
            })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use keyward_config::{Form, Places};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_manual_page_knows_every_flag() {
        let page = include_str!("../../../dist/man/keywardd.1");
        for argument in Args::command().get_arguments() {
            let flag = argument.get_long().unwrap().replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{flag}")), "{flag}");
        }
    }

    #[test]
    fn the_system_form_takes_flags_and_no_variable() {
        let variables = || {
            Environment::empty()
                .with_variable("KEYWARD_SOCKET", "/other")
                .with_variable("KEYWARD_LOG", "error")
        };
        let args = Args::parse_from(["keywardd", "--system", "--state-dir", "/d"]);
        let environment = args.add_to(variables());
        assert_eq!(environment.form(), Form::System);
        let places = Places::find(&environment).unwrap();
        assert_eq!(
            places.socket.value.to_str(),
            Some("/run/keyward/broker.sock")
        );
        assert_eq!(places.state_dir.value.to_str(), Some("/d"));
        let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
        assert_eq!(config.log.value, "info");
        assert!(Args::try_parse_from(["keywardd", "--config", "/c"]).is_err());
    }

    #[test]
    fn flags_become_the_last_layer() {
        let args = Args::parse_from(["keywardd", "--socket", "/s", "--log", "trace"]);
        let environment = args.add_to(
            Environment::empty()
                .with_variable("KEYWARD_SOCKET", "/other")
                .with_variable("KEYWARD_LOG", "error"),
        );
        let socket = Places::socket(&environment).unwrap();
        assert_eq!(socket.origin.to_string(), "--socket");
        let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
        assert_eq!(config.log.value, "trace");
    }
}
