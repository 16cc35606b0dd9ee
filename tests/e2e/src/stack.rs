//! A private login with everything in it: authority, bus, keyring, keywardd, keyward-session. Every
//! part can be killed and started again by itself.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use keyward_dev_authority::OidcMode;
use keyward_testkit::process::{Signal, listener, runs, signal};
use keyward_testkit::{Keyring, Login, Process, SessionBus, wait};

use crate::authority::TestAuthority;
use crate::browser::Browser;
use crate::{SOON, programs};

/// The bus name Microsoft's clients look for.
pub const MICROSOFT_NAME: &str = "com.microsoft.identity.broker1";

/// Our own bus name.
pub const KEYWARD_NAME: &str = "dev.keyward.Broker";

/// Which tenant of the development authority stands behind the well-known names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Standards-based; refresh tokens are bound by DPoP.
    Oidc,
    /// Shaped like Entra ID; refresh tokens are sealed at rest.
    Entra,
}

impl From<Tenant> for keyward_dev_authority::Tenant {
    fn from(tenant: Tenant) -> Self {
        match tenant {
            Tenant::Oidc => Self::Oidc,
            Tenant::Entra => Self::Entra,
        }
    }
}

/// Everything of one private login. Ended, part by part, when dropped.
pub struct Stack {
    session: Option<Process>,
    keywardd: Option<Process>,
    keyring: Option<Keyring>,
    /// The session bus.
    pub bus: SessionBus,
    /// The development authority.
    pub authority: TestAuthority,
    /// Who signs in.
    pub browser: Browser,
    /// What else the configuration says.
    more_configuration: String,
    tenant: Tenant,
    /// The folders.
    pub login: Login,
}

impl Stack {
    /// The login with its authority, bus and keyring; no part of the broker runs yet.
    pub fn without_broker(tenant: Tenant) -> Self {
        let login = Login::new();
        programs::install(&login);
        let browser = Browser::install(&login);
        let authority = TestAuthority::start(OidcMode::RefreshTokenOnly);
        let socket = login.path("run/keyward/broker.sock").display().to_string();
        // What an activated keyward-session finds.
        let environment = [
            ("KEYWARD_SOCKET", socket),
            (
                "KEYWARD_CONFIG",
                login.path("keyward.toml").display().to_string(),
            ),
            (
                "KEYWARD_STATE_DIR",
                login.path("state/keyward").display().to_string(),
            ),
        ];
        let environment = environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let bus = SessionBus::start(&login, &environment);
        let keyring = Keyring::start(&login, &bus);
        let stack = Self {
            session: None,
            keywardd: None,
            keyring: Some(keyring),
            bus,
            authority,
            browser,
            more_configuration: String::new(),
            tenant,
            login,
        };
        stack.configure();
        stack
    }

    /// Everything runs; the well-known names are this tenant.
    pub fn start(tenant: Tenant) -> Self {
        Self::start_with(tenant, "")
    }

    /// The same with more in the configuration file.
    pub fn start_with(tenant: Tenant, more_configuration: &str) -> Self {
        let mut stack = Self::without_broker(tenant);
        more_configuration.clone_into(&mut stack.more_configuration);
        stack.configure();
        stack.start_keywardd();
        stack.start_session();
        stack
    }

    /// A command inside the login that finds the broker and the programs.
    pub fn command(&self, program: &str) -> Command {
        let installed = self.login.path("bin").join(program);
        let found = if installed.exists() {
            installed
        } else {
            PathBuf::from(program)
        };
        let mut command = self.login.command(found);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env(
                "PATH",
                format!("{}:{path}", self.login.path("bin").display()),
            )
            .env("KEYWARD_SOCKET", self.socket())
            .env("KEYWARD_CONFIG", self.configuration_file())
            .env("KEYWARD_STATE_DIR", self.vault());
        command
    }

    /// The broker's socket.
    pub fn socket(&self) -> PathBuf {
        self.login.path("run/keyward/broker.sock")
    }

    /// The vault's folder.
    pub fn vault(&self) -> PathBuf {
        self.login.path("state/keyward")
    }

    /// The configuration file of both processes.
    pub fn configuration_file(&self) -> PathBuf {
        self.login.path("keyward.toml")
    }

