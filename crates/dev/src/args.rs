//! The command line of `keyward-dev`.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::tpm;

/// A private authority and broker for trying, testing and developing: no internet, no tenant, no
/// TPM. It listens on loopback only, its passwords are all `pw`, and it is part of no release
/// package of the broker.
#[derive(Debug, Parser)]
#[command(name = "keyward-dev", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  keyward-dev demo                          the whole story in a few seconds
  keyward-dev demo --browser                the same, and you sign in (alice@dev.test, pw)
  keyward-dev session -- npm test           run a command with a broker of its own
  keyward-dev session --tenant entra -- bash
  keyward-dev authority --port 8400         only the authority";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show everything: sign in, use tokens, then play thief and be refused.
    Demo(DemoArguments),
    /// Run a command with an authority and a broker of its own.
    Session(SessionArguments),
    /// Run the development authority until interrupted.
    Authority(AuthorityArguments),
    /// Sign a test user in over the authority's pages, without a browser.
    #[command(hide = true)]
    SignIn(SignInArguments),
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  keyward-dev demo
  keyward-dev demo --browser       sign in as alice@dev.test, with the password pw
  keyward-dev demo --tpm swtpm     keys in a software TPM (built with --features tpm)

Exits with 0 only if everything held: tokens were given to who may have them, and every thief was
refused.")]
pub struct DemoArguments {
    /// Open the sign-in page in your browser instead of signing alice in by itself.
    #[arg(long)]
    pub browser: bool,
    /// Where the keys are kept: auto (this machine's TPM if it can be reached, else files), swtpm
    /// (a software TPM for the demonstration), off (files), or a TCTI.
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    pub tpm: tpm::Choice,
}

/// Arguments of `session`.
#[derive(Args, Debug)]
#[command(after_help = SESSION_HELP)]
pub struct SessionArguments {
    /// The test user signed in where the application names none.
    #[arg(long, value_name = "USER", default_value = crate::session::DEFAULT_USER)]
    pub user: String,
    /// Which tenant of the authority stands behind the well-known names.
    #[arg(long, value_enum, default_value_t = Tenant::Oidc)]
    pub tenant: Tenant,
    /// Who fills in the sign-in pages.
    #[arg(long, value_enum, default_value_t = SignIn::Auto)]
    pub sign_in: SignIn,
    /// Port of the authority. By default one that is this user's own, if it is free: Microsoft's
    /// runtime keeps accounts and tokens for longer than a session, and so they stay good.
    #[arg(long)]
    pub port: Option<u16>,
    /// Where the keys are kept: off (files), auto (this machine's TPM if it can be reached), swtpm
    /// (a software TPM of the session's own), or a TCTI.
    #[arg(long, value_name = "WHICH", default_value = "off")]
    pub tpm: tpm::Choice,
    /// Take the broker's names on the current session bus even if another broker may own them.
    #[arg(long)]
    pub take_over: bool,
    /// The command to run, with its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

const SESSION_HELP: &str = "\
The command sees these variables:
  KEYWARD_DEV_AUTHORITY        authority to give to an application
  KEYWARD_DEV_TLS_AUTHORITY    the same for clients that insist on https, such as MSAL Python
  KEYWARD_DEV_TLS_CERTIFICATE  the file with its certificate, which is for loopback alone
  KEYWARD_DEV_TENANT           the tenant's GUID
  KEYWARD_DEV_CLIENT_ID        a client id that works
  KEYWARD_DEV_USER             the test user signed in by default
  KEYWARD_DEV_API              a protected resource: GET with Bearer, DPoP or PoP
  KEYWARD_SOCKET               the broker's socket

Where REQUESTS_CA_BUNDLE is set, which Python's requests believes more than its program, it names
a copy that holds this certificate as well.

For the broker, https://login.microsoftonline.com/common, …/organizations and
…/$KEYWARD_DEV_TENANT, and https://localhost/$KEYWARD_DEV_TENANT, are the development authority.
Users: alice@dev.test, bob@dev.test, guest@partner.test, carol@dev.test (must change the password),
mallory@dev.test (blocked); every password is pw. The exit status is the command's.

Examples:
  keyward-dev session -- node app.mjs
  keyward-dev session --tenant entra -- python3 app.py
  keyward-dev session --user bob@dev.test -- keyward login
  keyward-dev session --sign-in browser -- bash";

/// Which tenant of the development authority is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tenant {
    /// A standards-based OpenID provider; refresh tokens are bound by DPoP.
    Oidc,
    /// Shaped like Entra ID; refresh tokens are sealed at rest.
    Entra,
}

/// Who fills in the sign-in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignIn {
    /// The test user signs in by itself; no window opens.
    Auto,
    /// A person does, in the system browser.
    Browser,
}

/// Arguments of `authority`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  keyward-dev authority                  on a free port
  keyward-dev authority --port 8400
  keyward-dev authority --port 8400 --bind both --client 7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6

Trust it for development in ~/.config/keyward/config.toml:
  [[authority]]
  issuer = \"http://127.0.0.1:8400/oidc\"
  kind = \"oidc\"
  verify_binding = true")]
pub struct AuthorityArguments {
    /// Port on 127.0.0.1; 0 picks a free one. The first line on standard output is JSON with the
    /// URLs.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// What the OpenID tenant binds to the proof key.
    #[arg(long, value_enum, default_value_t = Bind::RefreshToken)]
    pub bind: Bind,
    /// Accept signed HTTP requests at the demo API only with a nonce it gave out.
    #[arg(long)]
    pub require_pop_nonce: bool,
    /// Know only this client id (repeatable). Without it every GUID is a public client.
    #[arg(long = "client", value_name = "CLIENT_ID")]
    pub clients: Vec<String>,
}

/// What the OpenID tenant binds to the proof key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bind {
    /// The refresh token only, unless a request asks for a bound access token.
    RefreshToken,
    /// Access token and refresh token.
    Both,
}

/// Arguments of `sign-in`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example, as user_agent.command of a configuration:
  command = [\"keyward-dev\", \"sign-in\", \"--user\", \"alice@dev.test\", \"{url}\"]")]
pub struct SignInArguments {
    /// The user to sign in when the page does not name one.
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// What the user does where there is a choice.
    #[arg(long, value_enum, default_value_t = Choice::Accept)]
    pub choice: Choice,
    /// The authorize URL.
    pub url: Url,
}

/// What a test user does where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// Signs in and consents.
    Accept,
    /// Signs in and declines on the consent page.
    Decline,
    /// Leaves at the first page.
    Cancel,
}

impl From<Choice> for keyward_dev_authority::scripted::Choice {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Accept => Self::Accept,
            Choice::Decline => Self::Decline,
            Choice::Cancel => Self::Cancel,
        }
    }
}

impl From<Tenant> for keyward_dev_authority::Tenant {
    fn from(tenant: Tenant) -> Self {
        match tenant {
            Tenant::Oidc => Self::Oidc,
            Tenant::Entra => Self::Entra,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_teaches_by_examples() {
        let mut command = Arguments::command();
        command.build();
        for command in command
            .get_subcommands_mut()
            .filter(|c| c.get_name() != "help")
        {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
        }
    }
}
