//! A machine with a user on it, and a broker of either form: what the same-user thief is let loose
//! on. The user and the broker of the system form are uids of their own, so this needs root; as
//! anybody else, everything of the session form runs as the one who runs it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyward_dev_authority::OidcMode;
use keyward_testkit::{Login, Process, SoftwareTpm, wait};
use tempfile::TempDir;

use crate::authority::TestAuthority;
use crate::cli::Run;
use crate::stack::{KEYWARD_NAME, MICROSOFT_NAME, Tenant};
use crate::{ALICE, SOON, programs};

/// The user: `nobody`, who owns nothing else on any machine.
pub const USER: u32 = 65534;

/// Another user of the machine, without a name.
pub const OTHER_USER: u32 = 64_997;

/// The broker of the system form, without a name.
pub const BROKER: u32 = 64_998;

/// A form of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the user.
    Session,
    /// Under a uid of its own.
    System,
}

impl Form {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::System => "system",
        }
    }
}

/// Where the broker keeps its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// In files.
    Software,
    /// In a TPM of the machine's own.
    Tpm,
}

impl Keys {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Tpm => "tpm",
        }
    }
}

/// A machine. Everything on it ends when it is dropped.
pub struct Machine {
    session: Option<Process>,
    keywardd: Option<Process>,
    _bus: Process,
    /// The development authority.
    pub authority: TestAuthority,
    form: Form,
    /// What the policy says.
    policy: String,
    tpm: Option<SoftwareTpm>,
    /// Where only root may write: programs, and in the system form configuration and socket.
    root: TempDir,
    /// The vaults of the system form.
    state: TempDir,
    /// The user's folders.
    pub login: Login,
}

impl Machine {
    /// With everything running, nobody signed in, and no policy. The system form needs root.
    pub fn start(form: Form, keys: Keys) -> Self {
        assert!(
            form == Form::Session || is_root(),
            "the system form has uids of its own: run this as root"
        );
        let (login, root) = (Login::new(), folder_of_root());
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        let bin = root.path().join("bin");
        fs::create_dir(&bin).expect("a folder can be made");
        for program in ["keyward", "keywardd", "keyward-session", "keyward-dev"] {
            install(&programs::own_binary(program), &bin.join(program));
        }
        let browser = format!(
            "#!/bin/sh\nexec {} sign-in --user {ALICE} \"$1\"\n",
            bin.join("keyward-dev").display()
        );
        fs::write(bin.join("browser"), browser).expect("a program can be written");
        set_mode(&bin.join("browser"), 0o755);
        fs::create_dir(root.path().join("etc")).expect("a folder can be made");
        fs::create_dir(login.path("den")).expect("a folder can be made");
        let tpm = (keys == Keys::Tpm).then(SoftwareTpm::start);
        let authority = TestAuthority::start(OidcMode::RefreshTokenOnly);
        let bus = bus(&login);
        let mut machine = Self {
            session: None,
            keywardd: None,
            _bus: bus,
            authority,
            form,
            policy: String::new(),
            tpm,
            root,
            state,
            login,
        };
        if form == Form::System {
            let run = machine.system_socket();
            let run = run.parent().expect("it is in a folder");
            fs::create_dir(run).expect("a folder can be made");
            own(run, BROKER);
            set_mode(run, 0o755);
            own(machine.state.path(), BROKER);
        }
        machine.configure();
        machine.start_broker();
        machine
    }

    /// What becomes of requests with these client ids, whoever asks.
    pub fn set_policy(&mut self, verdicts: &[(&str, &str)]) {
        let rule = |(client, verdict): &(&str, &str)| {
            format!("[[policy.rule]]\nclient_id = {client:?}\nverdict = {verdict:?}\n\n")
        };
        self.policy = verdicts.iter().map(rule).collect();
        self.configure();
        self.restart_broker();
    }

    /// Lets every program do everything.
    pub fn allow_everything(&mut self) {
        "[policy]\nunknown = \"allow\"\n\n".clone_into(&mut self.policy);
        self.configure();
        self.restart_broker();
    }

