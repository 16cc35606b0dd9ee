//! What can be typed. Every command teaches by examples.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// What most people type.
pub const EXAMPLES: &str = "\
Examples:
  keyward login                        sign in, in the browser
  keyward token --scope User.Read      print an access token, without any prompt
  keyward status                       what is bound to what
  keyward doctor                       what is wrong, and the command that mends it";

/// The one table of errors, as exit codes.
fn exit_codes() -> String {
    let rows = keyward::ERROR_TABLE.iter();
    let rows = rows.map(|row| format!("\n  {:<3} {}", row.exit_code, row.name));
    let rows: String = rows.collect();
    format!("Exit codes:\n  0   done\n  2   wrong usage{rows}")
}

/// Sign in once: your refresh tokens never leave the broker.
#[derive(Debug, Parser)]
#[command(
    name = "keyward",
    version,
    after_help = format!(
        "{EXAMPLES}\n\n\
         Exit codes: 0 done, 2 wrong usage, 3 somebody has to sign in, 20 no broker;\n\
         all of them are in keyward --help."
    ),
    after_long_help = format!("{EXAMPLES}\n\n{}", exit_codes())
)]
pub struct Cli {
    /// Say on stderr what happens on the way.
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in, in the browser.
    #[command(after_help = "\
Examples:
  keyward login
  keyward login --login-hint alice@contoso.example
  keyward login --prompt select-account --scope User.Read --scope Mail.Read
  keyward login --claims \"$CLAIMS\"     answer an API's claims challenge
  keyward login --dpop                 where access tokens are bound to a key
  keyward login --require-key-protection tpm
  keyward login --timeout 60 --json

The page opens in the browser of this login ($BROWSER, xdg-open, or user_agent.command of the
configuration); on a terminal without one you are shown the address.")]
    Login(LoginArguments),

    /// Print an access token. Never prompts.
    ///
    /// When somebody has to sign in, it says so and exits with 3. A resource that answers with
    /// `DPoP-Nonce` wants that nonce in the next proof (RFC 9449 §9): pass it with --nonce.
    #[command(after_help = "\
Examples:
  keyward token --scope User.Read
  curl -H \"$(keyward token --scope User.Read --header)\" https://graph.microsoft.com/v1.0/me
  keyward token --username alice@contoso.example --json
  keyward token --explain              also say why this token, and what it rests on
  keyward token --dpop GET \"$URL\" --header | curl -iH @- \"$URL\"
  keyward token --dpop GET \"$URL\" --nonce \"$NONCE\" --header | curl -H @- \"$URL\"
  keyward token --pop GET \"$URL\" --header | curl -H @- \"$URL\"
  keyward token --scope User.Read || keyward login --scope User.Read")]
    Token(TokenArguments),

    /// List who is signed in.
    #[command(after_help = "\
Examples:
  keyward accounts
  keyward accounts --json")]
    Accounts(AccountsArguments),

    /// Remove an account and every token kept for it.
    #[command(after_help = "\
Examples:
  keyward logout
  keyward logout --username alice@contoso.example
  keyward logout --all")]
    Logout(LogoutArguments),

    /// Show what is bound to what, and what is wrong.
    #[command(after_help = "\
Examples:
  keyward status
  keyward status --json | grep sealed-at-rest")]
    Status(StatusArguments),

    /// List the programs that have asked for tokens, and take back what was answered about them.
    #[command(after_help = "\
Examples:
  keyward apps
  keyward apps --json
  keyward apps revoke /opt/mail/bin/mail
  keyward apps revoke --all

A program goes by its path, its file name, its sandbox or its client id.")]
    Apps(AppsArguments),

