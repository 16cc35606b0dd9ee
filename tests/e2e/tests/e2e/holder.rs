//! keywardd as a process that holds everything worth stealing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use keyward_e2e::{CLIENT, SOON, Stack, Tenant, Typed};
use keyward_testkit::{Login, Process, root};
use serde_json::{Value, json};

fn request(stack: &Stack, tenant: Tenant) -> Value {
    json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(tenant),
        "scopes": "User.Read",
        "force_refresh": true,
    })
}

fn signed_in() -> Stack {
    let stack = Stack::start(Tenant::Oidc);
    let asked = request(&stack, Tenant::Oidc);
    Typed::over_socket(&stack)
        .ask("AcquireTokenInteractive", &asked)
        .unwrap();
    stack
}

#[test]
fn vault_keys_and_socket_are_for_this_user_only() {
    let stack = signed_in();
    let mut files = 0;
    let mut check = |path: &Path| {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
        files += 1;
    };
    walk(&stack.vault(), &mut check);
    walk(stack.socket().parent().unwrap(), &mut check);
    assert!(files >= 5, "vault, key and socket: {files} files");
}

#[test]
fn a_vault_others_may_read_is_refused_with_the_command_that_mends_it() {
    let mut stack = signed_in();
    stack.kill_keywardd();
    fs::set_permissions(stack.vault(), fs::Permissions::from_mode(0o755)).unwrap();
    let why = problem(&mut stack, "Storage");
    assert!(why.contains("chmod"), "{why}");
    fs::set_permissions(stack.vault(), fs::Permissions::from_mode(0o700)).unwrap();
    stack.kill_keywardd();
    stack.start_keywardd();
    let asked = request(&stack, Tenant::Oidc);
    Typed::over_socket(&stack)
        .ask("AcquireTokenSilent", &asked)
        .unwrap();
}

#[test]
fn a_vault_has_one_keywardd() {
    let stack = signed_in();
    let mut command = stack.command("keywardd");
    // Another socket, the same vault.
    let socket = stack.login.path("run/other/broker.sock");
    command.env("KEYWARD_SOCKET", &socket);
    let mut second = Process::start("second-keywardd", &mut command, &stack.login.logs());
    let asked = request(&stack, Tenant::Oidc);
    let typed = keyward_testkit::wait::until("the second keywardd", SOON, || {
        assert!(second.is_running(), "{}", second.output());
        Typed::at_socket(&socket).ok()
    });
    let refused = typed.ask("AcquireTokenSilent", &asked).unwrap_err();
    assert_eq!(refused.kind, "Storage", "{refused:?}");
    let holder = format!("process {}", stack.keywardd_process().unwrap());
    assert!(refused.message.contains(&holder), "{refused:?}");
    Typed::over_socket(&stack)
        .ask("AcquireTokenSilent", &asked)
        .unwrap();
}

#[test]
fn a_vault_copied_to_another_device_is_worthless() {
    let stack = signed_in();
    let thief = Stack::without_broker(Tenant::Oidc);
    let mut thief = thief;
    // A thief with a keywardd of his own, so that a device key is there; then the victim's vault
    // takes the place of his.
    thief.start_keywardd();
    let _ = Typed::over_socket(&thief)
        .ask("Accounts", &json!({"client_id": CLIENT}))
        .unwrap();
    thief.kill_keywardd();
    for entry in fs::read_dir(stack.vault()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("vault.db") {
            fs::copy(entry.path(), thief.vault().join(name)).unwrap();
        }
    }
    let why = problem(&mut thief, "KeyUnavailable");
    assert!(why.contains("key"), "{why}");
    assert_eq!(thief.authority.renewals(), 0);
}

