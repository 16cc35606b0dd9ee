//! `keyward-dev session` around its command: exit status, signals, and that nothing stays behind,
//! however it ends.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use keyward_e2e::private_session::Desktop;
use keyward_e2e::stack::MICROSOFT_NAME;
use keyward_e2e::{SOON, programs};
use keyward_testkit::bus::Caller;
use keyward_testkit::process::{Signal, listener, runs, signal, signal_group};
use keyward_testkit::{Dialogue, Login, Process, wait};

#[test]
fn the_exit_status_is_the_commands_as_shells_count() {
    let desktop = Desktop::start();
    let data = desktop.login.path("home/data");
    fs::write(&data, "no program").unwrap();
    let data = data.to_str().unwrap();
    let cases: [(i32, &[&str]); 8] = [
        (0, &["true"]),
        (3, &["sh", "-c", "exit 3"]),
        (255, &["sh", "-c", "exit 255"]),
        (126, &[data]),
        (127, &["no-such-program"]),
        (127, &["/no/such/program"]),
        (128 + 9, &["sh", "-c", "kill -KILL $$"]),
        (128 + 15, &["sh", "-c", "kill -TERM $$"]),
    ];
    for (expected, command) in cases {
        let arguments = [&["session", "--"], command].concat();
        let mut session = desktop.keyward_dev(&arguments);
        let status = session.wait(SOON);
        assert_eq!(status.code(), Some(expected), "{command:?}: {status}");
        let bus = desktop.bus.connect();
        assert!(!bus.has_owner(MICROSOFT_NAME), "{command:?}");
        assert_empty(&desktop.login);
    }
}

#[test]
fn what_ends_a_session_ends_all_of_it() {
    let waits = "tell; exec tail -f /dev/null";
    for (sent, to, expected) in [
        // As a terminal does it.
        (Signal::INT, To::Group, 130),
        (Signal::QUIT, To::Group, 131),
        (Signal::HUP, To::Group, 129),
        // As a supervisor does it.
        (Signal::TERM, To::KeywardDev, 143),
        (Signal::HUP, To::KeywardDev, 129),
    ] {
        let mut session = Session::start(waits);
        session.send(sent, to);
        let status = session.dialogue.process().wait(SOON);
        assert_eq!(status.code(), Some(expected), "{sent:?} to {to:?}");
        session.assert_gone();
        assert_empty(&session.login);
    }
}

#[test]
fn a_command_that_handles_ctrl_c_still_has_its_broker() {
    let mut session = Session::start("trap 'keyward login >&2 && exit 5' INT; tell; read line");
    session.send(Signal::INT, To::Group);
    let process = session.dialogue.process();
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(5), "{}", process.output());
    session.assert_gone();
    assert_empty(&session.login);
}

#[test]
fn a_command_that_handles_the_end_says_with_which_status() {
    let mut session = Session::start("trap 'exit 7' TERM; tell; read line");
    session.send(Signal::TERM, To::KeywardDev);
    let status = session.dialogue.process().wait(SOON);
    assert_eq!(status.code(), Some(7));
    session.assert_gone();
    assert_empty(&session.login);
}

#[test]
fn not_even_a_crash_leaves_a_process_behind() {
    let mut session = Session::start("tell; read line");
    session.dialogue.process().kill();
    // The command reads the end of its input, as it would when its own parent is gone.
    let Session {
        dialogue, parts, ..
    } = session;
    dialogue.close(SOON);
    parts.assert_gone();
}

#[test]
fn whenever_it_is_told_to_end_nothing_stays_behind() {
    for task in [&["session", "--", "tail", "-f", "/dev/null"][..], &["demo"]] {
        // A little further each time.
        for progress in (1..=16).step_by(3) {
            let login = Login::new();
            programs::install(&login);
            let mut command = login.command(login.path("bin/keyward-dev"));
            command.args(task).env_remove("DBUS_SESSION_BUS_ADDRESS");
            let mut keyward_dev = Process::start("keyward-dev", &mut command, &login.logs());
            wait::until("progress", SOON, || {
                assert!(keyward_dev.is_running(), "{}", keyward_dev.output());
                (count(&login.path("tmp")) >= progress).then_some(())
            });
            signal(keyward_dev.id(), Signal::TERM);
            let status = keyward_dev.wait(SOON);
            let what = format!("{task:?} at {progress}: {status}");
            assert!([Some(0), Some(143)].contains(&status.code()), "{what}");
            wait::until(&format!("the end of {what}"), SOON, || {
                processes_of(&login).is_empty().then_some(())
            });
            assert_empty(&login);
        }
    }
}