    /// Look at the keys tokens are bound to, and what holds them.
    #[command(
        subcommand,
        after_help = "\
Examples:
  keyward device show
  keyward device rebind                move every account to new keys, in the TPM if there is one
  keyward device forget                sign everybody out and destroy every key"
    )]
    Device(DeviceCommand),

    /// Look whether everything in the vault can be read, and mend it.
    #[command(
        subcommand,
        after_help = "\
Examples:
  keyward vault check
  keyward vault repair --dry-run"
    )]
    Vault(VaultCommand),

    /// Show who asked for what, and what came of it.
    ///
    /// Each answer is recorded, and none of them with a token, a user name or a claim. An account
    /// has a name of its own here, the same in all records of this device.
    #[command(after_help = "\
Examples:
  keyward audit
  keyward audit --since 1h --client-id 04b07795-8ddb-461a-bbee-02f9e1bf7b46
  keyward audit --follow
  keyward audit --follow --json | jq 'select(.verdict != \"allow\")'")]
    Audit(AuditArguments),

    /// Find out what is wrong, and the command that mends it.
    #[command(after_help = "\
Examples:
  keyward doctor
  keyward doctor --json

Exits with 0 when nothing failed, else with the code of the first failure.
Warnings concern unmodified Microsoft clients alone.")]
    Doctor(DoctorArguments),

    /// Move accounts to the other form of the broker.
    ///
    /// Refresh tokens and the keys they are bound to stay where they are: each account signs in
    /// anew at the other broker, and only then is the old one signed out. Interrupted, it goes on
    /// where it was.
    #[command(after_help = "\
Examples:
  keyward migrate --dry-run            what would be signed in, and where
  keyward migrate                      to the broker that is used here
  keyward migrate --to session         back to a broker of your own

Both brokers have to run: the system's, and your own (systemctl --user start keywardd).")]
    Migrate(MigrateArguments),

    /// Look at the configuration.
    #[command(
        subcommand,
        after_help = "\
Examples:
  keyward config check"
    )]
    Config(ConfigCommand),

    /// Print the completion script of a shell.
    #[command(after_help = "\
Examples:
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward
  keyward completions fish > ~/.config/fish/completions/keyward.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Write the manual pages into a folder.
    #[command(after_help = "\
Examples:
  keyward man ~/.local/share/man/man1")]
    Man {
        /// The folder; made if it is not there.
        directory: PathBuf,
    },
}

/// Which application asks, of which authority.
#[derive(Clone, Debug, Default, Args)]
pub struct Application {
    /// The id the application is registered under.
    ///
    /// Default: $KEYWARD_CLIENT_ID, $KEYWARD_DEV_CLIENT_ID, cli.client_id of the configuration.
    #[arg(long, value_name = "ID", help_heading = "Application")]
    pub client_id: Option<String>,

    /// The authority, for example https://login.microsoftonline.com/organizations.
    ///
    /// Default: $KEYWARD_AUTHORITY, $KEYWARD_DEV_AUTHORITY, cli.authority of the configuration,
    /// https://login.microsoftonline.com/common.
    #[arg(long, value_name = "URL", help_heading = "Application")]
    pub authority: Option<String>,
}

/// Which account is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct AccountChoice {
    /// The account with this home account id (keyward accounts shows them).
    #[arg(long, value_name = "HOME_ACCOUNT_ID", conflicts_with = "username")]
    pub account: Option<String>,

    /// The account with this user name.
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
}

/// `keyward login`.
#[derive(Debug, Args)]
pub struct LoginArguments {
    #[command(flatten)]
    pub application: Application,

    /// The user name to sign in with.
    ///
    /// Default: $KEYWARD_LOGIN_HINT, $KEYWARD_DEV_USER, cli.login_hint of the configuration.
    #[arg(long, value_name = "NAME")]
    pub login_hint: Option<String>,

    /// What to ask of the person, whatever the authority finds necessary.
    #[arg(long, value_enum)]
    pub prompt: Option<PromptArgument>,

    /// A scope to consent to; may be given again.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,

    /// A claims request as JSON text, as an API's claims challenge holds it.
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,

    /// Sign in where every access token is bound to a key (RFC 9449).
    #[arg(long)]
    pub dpop: bool,

