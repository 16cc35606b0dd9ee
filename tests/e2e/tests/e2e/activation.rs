//! keywardd started by a service manager when somebody connects, and gone again when nobody asks.

use std::fs::{self, DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keyward_e2e::{CLIENT, SOON, Stack, Tenant, Typed};
use keyward_testkit::wait;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// Passes a socket on as systemd does: descriptor 3, for the process that is about to run.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0""#;

/// Listens, and starts keywardd whenever somebody connects while none runs.
struct Manager {
    starts: Arc<AtomicUsize>,
    runs: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    fn of(stack: &Stack) -> Self {
        let folder = stack.socket().parent().unwrap().to_owned();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .unwrap();
        let socket = UnixListener::bind(stack.socket()).unwrap();
        let mut command = Command::new("/bin/sh");
        let program = stack.command("keywardd");
        let variables = program
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?)));
        command
            .env_clear()
            .envs(variables)
            .env("KEYWARD_IDLE_EXIT_SECONDS", "1")
            .args(["-c", ACTIVATE])
            .arg(program.get_program());
        let mut manager = Self {
            starts: Arc::default(),
            runs: Arc::default(),
            ending: Arc::default(),
            thread: None,
        };
        let (starts, runs) = (Arc::clone(&manager.starts), Arc::clone(&manager.runs));
        let ending = Arc::clone(&manager.ending);
        let log = stack.login.logs().join("keywardd.err");
        let work = move || {
            while !ending.load(Ordering::Relaxed) {
                if !somebody_connects(&socket) {
                    continue;
                }
                let lines = File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .unwrap();
                command.stdin(OwnedFd::from(socket.try_clone().unwrap()));
                let mut keywardd = command.stderr(Stdio::from(lines)).spawn().unwrap();
                runs.store(true, Ordering::Relaxed);
                starts.fetch_add(1, Ordering::Relaxed);
                assert!(wait_for(&mut keywardd, &ending).is_none_or(|code| code == 0));
                runs.store(false, Ordering::Relaxed);
            }
        };
        manager.thread = Some(thread::spawn(work));
        manager
    }

    fn starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    /// Waits until nobody asks any more. Returns how often it was started until then.
    fn wait_until_it_left(&self) -> usize {
        wait::until("keywardd's end", SOON, || {
            (!self.runs.load(Ordering::Relaxed)).then_some(self.starts())
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err();
            assert!(!failed || thread::panicking(), "keywardd did not end well");
        }
    }
}

fn somebody_connects(socket: &UnixListener) -> bool {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let mut waiting = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut waiting, Some(&moment)).is_ok_and(|ready| ready > 0)
}

/// The exit status, or none if it was ended because the test is over.
fn wait_for(keywardd: &mut Child, ending: &AtomicBool) -> Option<i32> {
    loop {
        if let Some(status) = keywardd.try_wait().unwrap() {
            return status.code();
        }
        if ending.load(Ordering::Relaxed) {
            keywardd.kill().unwrap();
            keywardd.wait().unwrap();
            return None;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn request(stack: &Stack) -> Value {
    json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read",
        "force_refresh": true,
    })
}

#[test]
fn it_leaves_when_nobody_asks_and_is_there_for_everybody_who_does() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    let manager = Manager::of(&stack);
    stack.start_session();
    let asked = request(&stack);
    let bus = Typed::over_bus(&stack);
    bus.ask("AcquireTokenInteractive", &asked).unwrap();
    let before = manager.wait_until_it_left();

    // keyward-session has noticed, looks for the next one, and wakes nobody by that.
    let woken = wait::within(Duration::from_secs(3), || {
        (manager.starts() != before).then_some(())
    });
    assert_eq!(woken, None);

    // A request on the bus does, and finds everything as it was.
    bus.ask("AcquireTokenSilent", &asked).unwrap();
    assert_eq!(manager.wait_until_it_left(), before + 1);

    // So does one on the socket, and even the screen of keyward-session is there for it.
    Typed::over_socket(&stack)
        .ask("AcquireTokenInteractive", &asked)
        .unwrap();
    assert_eq!(manager.wait_until_it_left(), before + 2);
    let log = fs::read_to_string(stack.login.logs().join("keywardd.err")).unwrap();
    assert!(!log.contains("not finished"), "{log}");
}
