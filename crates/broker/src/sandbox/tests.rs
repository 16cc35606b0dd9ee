//! What a thread can do after [`enter`], and what it cannot any more. Restrictions are a thread's
//! own, so each test is confined in a thread that ends with it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use keyward_broker_ipc::program::{Links, Lookup, Pinned};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal};
use tempfile::TempDir;

use super::*;

const EVERYTHING: Wanted = Wanted {
    landlock: true,
    seccomp: true,
};

/// Folders as keywardd has them, and one of somebody else's.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["state", "run", "config", "home"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("file"), name).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn reach(&self) -> Reach {
        Reach {
            write: vec![self.path("state"), self.path("nonexistent")],
            clear: vec![self.path("run")],
            read: vec![self.path("config")],
            devices: vec![PathBuf::from("/dev/zero")],
        }
    }

    /// Does this in a thread that gave up what is wanted.
    fn confined<T: Send>(&self, wanted: Wanted, work: impl FnOnce(Confinement) -> T + Send) -> T {
        let reach = self.reach();
        thread::scope(|scope| {
            let confined = scope.spawn(|| work(enter(wanted, &reach)));
            confined.join().unwrap()
        })
    }
}

fn kind<T>(outcome: io::Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

const DENIED: Option<ErrorKind> = Some(ErrorKind::PermissionDenied);

#[test]
fn it_reaches_its_own_files() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |confined| {
        assert_eq!(confined.missing, [""; 0]);
        let state = machine.path("state");
        fs::create_dir(state.join("keys")).unwrap();
        fs::write(state.join("keys/draft"), "new").unwrap();
        fs::rename(state.join("keys/draft"), state.join("key")).unwrap();
        fs::remove_file(state.join("file")).unwrap();
        fs::remove_dir(state.join("keys")).unwrap();
        File::open(&state).unwrap().sync_all().unwrap();
        assert_eq!(
            fs::read_to_string(machine.path("config/file")).unwrap(),
            "config"
        );
        fs::remove_file(machine.path("run/file")).unwrap();
        File::options()
            .read(true)
            .write(true)
            .open("/dev/zero")
            .unwrap();
    });
}

#[test]
fn it_opens_no_file_outside_its_folders() {
    let machine = Machine::new();
    symlink(machine.path("home/file"), machine.path("state/link")).unwrap();
    machine.confined(EVERYTHING, |_| {
        for outside in ["home/file", "state/link", "state/../home/file"] {
            assert_eq!(kind(fs::read(machine.path(outside))), DENIED, "{outside}");
            assert_eq!(
                kind(fs::write(machine.path(outside), "")),
                DENIED,
                "{outside}"
            );
        }
        assert_eq!(kind(fs::read_dir(machine.path("home"))), DENIED);
        assert_eq!(kind(fs::write(machine.path("home/new"), "")), DENIED);
        assert_eq!(kind(fs::remove_file(machine.path("home/file"))), DENIED);
        // Not out of its folders either, nor into them.
        let moved = fs::rename(machine.path("state/file"), machine.path("home/taken"));
        assert!(moved.is_err());
        assert!(fs::hard_link(machine.path("home/file"), machine.path("state/in")).is_err());
        assert_eq!(kind(fs::write(machine.path("config/file"), "")), DENIED);
        assert_eq!(kind(fs::write(machine.path("run/new"), "")), DENIED);
        assert_eq!(kind(fs::read(machine.path("run/file"))), DENIED);
        assert_eq!(kind(fs::write("/etc/keyward-test", "")), DENIED);
        assert_eq!(kind(File::open("/dev/full")), DENIED);
    });
    assert_eq!(
        fs::read_to_string(machine.path("home/file")).unwrap(),
        "home"
    );
}

#[test]
fn it_makes_nothing_but_files_and_folders() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |_| {
        let state = machine.path("state");
        assert_eq!(kind(symlink("/etc", state.join("link"))), DENIED);
        assert_eq!(kind(UnixListener::bind(state.join("socket"))), DENIED);
    });
}

#[test]
fn it_executes_nothing() {
    let machine = Machine::new();
    // Each alone is enough.
    for (landlock, seccomp) in [(true, true), (true, false), (false, true)] {
        let wanted = Wanted { landlock, seccomp };
        machine.confined(wanted, |_| {
            for program in ["/bin/true", "/usr/bin/env", "/proc/self/exe"] {
                assert_eq!(kind(Command::new(program).spawn()), DENIED, "{program}");
            }
        });
    }
}

#[test]
fn it_listens_on_no_other_socket_and_still_connects() {
    let machine = Machine::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    machine.confined(EVERYTHING, |_| {
        assert_eq!(kind(TcpListener::bind("127.0.0.1:0")), DENIED);
        TcpStream::connect(address).unwrap();
    });
    let seccomp_alone = Wanted {
        landlock: false,
        seccomp: true,
    };
    machine.confined(seccomp_alone, |_| {
        assert_eq!(kind(TcpListener::bind("127.0.0.1:0")), DENIED);
        assert_eq!(
            kind(UnixListener::bind(machine.path("home/socket"))),
            DENIED
        );
    });
}

