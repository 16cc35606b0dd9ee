//! A private login with everything in it: authority, bus, keyring, keywardd, keyward-session. Every
//! part can be killed and started again by itself.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use keyward_dev_authority::OidcMode;
use keyward_testkit::bus::DRIVER;
use keyward_testkit::process::{Signal, listener, runs, signal};
use keyward_testkit::{Keyring, Login, Process, SessionBus, SoftwareTpm, wait};

use serde_json::json;

use crate::authority::TestAuthority;
use crate::browser::Browser;
use crate::typed::Typed;
use crate::{CLIENT, SOON, programs};

mod configuration;
mod device;

use device::Keys;

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

impl Tenant {
    /// Its name on the command line of `keyward-dev session`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Entra => "entra",
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

/// Runs a test on both tenants at once. The thread that fails carries its tenant's name.
pub fn on_both_tenants(test: impl Fn(Tenant) + Sync) {
    std::thread::scope(|scope| {
        let test = &test;
        for tenant in [Tenant::Oidc, Tenant::Entra] {
            let thread = std::thread::Builder::new().name(format!("tenant {}", tenant.name()));
            let started = thread.spawn_scoped(scope, move || test(tenant));
            started.expect("a thread can be started");
        }
    });
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
    /// The TPM of this login alone, if it has one.
    tpm: Option<SoftwareTpm>,
    /// Where the configuration says that keys are to be made.
    keys: Keys,
    /// What else the configuration says.
    more_configuration: String,
    /// How much the broker's processes log.
    log: &'static str,
    tenant: Tenant,
    form: Form,
    /// The folders.
    pub login: Login,
}

/// What is installed in a login, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The one binary for developers under the names of all programs. Variables say where
    /// everything is.
    Developer,
    /// Each program a binary of its own, everything in its default place, as a package leaves it.
    Package,
}

impl Stack {
    /// The login with its authority, bus and keyring; no part of the broker runs yet.
    pub fn without_broker(tenant: Tenant) -> Self {
        Self::of(Form::Developer, tenant, OidcMode::RefreshTokenOnly)
    }

    /// Everything runs, in front of an OpenID provider that binds access tokens as well.
    pub fn with_bound_access_tokens() -> Self {
        let mut stack = Self::of(Form::Developer, Tenant::Oidc, OidcMode::Both);
        stack.start_keywardd();
        stack.start_session();
        stack
    }

    /// A login with what a package of the broker installs, its service files included: the bus
    /// starts the programs, and the user's configuration names the authority.
    pub fn packaged(tenant: Tenant) -> Self {
        let mut stack = Self::of(Form::Package, tenant, OidcMode::RefreshTokenOnly);
        stack.install_service_files();
        stack.configure_with(&format!(
            "[cli]\nclient_id = {CLIENT:?}\nauthority = {:?}\n",
            stack.localhost_authority(tenant)
        ));
        stack
    }

    fn of(form: Form, tenant: Tenant, mode: OidcMode) -> Self {
        let login = Login::new();
        match form {
            Form::Developer => programs::install(&login),
            Form::Package => programs::install_package(&login),
        }
        let browser = Browser::install(&login);
        let authority = TestAuthority::start(mode);
        // What an activated keyward-session finds.
        let environment = environment(form, &login, &browser);
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let bus = SessionBus::start(&login, &environment);
        let keyring = Keyring::start(&login, &bus);
        let stack = Self {
            session: None,
            keywardd: None,
            keyring: Some(keyring),
            bus,
            authority,
            browser,
            tpm: None,
            keys: Keys::InFiles,
            more_configuration: String::new(),
            log: "debug",
            tenant,
            form,
            login,
        };
        stack.configure();
        stack
    }

    /// Everything runs; the well-known names are this tenant.
    pub fn start(tenant: Tenant) -> Self {
        let mut stack = Self::without_broker(tenant);
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
        command.envs(environment(self.form, &self.login, &self.browser));
        command
    }

    /// The broker's socket.
    pub fn socket(&self) -> PathBuf {
        self.login.path("run/keyward/broker.sock")
    }