    #[command(flatten)]
    pub rests_on: RestsOn,

    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Print account and binding as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keyward token`.
#[derive(Debug, Args)]
pub struct TokenArguments {
    #[command(flatten)]
    pub application: Application,

    #[command(flatten)]
    pub account: AccountChoice,

    /// A scope the token is for; may be given again.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,

    /// A claims request as JSON text, as an API's claims challenge holds it.
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,

    /// Get a new token even where the old one is fresh.
    #[arg(long)]
    pub force_refresh: bool,

    /// A signed HTTP request (Authorization: PoP) for this method and address.
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"], conflicts_with = "dpop")]
    pub pop: Option<Vec<String>>,

    /// A DPoP-bound token, and the proof for this method and address.
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    pub dpop: Option<Vec<String>>,

    /// The nonce the resource gave, for --pop and --dpop.
    #[arg(long, value_name = "NONCE")]
    pub nonce: Option<String>,

    #[command(flatten)]
    pub rests_on: RestsOn,

    /// Print the HTTP header lines to send, one a line.
    #[arg(long, conflicts_with = "json")]
    pub header: bool,

    /// Print token, expiry, account and binding as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keyward accounts`.
#[derive(Debug, Args)]
pub struct AccountsArguments {
    #[command(flatten)]
    pub application: Application,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keyward logout`.
#[derive(Debug, Args)]
pub struct LogoutArguments {
    #[command(flatten)]
    pub application: Application,

    #[command(flatten)]
    pub account: AccountChoice,

    /// Every account.
    #[arg(long, conflicts_with_all = ["account", "username"])]
    pub all: bool,
}

/// `keyward status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keyward audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Go on with what is recorded from now on, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,

    /// Only what is younger than this: a number with s, m, h or d.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub since: Option<Duration>,

    /// Only requests of this application.
    #[arg(long, value_name = "ID", alias = "client")]
    pub client_id: Option<String>,

    /// At most this many, the newest. Default: 100; with --since 10000.
    #[arg(short = 'n', long, value_name = "N", value_parser = records)]
    pub limit: Option<usize>,

    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `keyward doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keyward apps`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AppsArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// What else to do.
    #[command(subcommand)]
    pub command: Option<AppsCommand>,
}

/// `keyward apps …`.
#[derive(Debug, Subcommand)]
pub enum AppsCommand {
    /// Take back what was answered about a program: it is asked about again.
    Revoke {
        /// Its path, file name, sandbox or client id, as keyward apps shows them.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<String>,

        /// Everything that was answered, about all programs.
        #[arg(long)]
        all: bool,
    },
}

/// `keyward device …`.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Show what holds the keys, why it was chosen, and which account is bound to which key.
    #[command(after_help = "\
Examples:
  keyward device show
  keyward device show --json

A key that is held in a TPM cannot leave this device. One in a file can be copied by whoever may
read the file.")]
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },

    /// Move every account to new keys, in the TPM or in files.
    ///
    /// First the device is tried; nothing changes if keys cannot be made and used there. Then each
    /// account moves: where its authority binds refresh tokens to keys (RFC 9449), its person signs
    /// in again, and the old key is destroyed when the new sign-in is kept. Interrupted, nothing is
    /// lost, and the same command goes on where it stopped.
    #[command(after_help = "\
Examples:
  keyward device rebind                to the TPM, if one can be reached
  keyward device rebind --to software --yes
  keyward device rebind --account alice@contoso.example")]
    Rebind(RebindArguments),

    /// Sign everybody out, remove every record (also those that cannot be read now) and destroy
    /// every key.
    #[command(after_help = "\