#[test]
fn without_any_bus_and_without_a_daemon_for_one_it_says_what_to_install() {
    let login = Login::new();
    programs::install(&login);
    let mut command = login.command(login.path("bin/keyward-dev"));
    command.args(["session", "--", "true"]);
    command.env_remove("DBUS_SESSION_BUS_ADDRESS");
    command.env("PATH", login.path("bin"));
    let mut session = Process::start("keyward-dev", &mut command, &login.logs());
    assert_eq!(session.wait(SOON).code(), Some(1));
    let said = session.stderr();
    assert!(said.contains("is the package dbus installed?"), "{said}");
    assert_empty(&login);
}

/// How many files and folders there are.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| 1 + count(&entry.path())).sum()
}

/// The processes started from a login's private folders.
fn processes_of(login: &Login) -> Vec<String> {
    let here = login.path("tmp").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines =
        processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&here)).collect()
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, Debug)]
enum To {
    /// `keyward-dev` and its command, as with Ctrl-C.
    Group,
    /// `keyward-dev` alone.
    KeywardDev,
}

/// A session with a bus of its own, whose command runs.
struct Session {
    dialogue: Dialogue,
    parts: Parts,
    login: Login,
}

/// What a session consists of.
struct Parts {
    processes: [(&'static str, u32); 5],
    folder: PathBuf,
}

impl Session {
    /// Starts it with a shell script as its command, and waits until that runs `tell`.
    fn start(script: &str) -> Self {
        let login = Login::new();
        programs::install(&login);
        let tells = "tell() { echo $$ $KEYWARD_SOCKET $DBUS_SESSION_BUS_ADDRESS; }; ulimit -c 0";
        let mut command = login.command(login.path("bin/keyward-dev"));
        command
            .args(["session", "--", "sh", "-c", &format!("{tells}; {script}")])
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .process_group(0);
        let mut dialogue = Dialogue::start("keyward-dev", &mut command, &login.logs());
        let told = dialogue.hear(SOON, |_| true);
        let [command, socket, address] = told.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{told}");
        };
        let bus = address.strip_prefix("unix:path=").unwrap();
        let bus = bus.split(',').next().unwrap();
        let socket = PathBuf::from(socket);
        let caller = Caller::to_bus(address);
        let owner = |name: &str| caller.owner_process(name).expect("somebody owns the name");
        let parts = Parts {
            processes: [
                ("the command", command.parse().unwrap()),
                ("keywardd", listener(&socket).unwrap()),
                ("keyward-session", owner(MICROSOFT_NAME)),
                ("gnome-keyring-daemon", owner("org.freedesktop.secrets")),
                ("dbus-daemon", listener(bus.as_ref()).unwrap()),
            ],
            folder: socket.ancestors().nth(2).unwrap().to_owned(),
        };
        assert!(parts.folder.starts_with(login.path("tmp")), "{told}");
        assert!(parts.folder.join("state").is_dir(), "{told}");
        for (name, process) in parts.processes {
            assert!(runs(process), "{name}");
        }
        Self {
            dialogue,
            parts,
            login,
        }
    }

    fn send(&mut self, sent: Signal, to: To) {
        let keyward_dev = self.dialogue.process().id();
        match to {
            To::Group => signal_group(keyward_dev, sent),
            To::KeywardDev => signal(keyward_dev, sent),
        }
    }

    fn assert_gone(&self) {
        self.parts.assert_gone();
        assert!(!self.parts.folder.exists());
    }
}

impl Parts {
    fn assert_gone(&self) {
        for (name, process) in self.processes {
            let gone = || (!runs(process)).then_some(());
            wait::until(&format!("the end of {name}"), SOON, gone);
        }
    }
}

/// Nothing is left in the folder of temporary files.
fn assert_empty(login: &Login) {
    let left: Vec<_> = fs::read_dir(login.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
