//! `keywardd --system`: one broker, under a uid of its own, for every user of the machine.

use std::fs;
use std::path::Path;

use keyward_e2e::face::token_request;
use keyward_e2e::machine::{BROKER, Form, Keys, Machine};
use keyward_e2e::{ALICE, BOB, CLIENT, OTHER_CLIENT, SOON, Tenant};
use keyward_testkit::process::{Signal, signal};
use keyward_testkit::{Process, root, wait};
use serde_json::{Value, json};

const LOGIN: [&str; 3] = ["login", "--login-hint", ALICE];

#[test]
fn a_user_is_served_by_a_broker_of_another_uid_that_is_found_by_itself() {
    if !root::tests("that the system form serves users under a uid of its own") {
        return;
    }
    let machine = machine();
    machine.keyward(CLIENT, &LOGIN).ok();
    let status = machine.keyward(CLIENT, &["status", "--json"]).ok().json();
    assert_eq!(status["form"], "system");
    assert_eq!(status["accounts"][0]["username"], ALICE);
    let heading = machine.keyward(CLIENT, &["status"]).ok().stdout;
    assert!(heading.contains("system form"), "{heading}");
    machine.keyward(CLIENT, &["token"]).ok();

    let broker = machine.keywardd_process().unwrap();
    let status = fs::read_to_string(format!("/proc/{broker}/status")).unwrap();
    let uids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    let own = BROKER.to_string();
    let uids: Vec<&str> = uids.split_whitespace().skip(1).collect();
    assert_eq!(uids, [own.as_str(); 4]);
    // Nothing of the broker's is in the user's folders.
    assert!(!machine.login.path("state/keyward").exists());
    assert!(machine.state().exists());
}

#[test]
fn doctor_knows_the_system_form() {
    if !root::tests("what doctor says of the system form") {
        return;
    }
    let mut machine = machine();
    let said = machine.keyward(CLIENT, &["doctor", "--json"]).json();
    let check = |said: &Value, name: &str| {
        let checks = said["checks"]
            .as_array()
            .unwrap_or_else(|| said.as_array().unwrap());
        checks
            .iter()
            .find(|check| check["name"] == name)
            .cloned()
            .unwrap()
    };
    let socket = check(&said, "broker socket");
    assert_eq!(socket["state"], "ok", "{socket}");
    assert!(socket["message"].as_str().unwrap().contains("system form"));
    let state = check(&said, "state folder");
    assert!(state["message"].as_str().unwrap().contains("out of reach"));

    machine.kill_keywardd();
    let said = machine.keyward(CLIENT, &["doctor", "--json"]).json();
    let socket = check(&said, "broker socket");
    assert_eq!(socket["state"], "fail", "{socket}");
    assert!(
        socket["mend"]
            .as_str()
            .unwrap()
            .contains("systemctl restart keywardd")
    );
}

#[test]
fn one_that_does_not_run_is_an_error_and_no_other_broker_takes_its_place() {
    if !root::tests("that nothing takes the place of the system form") {
        return;
    }
    let mut machine = machine();
    machine.keyward(CLIENT, &LOGIN).ok();
    machine.kill_keywardd();
    let unavailable = 20;
    for arguments in [&["token"][..], &["status"], &LOGIN] {
        let run = machine.keyward(CLIENT, arguments);
        assert_eq!(run.code, unavailable, "{run:?}");
    }
    // Neither the command line nor keyward-session has started one.
    assert!(!machine.login.path("run/keyward/broker.sock").exists());
}

#[test]
fn nothing_of_one_user_is_within_another_users_reach() {
    if !root::tests("that the users of the system form are kept apart") {
        return;
    }
    let machine = machine();
    machine.keyward(CLIENT, &LOGIN).ok();
    let guest = machine.guest();
    let status = machine
        .keyward_of_guest(&guest, CLIENT, &["status", "--json"])
        .ok()
        .json();
    assert_eq!(status["form"], "system");
    assert_eq!(status["accounts"], json!([]));
    let interaction_required = 3;
    let token = machine.keyward_of_guest(&guest, CLIENT, &["token", "--username", ALICE]);
    assert_eq!(token.code, interaction_required, "{token:?}");
    machine.keyward_of_guest(&guest, CLIENT, &["logout", "--all"]);
    machine
        .keyward(CLIENT, &["token", "--username", ALICE])
        .ok();

    machine
        .keyward_of_guest(&guest, CLIENT, &["login", "--login-hint", BOB])
        .ok();
    let accounts = machine
        .keyward_of_guest(&guest, CLIENT, &["accounts", "--json"])
        .ok();
    assert!(accounts.stdout.contains("@dev.test"), "{accounts:?}");
    let own = machine.keyward(CLIENT, &["status", "--json"]).ok().json();
    assert_eq!(own["accounts"].as_array().unwrap().len(), 1, "{own}");
}