#[test]
fn it_starts_no_process_and_dumps_no_core() {
    let stack = signed_in();
    let keywardd = stack.keywardd_process().unwrap();
    let tasks = fs::read_dir(format!("/proc/{keywardd}/task")).unwrap();
    for task in tasks.map(Result::unwrap) {
        let children = fs::read_to_string(task.path().join("children")).unwrap();
        assert_eq!(children.trim(), "", "keywardd has started processes");
    }
    let limits = fs::read_to_string(format!("/proc/{keywardd}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}

#[test]
fn its_master_keys_are_locked_into_memory() {
    let stack = signed_in();
    let keywardd = stack.keywardd_process().unwrap();
    let status = fs::read_to_string(format!("/proc/{keywardd}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kilobytes = line.unwrap().split_whitespace().next().unwrap();
    // The wrapping key, the vault's data key, and what its records are named by: a page each.
    assert!(kilobytes.parse::<u32>().unwrap() >= 12, "{status}");
}

#[test]
fn it_is_on_no_bus() {
    let stack = signed_in();
    let keywardd = stack.keywardd_process().unwrap();
    let bus = stack.bus.connect();
    let answer = bus
        .call(keyward_testkit::bus::DRIVER, "ListNames", &())
        .unwrap();
    let names: Vec<String> = answer.body().deserialize().unwrap();
    let owners: Vec<_> = names
        .iter()
        .filter_map(|name| bus.owner_process(name))
        .collect();
    assert!(
        owners.len() > 2 && !owners.contains(&keywardd),
        "{owners:?}"
    );
}

#[test]
fn another_user_of_this_machine_is_refused() {
    if root::tests("that keywardd refuses other users of the machine") {
        another_user_is_refused(&signed_in());
    }
}

fn another_user_is_refused(stack: &Stack) {
    // Everything is opened up, so that only the check of who calls is left.
    for path in [
        stack.login.path(""),
        stack.login.path("run"),
        stack.login.path("run/keyward"),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(stack.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let ping = |user: &str| {
        let mut command = stack.command("setpriv");
        command
            .args(["--reuid", user, "--regid", user, "--clear-groups"])
            .arg("dbus-send")
            .arg(format!("--peer=unix:path={}", stack.socket().display()))
            .args(["--print-reply", "--reply-timeout=10000"])
            .args(["/dev/keyward/Broker1", "org.freedesktop.DBus.Peer.Ping"])
            .current_dir("/");
        let mut process = Process::start("dbus-send", &mut command, &stack.login.logs());
        process.wait(SOON).success()
    };
    assert!(ping("0"), "the same user is served");
    assert!(!ping(NOBODY), "another user is not");
    // They got as far as keywardd, and it was keywardd that said no.
    let log = fs::read_to_string(stack.login.logs().join("keywardd.err")).unwrap();
    let refused = log
        .lines()
        .find(|line| line.contains("refused a connection"));
    assert!(refused.unwrap().contains(NOBODY), "{refused:?}");
}

#[test]
fn another_program_of_the_same_user_cannot_look_into_it() {
    if root::tests("that keywardd's memory is out of reach of the same user's programs") {
        keywardd_cannot_be_looked_into();
    }
}

fn keywardd_cannot_be_looked_into() {
    let login = Login::new();
    let program = login.path("keywardd");
    fs::copy(keyward_e2e::programs::binary(), &program).unwrap();
    let as_nobody = |program: &Path| {
        let mut command = login.command("setpriv");
        command
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .arg(program);
        command.current_dir("/");
        command
    };
    let chown = Command::new("chown")
        .args(["-R", NOBODY])
        .arg(login.root())
        .status();
    assert!(chown.unwrap().success());

    let mut keywardd = Process::start("keywardd", &mut as_nobody(&program), &login.logs());
    let socket = login.path("run/keyward/broker.sock");
    keyward_testkit::wait::until("keywardd listening", SOON, || {
        assert!(keywardd.is_running(), "{}", keywardd.output());
        socket.exists().then_some(())
    });
    let mut tail = as_nobody(Path::new("tail"));
    let ordinary = Process::start("tail", tail.args(["-f", "/dev/null"]), &login.logs());
    let can_read = |process: u32, what: &str| {
        let mut cat = as_nobody(Path::new("head"));
        cat.args(["-c", "1"]).arg(format!("/proc/{process}/{what}"));
        cat.output().unwrap().status.success()
    };
    keyward_testkit::wait::until("an ordinary program of the user", SOON, || {
        can_read(ordinary.id(), "environ").then_some(())
    });
    for what in ["environ", "maps", "auxv"] {
        assert!(
            can_read(ordinary.id(), what),
            "{what} of an ordinary program"
        );
        assert!(!can_read(keywardd.id(), what), "{what} of keywardd");
    }
}

/// A user who owns nothing.
const NOBODY: &str = "65534";

/// Starts keywardd on a vault it must not use, and returns what it says to a silent request.
fn problem(stack: &mut Stack, kind: &str) -> String {
    stack.start_keywardd();
    let asked = request(stack, Tenant::Oidc);
    let error = Typed::over_socket(stack)
        .ask("AcquireTokenSilent", &asked)
        .unwrap_err();
    assert_eq!(error.kind, kind, "{error:?}");
    error.message
}

fn walk(path: &Path, check: &mut impl FnMut(&Path)) {
    check(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), check);
        }
    }
}