    /// Starts keywardd as the form has it, and keyward-session for the user.
    pub fn start_broker(&mut self) {
        let mut command = match self.form {
            Form::Session => self.command("keywardd"),
            Form::System => self.system_command(),
        };
        let mut keywardd = Process::start("keywardd", &mut command, &self.login.logs());
        let socket = self.socket();
        wait::until("keywardd listening", SOON, || {
            assert!(keywardd.is_running(), "{}", keywardd.output());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        self.keywardd = Some(keywardd);
        let mut command = self.command("keyward-session");
        let session = Process::start("keyward-session", &mut command, &self.login.logs());
        self.session = Some(session);
        for name in [MICROSOFT_NAME, KEYWARD_NAME] {
            wait::until(name, SOON, || self.has_owner(name).then_some(()));
        }
    }

    /// Ends and starts everything again.
    pub fn restart_broker(&mut self) {
        self.session = None;
        self.keywardd = None;
        self.start_broker();
    }

    /// `keywardd --system`, as its service file starts it.
    fn system_command(&self) -> Command {
        let mut command = Command::new(self.program("keywardd"));
        command
            .env_clear()
            .arg("--system")
            .arg("--config")
            .arg(self.system_config())
            .arg("--state-dir")
            .arg(self.state.path())
            .arg("--socket")
            .arg(self.system_socket())
            .current_dir("/");
        command.uid(BROKER).gid(BROKER);
        command
    }

    /// A command of the user's.
    pub fn command(&self, program: &str) -> Command {
        self.command_of(USER, &self.login, self.program(program))
    }

    /// A command of whichever user's, in a login of that user's.
    pub fn command_of(&self, uid: u32, login: &Login, program: PathBuf) -> Command {
        let mut command = login.command(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.program("").display()))
            .env("BROWSER", self.program("browser"))
            .env("KEYWARD_SYSTEM_SOCKET", self.system_socket());
        if is_root() {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// A login of another user's.
    pub fn guest(&self) -> Login {
        let login = Login::new();
        own_all(login.root(), OTHER_USER);
        login
    }

    /// Runs `keyward` as the user, for one client of the authority.
    pub fn keyward(&self, client: &str, arguments: &[&str]) -> Run {
        self.keyward_of(self.command("keyward"), client, arguments)
    }

    /// Runs `keyward` as the other user in their login.
    pub fn keyward_of_guest(&self, login: &Login, client: &str, arguments: &[&str]) -> Run {
        let command = self.command_of(OTHER_USER, login, self.program("keyward"));
        self.keyward_of(command, client, arguments)
    }

    /// Runs this command of `keyward`.
    pub fn keyward_of(&self, mut command: Command, client: &str, arguments: &[&str]) -> Run {
        command
            .args(arguments)
            .env("KEYWARD_CLIENT_ID", client)
            .env("KEYWARD_AUTHORITY", self.authority.issuer(Tenant::Oidc));
        crate::cli::run_in(&self.login, &mut command)
    }

    /// Starts a broker of the user's own, of the session form, beside the system's.
    pub fn own_broker(&self) -> Process {
        let text = self.configuration();
        let file = self.user_config();
        fs::create_dir_all(file.parent().unwrap_or(&file)).expect("a folder can be made");
        fs::write(&file, text).expect("the configuration can be written");
        own_all(self.login.root(), USER);
        let mut keywardd = Process::start(
            "own-keywardd",
            &mut self.command("keywardd"),
            &self.login.logs(),
        );
        let socket = self.login.path("run/keyward/broker.sock");
        wait::until("a keywardd of the user's own", SOON, || {
            assert!(keywardd.is_running(), "{}", keywardd.output());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        keywardd
    }

    /// Kills the broker, as a crash would.
    pub fn kill_keywardd(&mut self) {
        if let Some(mut keywardd) = self.keywardd.take() {
            keywardd.kill();
        }
    }

    /// An installed program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.path().join("bin").join(name)
    }

    /// Where the user's programs find the broker.
    pub fn socket(&self) -> PathBuf {
        match self.form {
            Form::Session => self.login.path("run/keyward/broker.sock"),
            Form::System => self.system_socket(),
        }
    }

    /// Where the broker of the system form is, if there is one.
    pub fn system_socket(&self) -> PathBuf {
        self.root.path().join("keyward/broker.sock")
    }

    /// The broker's configuration file.
    pub fn configuration_file(&self) -> PathBuf {
        match self.form {
            Form::Session => self.user_config(),
            Form::System => self.system_config(),
        }
    }

    /// The folder of the user's vault and keys.
    pub fn state(&self) -> PathBuf {
        match self.form {
            Form::Session => self.login.path("state/keyward"),
            Form::System => self.state_of(user()),
        }
    }

    /// The folder of whichever user's vault and keys in the system form.
    pub fn state_of(&self, uid: u32) -> PathBuf {
        self.state.path().join("users").join(uid.to_string())
    }

    /// The process of the broker.
    pub fn keywardd_process(&self) -> Option<u32> {
        self.keywardd.as_ref().map(Process::id)
    }

    /// The TCTI of the machine's TPM.
    pub fn tcti(&self) -> Option<String> {
        self.tpm.as_ref().map(SoftwareTpm::tcti)
    }

    fn system_config(&self) -> PathBuf {
        self.root.path().join("etc/config.toml")
    }

    fn user_config(&self) -> PathBuf {
        self.login.path("config/keyward/config.toml")
    }

    fn configuration(&self) -> String {
        let keys = match self.tcti() {
            Some(tcti) => format!("key_protection = \"tpm\"\n\n[tpm]\ntcti = {tcti:?}\n"),
            None => "key_protection = \"software\"\n".to_owned(),
        };
        format!(
            "log = \"debug\"\n{keys}\n{}[[authority]]\nissuer = {:?}\nkind = \"oidc\"\n\
             verify_binding = true\n",
            self.policy,
            self.authority.issuer(Tenant::Oidc)
        )
    }

    fn configure(&self) {
        let file = self.configuration_file();
        let folder = file.parent().expect("it is in a folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(&file, self.configuration()).expect("the configuration can be written");
        if self.form == Form::System {
            set_mode(&file, 0o644);
        }
        own_all(self.login.root(), USER);
    }

    fn has_owner(&self, name: &str) -> bool {
        let mut command = self.command_of(USER, &self.login, "dbus-send".into());
        command
            .args([
                "--session",
                "--print-reply",
                "--dest=org.freedesktop.DBus",
                "/",
            ])
            .args([
                "org.freedesktop.DBus.NameHasOwner",
                &format!("string:{name}"),
            ]);
        let output = command.output().expect("dbus-send can be run");
        String::from_utf8_lossy(&output.stdout).contains("boolean true")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.session = None;
        // keyward-session may have started one.
        if let Some(process) = keyward_testkit::process::listener(&self.socket()) {
            let signal = keyward_testkit::process::Signal::TERM;
            keyward_testkit::process::signal(process, signal);
        }
        self.keywardd = None;
        if std::thread::panicking() {
            for name in ["keywardd", "keyward-session", "dbus-daemon"] {
                let file = self.login.logs().join(format!("{name}.err"));
                let text = fs::read_to_string(file).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(30).collect();
                eprintln!("── the end of what {name} wrote");
                last.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

/// A session bus of the user's.
fn bus(login: &Login) -> Process {
    let socket = login.path("run/bus");
    let config = login.path("bus.conf");
    let text = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\
         <type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
         <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
        socket.display()
    );
    fs::write(&config, text).expect("the bus's configuration can be written");
    own_all(login.root(), USER);
    let mut command = login.command("dbus-daemon");
    command.arg("--nofork").arg("--config-file").arg(&config);
    if is_root() {
        command.uid(USER).gid(USER);
    }
    let mut daemon = Process::start("dbus-daemon", &mut command, &login.logs());
    wait::until("a bus", SOON, || {
        assert!(daemon.is_running(), "{}", daemon.output());
        socket.exists().then_some(())
    });
    daemon
}

/// Below a folder that only root may change, where there is a root.
fn folder_of_root() -> TempDir {
    let parent = if is_root() {
        PathBuf::from("/run")
    } else {
        std::env::temp_dir()
    };
    let folder = tempfile::Builder::new().prefix("kw-").tempdir_in(parent);
    let folder = folder.expect("a folder can be made");
    set_mode(folder.path(), 0o755);
    folder
}

fn install(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a program can be copied");
    set_mode(to, 0o755);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode can be set");
}

fn own(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("a folder can be given away");
}

/// Gives a folder and all in it to this user, where there is a root to do that.
fn own_all(folder: &Path, uid: u32) {
    if !is_root() {
        return;
    }
    let given = Command::new("chown")
        .args(["-R", "-h", &format!("{uid}:{uid}")])
        .arg(folder)
        .status();
    assert!(given.is_ok_and(|status| status.success()));
}

/// The user's uid.
pub fn user() -> u32 {
    if is_root() {
        USER
    } else {
        nix::unistd::getuid().as_raw()
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