    /// The vault's folder.
    pub fn vault(&self) -> PathBuf {
        let state = self.login.path("state/keyward");
        let entries = std::fs::read_dir(&state).into_iter().flatten();
        let mut folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let of_machine = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            path.is_dir() && name.is_some_and(|name| name.starts_with("machine-"))
        };
        folders.find(of_machine).unwrap_or(state)
    }

    /// The folder of the key files.
    pub fn keys(&self) -> PathBuf {
        self.vault().join("keys")
    }

    /// The configuration file of both processes.
    pub fn configuration_file(&self) -> PathBuf {
        configuration_file(self.form, &self.login)
    }

    /// Whether it is as a package leaves it, with no variable to say where anything is.
    pub fn is_packaged(&self) -> bool {
        self.form == Form::Package
    }

    /// Starts keywardd and waits until it listens.
    pub fn start_keywardd(&mut self) {
        let mut command = self.command("keywardd");
        command.env("KEYWARD_DEV_MAPPING", self.well_known_names());
        let mut keywardd = Process::start("keywardd", &mut command, &self.login.logs());
        wait::until("keywardd listening", SOON, || {
            assert!(keywardd.is_running(), "{}", keywardd.output());
            UnixStream::connect(self.socket()).ok()
        });
        self.keywardd = Some(keywardd);
        self.introduce();
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
        self.introduce();
    }

    /// Lets keyward-session meet keywardd, which from then on has somebody to show sign-ins. What it
    /// says about itself is no matter here.
    fn introduce(&self) {
        if self.session.is_some() {
            let _ = Typed::over_bus(self).ask("Status", &json!({}));
        }
    }

    /// Lets the bus start keyward-session for whoever asks for its names, as a package does.
    pub fn make_activatable(&self) {
        let program = self.login.path("bin/keyward-session");
        let services = [MICROSOFT_NAME, KEYWARD_NAME].map(|name| {
            let exec = program.display();
            let service = format!("[D-BUS Service]\nName={name}\nExec={exec}\n");
            (format!("{name}.service"), service)
        });
        self.tell_bus(services);
    }

    /// The same with the service files of the package; only the folder of the programs is another.
    fn install_service_files(&self) {
        let folder = self.login.path("bin").display().to_string();
        let files = fs::read_dir(programs::project_folder("dist/dbus"));
        let services = files.expect("the package has service files").map(|file| {
            let file = file.expect("a folder can be read");
            let text = fs::read_to_string(file.path()).expect("a service file is text");
            let name = file.file_name().to_string_lossy().into_owned();
            (name, text.replace("/usr/bin", &folder))
        });
        self.tell_bus(services);
    }

    fn tell_bus(&self, services: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in services {
            let file = self.login.path("services").join(name);
            fs::write(file, text).expect("a service file can be written");
        }
        let reloaded = self.bus.connect().call(DRIVER, "ReloadConfig", &());
        reloaded.expect("the bus reads its folders again");
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
}

/// Where everything of a login is, as far as that has to be said.
fn environment(form: Form, login: &Login, browser: &Browser) -> Vec<(&'static str, String)> {
    let shown = |path: PathBuf| path.display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut environment = vec![
        ("PATH", format!("{}:{path}", shown(login.path("bin")))),
        ("BROWSER", shown(browser.program())),
    ];
    if form == Form::Developer {
        let socket = login.path("run/keyward/broker.sock");
        environment.push(("KEYWARD_SOCKET", shown(socket)));
        let file = configuration_file(form, login);
        environment.push(("KEYWARD_CONFIG", shown(file)));
        let state = login.path("state/keyward");
        environment.push(("KEYWARD_STATE_DIR", shown(state)));
    }
    environment
}

fn configuration_file(form: Form, login: &Login) -> PathBuf {
    login.path(match form {
        Form::Developer => "keyward.toml",
        Form::Package => "config/keyward/config.toml",
    })
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
        for name in ["dbus-daemon", "keywardd", "keyward-session", "node"] {
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