Examples:
  keyward device forget
  keyward device forget --yes")]
    Forget {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// `keyward device rebind`.
#[derive(Debug, Args)]
pub struct RebindArguments {
    /// Where the new keys are made. Default: as configured; in the TPM if one can be reached where
    /// the configuration leaves it open.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub to: Option<KeyProtectionArgument>,

    /// Only the account with this user name or home account id.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,

    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Where keys live, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyProtectionArgument {
    /// In a TPM.
    Tpm,
    /// In files only their user may read.
    Software,
}

impl From<KeyProtectionArgument> for keyward::KeyProtection {
    fn from(argument: KeyProtectionArgument) -> Self {
        match argument {
            KeyProtectionArgument::Tpm => Self::Tpm,
            KeyProtectionArgument::Software => Self::Software,
        }
    }
}

/// What a token has to rest on, and whether that is explained.
#[derive(Clone, Debug, Default, Args)]
pub struct RestsOn {
    /// Refuse a refresh token that is not bound to this device by its authority, before any
    /// sign-in.
    #[arg(long, value_enum, value_name = "BINDING")]
    pub require_binding: Option<BindingArgument>,

    /// Refuse keys that do not live there, before any sign-in.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub require_key_protection: Option<KeyProtectionArgument>,

    /// Say on stderr what was decided on the way, and why.
    #[arg(long)]
    pub explain: bool,
}

/// `--require-binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BindingArgument {
    /// Useless without a key of this device.
    SenderConstrained,
}

impl From<BindingArgument> for keyward::RequiredBinding {
    fn from(argument: BindingArgument) -> Self {
        match argument {
            BindingArgument::SenderConstrained => Self::SenderConstrained,
        }
    }
}

/// `keyward migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// The form to move to. Default: the one that is used here.
    #[arg(long, value_enum)]
    pub to: Option<FormArgument>,

    /// Only show what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// A form of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArgument {
    /// One broker for each user, under the user's uid.
    Session,
    /// One broker for every user, under a uid of its own.
    System,
}

impl From<FormArgument> for keyward_config::Form {
    fn from(form: FormArgument) -> Self {
        match form {
            FormArgument::Session => Self::Session,
            FormArgument::System => Self::System,
        }
    }
}

/// `keyward vault …`.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// Read the whole vault and say what is damaged.
    ///
    /// Nothing is changed. Exits with 0 when everything can be read.
    #[command(after_help = "\
Examples:
  keyward vault check
  keyward vault check --json")]
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },

    /// Put a clean vault with everything that can be read in the place of a damaged one.
    ///
    /// The damaged one is kept beside it. Records whose key cannot be used for now are kept as they
    /// are; what can never be read again is removed.
    #[command(after_help = "\
Examples:
  keyward vault repair --dry-run       what would be lost
  keyward vault repair")]
    Repair {
        /// Only say what would be lost.
        #[arg(long)]
        dry_run: bool,

        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `keyward config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every value in force and where it came from.
    #[command(after_help = "\
Examples:
  keyward config check
  KEYWARD_CONFIG=./config.toml keyward config check --json")]
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `--prompt`, spelled with dashes as flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PromptArgument {
    /// Enter credentials again.
    Login,
    /// Choose among accounts.
    #[value(alias = "select_account")]
    SelectAccount,
    /// Show the consent page.
    Consent,
    /// Create an account.
    Create,
    /// Show nothing; fail instead.
    None,
}

impl From<PromptArgument> for keyward::Prompt {
    fn from(prompt: PromptArgument) -> Self {
        match prompt {
            PromptArgument::Login => Self::Login,
            PromptArgument::SelectAccount => Self::SelectAccount,
            PromptArgument::Consent => Self::Consent,
            PromptArgument::Create => Self::Create,
            PromptArgument::None => Self::None,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("a number of seconds from 1 to 3600 is needed".to_owned()),
    }
}

fn records(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("a number from 1 to 1000000 is needed".to_owned()),
    }
}

/// A span of time, for example `90s`, `5m`, `1h` or `7d`.
fn span(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*seconds)
    });
    read.map(Duration::from_secs)
        .ok_or_else(|| "a number with s, m, h or d is needed, such as 90s or 1h".to_owned())
}