    /// Starts keywardd and waits until it listens.
    pub fn start_keywardd(&mut self) {
        let mut command = self.command("keywardd");
        let mut keywardd = Process::start("keywardd", &mut command, &self.login.logs());
        wait::until("keywardd listening", SOON, || {
            assert!(keywardd.is_running(), "{}", keywardd.output());
            UnixStream::connect(self.socket()).ok()
        });
        self.keywardd = Some(keywardd);
    }

    /// Starts keyward-session, which starts no keywardd, and waits until it owns its names.
    pub fn start_session(&mut self) {
        let mut command = self.command("keyward-session");
        command.arg("--no-start");
        self.session = Some(Process::start(
            "keyward-session",
            &mut command,
            &self.login.logs(),
        ));
        let bus = self.bus.connect();
        bus.wait_for_owner(MICROSOFT_NAME, SOON);
        bus.wait_for_owner(KEYWARD_NAME, SOON);
    }

    /// Kills keywardd, as a crash would.
    pub fn kill_keywardd(&mut self) {
        if let Some(mut keywardd) = self.keywardd.take() {
            keywardd.kill();
        }
    }

    /// Kills keyward-session, as a crash would.
    pub fn kill_session(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.kill();
        }
    }

    /// The bus goes and comes back, and the keyring with it, as at a logout and login.
    pub fn restart_bus(&mut self) {
        self.keyring = None;
        self.bus.restart();
        self.keyring = Some(Keyring::start(&self.login, &self.bus));
    }

    /// Waits until both names are owned again.
    pub fn wait_for_names(&self) {
        let bus = self.bus.connect();
        bus.wait_for_owner(MICROSOFT_NAME, SOON);
        bus.wait_for_owner(KEYWARD_NAME, SOON);
    }

    /// The process that listens on the broker's socket, whoever started it.
    pub fn keywardd_process(&self) -> Option<u32> {
        listener(&self.socket())
    }

    /// The process that owns the broker's name on the bus.
    pub fn session_process(&self) -> Option<u32> {
        self.bus.connect().owner_process(MICROSOFT_NAME)
    }

    /// The authority as an application names it: `https://localhost/GUID`.
    pub fn localhost_authority(&self, tenant: Tenant) -> String {
        format!("https://localhost/{}", self.authority.tenant(tenant))
    }

    /// Writes the configuration file.
    pub fn configure(&self) {
        let mut text = format!(
            "key_protection = \"software\"\n{}\n[user_agent]\ncommand = [{:?}, \"{{url}}\"]\n",
            self.more_configuration,
            self.browser.program().display().to_string(),
        );
        for tenant in [Tenant::Oidc, Tenant::Entra] {
            text += &self.authority_section(tenant);
        }
        self.write_configuration(&text);
    }

    /// Writes this text as the configuration file.
    pub fn write_configuration(&self, text: &str) {
        fs::write(self.configuration_file(), text).expect("the configuration can be written");
    }

    fn authority_section(&self, tenant: Tenant) -> String {
        let guid = self.authority.tenant(tenant);
        let mut names = vec![format!("https://localhost/{guid}")];
        if tenant == self.tenant {
            for segment in ["common", "organizations", &guid] {
                names.push(format!("https://login.microsoftonline.com/{segment}"));
            }
        }
        let (kind, verify) = match tenant {
            Tenant::Oidc => ("oidc", "verify_binding = true\n"),
            Tenant::Entra => ("entra", ""),
        };
        let issuer = self.authority.issuer(tenant);
        format!(
            "\n[[authority]]\nmatch = {names:?}\nissuer = \"{issuer}\"\nkind = \"{kind}\"\n{verify}"
        )
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // keyward-session may have started a keywardd of its own, which outlives it by design.
        self.session = None;
        self.keywardd = None;
        if let Some(process) = self.keywardd_process() {
            signal(process, Signal::TERM);
            wait::within(SOON, || (!runs(process)).then_some(()));
        }
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

impl Stack {
    /// Shows what the broker's processes wrote, for a test that failed.
    fn show_logs(&self) {
        for name in ["keywardd", "keyward-session", "node"] {
            let file = self.login.logs().join(format!("{name}.err"));
            let text = fs::read_to_string(file).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(40).collect();
            eprintln!("── the end of what {name} wrote");
            for line in last.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