#[test]
fn the_users_of_one_tpm_do_not_wait_for_each_others_connections() {
    if !root::tests("that the users of the system form share a TPM") {
        return;
    }
    let mut machine = Machine::start(Form::System, Keys::Tpm);
    machine.allow_everything();
    let guest = machine.guest();
    machine.keyward(CLIENT, &LOGIN).ok();
    machine
        .keyward_of_guest(&guest, CLIENT, &["login", "--login-hint", BOB])
        .ok();
    for _ in 0..2 {
        let renew = ["token", "--force-refresh"];
        machine.keyward(CLIENT, &renew).ok();
        machine.keyward_of_guest(&guest, CLIENT, &renew).ok();
    }
    let status = machine
        .keyward_of_guest(&guest, CLIENT, &["status", "--json"])
        .ok()
        .json();
    assert_eq!(status["accounts"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["accounts"][0]["key_protection"], "tpm", "{status}");
    // The folders of the keys are apart.
    let keys = |uid: u32| files(&machine.state_of(uid), "key");
    let (own, others) = (
        keys(keyward_e2e::machine::USER),
        keys(keyward_e2e::machine::OTHER_USER),
    );
    assert!(own >= 1 && others >= 1, "{own} and {others}");
}

/// How many files with this extension there are below a folder.
fn files(folder: &Path, extension: &str) -> usize {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                files(&path, extension)
            } else {
                usize::from(path.extension().is_some_and(|found| found == extension))
            }
        })
        .sum()
}

#[test]
fn microsofts_interface_works_unchanged_in_front_of_it() {
    if !root::tests("that keyward-session finds the system form") {
        return;
    }
    let machine = machine();
    machine.keyward(CLIENT, &LOGIN).ok();
    let ask = |method: &str, request: &Value| -> String {
        let mut command = machine.command_of(
            keyward_e2e::machine::USER,
            &machine.login,
            "dbus-send".into(),
        );
        command
            .args(["--session", "--print-reply", "--reply-timeout=60000"])
            .args([
                "--dest=com.microsoft.identity.broker1",
                "/com/microsoft/identity/broker1",
            ])
            .arg(format!("com.microsoft.identity.Broker1.{method}"))
            .args(["string:0.0", "string:3f6f2c1a-3d0e-4d4f-9b0f-7a8b9c0d1e2f"])
            .arg(format!("string:{request}"));
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let who = json!({"clientId": CLIENT, "redirectUri": "http://localhost"});
    let accounts = ask("getAccounts", &who);
    assert!(accounts.contains(ALICE), "{accounts}");
    let json = &accounts[accounts.find('{').unwrap()..=accounts.rfind('}').unwrap()];
    let accounts: Value = serde_json::from_str(json).unwrap();
    let authority = machine.authority.issuer(Tenant::Oidc);
    let asked = token_request(CLIENT, &authority, &accounts["accounts"][0], 1);
    let answer = ask("acquireTokenSilently", &asked);
    assert!(answer.contains("accessToken"), "{answer}");
    // It has started no broker of the user's own.
    assert!(!machine.login.path("run/keyward/broker.sock").exists());
}

#[test]
fn a_sign_in_is_never_shown_by_another_users_agent() {
    if !root::tests("that the user agents of the system form are kept apart") {
        return;
    }
    let machine = machine();
    // The user's keyward-session shows sign-ins for everybody who cannot show one: of this user.
    let without_browser = |mut command: std::process::Command| {
        command
            .env_remove("BROWSER")
            .env("PATH", machine.program(""));
        machine.keyward_of(command, CLIENT, &LOGIN)
    };
    without_browser(machine.command("keyward")).ok();
    let guest = machine.guest();
    let command = machine.command_of(
        keyward_e2e::machine::OTHER_USER,
        &guest,
        machine.program("keyward"),
    );
    let refused = without_browser(command);
    assert_ne!(refused.code, 0, "{refused:?}");
    let shown = machine.authority.sign_ins().len();
    assert_eq!(shown, 2, "one page and one code: the user's own");
}

#[test]
fn it_does_not_run_as_root() {
    if !root::tests("that the system form refuses to be root") {
        return;
    }
    let machine = machine();
    let mut command = std::process::Command::new(machine.program("keywardd"));
    command.args(["--system", "--socket", "/nonexistent/broker.sock"]);
    let mut process = Process::start("keywardd-as-root", &mut command, &machine.login.logs());
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(17), "{}", process.output());
    assert!(process.stderr().contains("setpriv"), "{}", process.output());
}