#[test]
fn names_are_resolved_and_what_tls_trusts_is_read() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |_| {
        let resolved = ("localhost", 1).to_socket_addrs().unwrap();
        assert!(
            resolved
                .into_iter()
                .all(|address| address.ip().is_loopback())
        );
        fs::read_dir("/etc/ssl").unwrap();
        fs::read("/etc/resolv.conf").unwrap();
    });
}

#[test]
fn it_looks_into_and_signals_no_other_process() {
    let machine = Machine::new();
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = Pid::from_child(&other);
    machine.confined(EVERYTHING, |_| {
        let open = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        let stolen =
            rustix::process::pidfd_getfd(&open, 1, rustix::process::PidfdGetfdFlags::empty());
        assert_eq!(stolen.err(), Some(Errno::PERM));
        let memory = File::open(format!("/proc/{}/mem", pid.as_raw_nonzero()));
        assert_eq!(kind(memory), DENIED);
        let killed = rustix::process::kill_process(pid, Signal::KILL);
        assert_eq!(killed.err(), Some(Errno::PERM));
    });
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn it_changes_neither_who_it_is_nor_what_it_sees() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |_| {
        let here = File::open("/proc/self/ns/uts").unwrap();
        let joined = rustix::thread::move_into_link_name_space(here.as_fd(), None);
        assert_eq!(joined.err(), Some(Errno::PERM));
        let me = rustix::process::geteuid();
        let changed = rustix::thread::set_thread_uid(me);
        assert_eq!(changed.err(), Some(Errno::PERM));
        let raw = rustix::net::socket(
            rustix::net::AddressFamily::PACKET,
            rustix::net::SocketType::DGRAM,
            None,
        );
        assert_eq!(raw.err(), Some(Errno::PERM));
        let dumpable = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
        assert_eq!(dumpable.err(), Some(Errno::PERM));
    });
}

#[test]
fn its_new_threads_are_confined_and_run() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |_| {
        let outside = machine.path("home/file");
        let read = thread::spawn(move || kind(fs::read(outside)));
        assert_eq!(read.join().unwrap(), DENIED);
        let executed = thread::spawn(|| kind(Command::new("/bin/true").spawn()));
        assert_eq!(executed.join().unwrap(), DENIED);
    });
}

#[test]
fn the_kernel_says_what_is_in_force() {
    let machine = Machine::new();
    machine.confined(EVERYTHING, |_| {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        assert!(status.contains("Seccomp:\t2\n"), "{status}");
    });
}

#[test]
fn what_is_switched_off_is_off_and_said() {
    let machine = Machine::new();
    let nothing = Wanted {
        landlock: false,
        seccomp: false,
    };
    machine.confined(nothing, |confined| {
        assert_eq!(confined.in_force, ["no new privileges"]);
        let missing = confined.missing;
        assert_eq!(
            missing[0],
            "landlock is not in force: `hardening.landlock` is false"
        );
        assert_eq!(
            missing[1],
            "seccomp is not in force: `hardening.seccomp` is false"
        );
        fs::read(machine.path("home/file")).unwrap();
        assert!(Command::new("/bin/true").status().unwrap().success());
    });
}

#[test]
fn the_programs_of_callers_are_still_known() {
    let machine = Machine::new();
    let mut caller = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = caller.id();
    let link = format!("/proc/{pid}/exe");
    let path = fs::read_link(&link).unwrap();
    let links = Links::beyond(only_links);
    machine.confined(EVERYTHING, |_| {
        assert_eq!(kind(fs::read_link(&link)), DENIED);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let lookup = Lookup::on_a_thread(links).unwrap();
        let process = Arc::new(Pinned::process(pid, rustix::process::geteuid().as_raw()));
        let program = runtime.unwrap().block_on(lookup.program(process));
        let executable = program.executable.as_ref().unwrap();
        assert_eq!(Path::new(&executable.path), path);
        assert_eq!(program.name.as_deref(), Some("sleep"));
        assert!(program.parent.as_ref().unwrap().path.is_some());
        assert_eq!(program.sandbox, None);
    });
    caller.kill().unwrap();
    caller.wait().unwrap();
}

#[test]
fn the_thread_that_reads_links_does_nothing_else() {
    thread::spawn(|| {
        assert!(only_links());
        assert_eq!(kind(File::open("/etc/passwd")), DENIED);
        assert_eq!(kind(File::create("/tmp/keyward-links")), DENIED);
        assert_eq!(kind(TcpStream::connect("127.0.0.1:1")), DENIED);
        let written = rustix::io::write(io::stderr(), b"x");
        assert_eq!(written.err(), Some(Errno::PERM));
        assert!(fs::metadata("/proc/self/exe").unwrap().is_file());
        let here = rustix::fs::readlinkat(rustix::fs::CWD, "/proc/self/exe", Vec::new());
        assert!(here.is_ok());
    })
    .join()
    .unwrap();
}