#[test]
fn accounts_move_to_the_system_form_and_back_and_an_interrupted_move_loses_none() {
    if !root::tests("that accounts move between the forms") {
        return;
    }
    let machine = machine();
    let own = machine.own_broker();
    let at_own = |client: &str, arguments: &[&str]| {
        let mut command = machine.command("keyward");
        command.env(
            "KEYWARD_SOCKET",
            machine.login.path("run/keyward/broker.sock"),
        );
        machine.keyward_of(command, client, arguments)
    };
    for client in [CLIENT, OTHER_CLIENT] {
        at_own(client, &LOGIN).ok();
    }
    let plan = machine
        .keyward(CLIENT, &["migrate", "--dry-run"])
        .ok()
        .stdout;
    assert_eq!(plan.matches("sign in").count(), 2, "{plan}");
    assert_eq!(
        accounts(&machine.keyward(CLIENT, &["status", "--json"]).json()),
        0
    );

    interrupted(&machine);
    assert_eq!(accounts(&at_own(CLIENT, &["status", "--json"]).json()), 1);
    at_own(CLIENT, &["token"]).ok();

    let moved = machine.keyward(CLIENT, &["migrate", "--to", "system"]).ok();
    assert!(
        moved.stdout.contains(&format!("moved {ALICE}")),
        "{moved:?}"
    );
    for client in [CLIENT, OTHER_CLIENT] {
        machine.keyward(client, &["token"]).ok();
    }
    assert_eq!(accounts(&at_own(CLIENT, &["status", "--json"]).json()), 0);

    machine
        .keyward(CLIENT, &["migrate", "--to", "session"])
        .ok();
    at_own(OTHER_CLIENT, &["token"]).ok();
    assert_eq!(
        accounts(&machine.keyward(CLIENT, &["status", "--json"]).json()),
        0
    );
    drop(own);
}

/// A move that ends after its first sign-in: Ctrl-C where the second would be.
fn interrupted(machine: &Machine) {
    let mut command = machine.command("keyward");
    // The first page is signed in on, at the second nobody comes back.
    let browser = machine.login.path("home/browser");
    let script = format!(
        "#!/bin/sh\nif mkdir {0}/once 2>/dev/null; then exec {1} \"$1\"; fi\ntouch {0}/waiting\n",
        machine.login.path("home").display(),
        machine.program("browser").display()
    );
    fs::write(&browser, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&browser, executable).unwrap();
    command
        .args(["migrate", "--to", "system"])
        .env("BROWSER", &browser)
        .env(
            "KEYWARD_USER_AGENT_COMMAND",
            format!("{} {{url}}", browser.display()),
        );
    let mut process = Process::start("migrate", &mut command, &machine.login.logs());
    let waiting = machine.login.path("home/waiting");
    wait::until("the second sign-in", SOON, || {
        assert!(process.is_running(), "{}", process.output());
        waiting.exists().then_some(())
    });
    signal(process.id(), Signal::INT);
    let status = process.wait(SOON);
    assert!(!status.success(), "{}", process.output());
    assert!(
        process.stderr().contains("nothing is lost"),
        "{}",
        process.output()
    );
}

fn accounts(status: &Value) -> usize {
    status["accounts"].as_array().unwrap().len()
}

/// A machine whose policy lets every program do everything.
fn machine() -> Machine {
    let mut machine = Machine::start(Form::System, Keys::Software);
    machine.allow_everything();
    machine
}
