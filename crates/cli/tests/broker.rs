//! The commands that talk to a broker, against one that behaves, over its real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../broker-ipc/tests/fixtures/mod.rs"]
mod fixtures;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use fixtures::agent::{FakeAgent, Person};
use fixtures::{ENDLESS, FAILING, FakeBroker, Socket, UID, UTID};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::proxy::SocketBroker;
use keyward_broker_ipc::server::Limits;
use keyward_client::account::AccountSelector;
use keyward_client::binding::{KeyProtection, RequiredBinding};
use keyward_client::request::{AuthenticationScheme, CachePolicy, Prompt};
use keyward_config::Environment;
use keyward_testkit::bus::Caller;
use keyward_testkit::process::signal;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Plays the browser and the person: goes to the redirect URI with a code.
const BROWSER: &str = r#"#!/bin/bash
port=$(printf %s "$1" | sed -n 's/.*%3A\([0-9][0-9]*\).*/\1/p')
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /?code=c0de HTTP/1.1\r\nHost: localhost:%s\r\n\r\n' "$port" >&3
cat <&3 >/dev/null
"#;

/// A broker on a thread of its own: the commands block theirs.
struct Running {
    broker: Arc<FakeBroker>,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        Self::beside(None)
    }

    /// With a keyward-session at hand that shows sign-ins to this person.
    fn beside(session: Option<Person>) -> Self {
        let (started, start) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let socket = Socket::new(Limits::default());
                let path = socket.options().path;
                let session = session.map(|person| {
                    let agent = FakeAgent::new(person);
                    let options = socket.options();
                    SocketBroker::new(options.with_agent(agent, AgentScope::Everyone))
                });
                if let Some(session) = &session {
                    session.connect().await.unwrap();
                }
                started.send((Arc::clone(&socket.broker), path)).unwrap();
                let _ = stopped.await;
            });
        });
        let (broker, socket) = start.recv().unwrap();
        Self {
            broker,
            socket,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn environment(&self) -> Environment {
        Environment::empty()
            .with_variable("KEYWARD_SOCKET", &self.socket)
            .with_variable("KEYWARD_CLIENT_ID", "client-1")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        keyward(arguments, &self.environment())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        self.json_whatever()
    }

    fn json_whatever(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn keyward(arguments: &[&str], environment: &Environment) -> Ran {
    let arguments = ["keyward"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = keyward_cli::execute(arguments, environment, &mut out, &mut err);
    Ran {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

fn home_account_id() -> String {
    format!("{UID}.{UTID}")
}

#[test]
fn a_token_is_the_only_thing_on_stdout() {
    let broker = Running::start();
    let ran = broker.run(&["token", "--scope", "User.Read", "--scope", "Mail.Read"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "access-token-1\n");

    let request = broker.broker.silent.lock().unwrap().pop().unwrap();
    assert_eq!(request.token.client_id.as_str(), "client-1");
    assert_eq!(request.token.scopes.to_string(), "User.Read Mail.Read");
    assert_eq!(request.account, AccountSelector::Only);
    assert!(matches!(request.cache, CachePolicy::UseCache));
}

#[test]
fn a_token_can_be_had_for_a_user_fresh_and_with_claims() {
    let broker = Running::start();
    let claims = r#"{"access_token":{"acrs":{"value":"c1"}}}"#;
    let username = ["--username", "Alice@dev.test"];
    let ran = broker.run(&[
        "token",
        "--force-refresh",
        "--claims",
        claims,
        username[0],
        username[1],
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let request = broker.broker.silent.lock().unwrap().pop().unwrap();
    assert_eq!(request.token.claims.as_deref(), Some(claims));
    assert_eq!(
        request.account,
        AccountSelector::Username("Alice@dev.test".to_owned())
    );
    assert!(matches!(request.cache, CachePolicy::ForceRefresh));

    let ran = broker.run(&["token", "--account", &home_account_id()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let request = broker.broker.silent.lock().unwrap().pop().unwrap();
    assert!(matches!(request.account, AccountSelector::Home(id) if id.uid() == UID));
}

#[test]
fn headers_can_be_handed_to_curl() {
    let broker = Running::start();
    let bearer = broker.run(&["token", "--header"]);
    assert_eq!(bearer.out, "Authorization: Bearer access-token-1\n");

    let url = "https://api.example/me?x=1";
    let pop = broker.run(&["token", "--pop", "get", url, "--nonce", "n", "--header"]);
    assert_eq!(pop.out, "Authorization: PoP access-token-2\n");
    let request = broker.broker.silent.lock().unwrap().pop().unwrap();
    let AuthenticationScheme::Pop(parameters) = request.token.scheme else {
        panic!("no signed HTTP request was asked for");
    };
    assert_eq!(
        (parameters.method.as_str(), parameters.path.as_str()),
        ("GET", "/me")
    );
    assert_eq!(parameters.nonce.as_deref(), Some("n"));
}

#[test]
fn token_as_json_has_expiry_account_and_binding() {
    let broker = Running::start();
    let token = broker.run(&["token", "--json"]).json();
    assert_eq!(token["access_token"], "access-token-1");
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_on"], 4_000_000_000_u64);
    assert_eq!(token["token_source"], "identity-provider");
    assert_eq!(token["account"]["home_account_id"], home_account_id());
    assert_eq!(token["binding"], "sender-constrained:dpop");
    assert_eq!(token["key_protection"], "software");
}

#[test]
fn what_a_token_rests_on_is_demanded_and_explained() {
    let broker = Running::start();
    let bound = [
        "token",
        "--require-binding",
        "sender-constrained",
        "--explain",
    ];
    let ran = broker.run(&bound);
    assert_eq!((ran.code, ran.out.as_str()), (0, "access-token-1\n"));
    for line in [
        "explain: broker: ",
        "explain: form: session: under this user's uid",
        "explain: account: alice@dev.test at https://idp.example\n",
        "explain: token: Bearer, from the authority, over the network, until 2096-10-02T07:06:40Z",
        "explain: binding: sender-constrained:dpop: the authority refuses",
        "explain: key protection: software: ",
    ] {
        assert!(ran.err.contains(line), "{line}: {}", ran.err);
    }
    let asked = broker.broker.silent.lock().unwrap().pop().unwrap();
    let demands = asked.token.demands;
    assert_eq!(demands.binding, Some(RequiredBinding::SenderConstrained));
    assert_eq!(demands.key_protection, None);

    let ran = broker.run(&["token", "--require-key-protection", "tpm"]);
    assert_eq!((ran.code, ran.out.as_str()), (17, ""));
    assert!(ran.err.contains("demands keys in a TPM"), "{}", ran.err);
    let asked = broker.broker.silent.lock().unwrap().pop().unwrap();
    let demanded = asked.token.demands.key_protection;
    assert_eq!(demanded, Some(KeyProtection::Tpm));
}

#[test]
fn moving_to_new_keys_shows_how_far_it_is_and_can_go_on() {
    let broker = Running::start();
    let ran = broker.run(&["device", "rebind", "--to", "software", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "new keys: software\n\
         [1/1] alice@dev.test at https://idp.example: moved\n\
         done: every old key is destroyed\n"
    );
    assert!(
        ran.err
            .contains("[1/1] alice@dev.test at https://idp.example: sign in again")
    );

    broker.broker.rebind_fails.store(true, Ordering::SeqCst);
    let ran = broker.run(&["device", "rebind", "--yes"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(
        ran.out
            .contains("[1/1] alice@dev.test at https://idp.example: not moved: ")
    );
    assert!(
        ran.err.contains("hint: keyward device rebind goes on"),
        "{}",
        ran.err
    );
}

#[test]
fn nothing_is_destroyed_or_moved_without_a_word() {
    let broker = Running::start();
    for arguments in [["device", "forget"], ["device", "rebind"]] {
        // As tests run, nobody is at a terminal.
        let ran = broker.run(&arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("hint: pass --yes"), "{}", ran.err);
    }
    let ran = broker.run(&["device", "forget", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "signed out 1 accounts, destroyed 2 keys; no record is left in the vault\n"
    );
    assert!(ran.err.contains("alice@dev.test"), "{}", ran.err);
}

#[test]
fn whoever_is_unknown_has_to_sign_in_first() {
    let broker = Running::start();
    for account in [["--username", "carol@dev.test"], ["--account", "carol.dev"]] {
        let ran = broker.run(&["token", account[0], account[1]]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""));
        assert!(ran.err.contains("hint: keyward login"), "{}", ran.err);
    }
    // Nobody was bothered.
    assert!(broker.broker.interactive.lock().unwrap().is_empty());
}

#[test]
fn whom_the_environment_suggests_is_no_demand() {
    let broker = Running::start();
    let suggested = broker
        .environment()
        .with_variable("KEYWARD_DEV_USER", "bob@dev.test");
    let ran = keyward(&["token"], &suggested);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn every_error_of_the_broker_has_the_exit_code_of_the_table() {
    let broker = Running::start();
    for row in keyward::ERROR_TABLE {
        let authority = format!("{FAILING}{}", row.name);
        let ran = broker.run(&["token", "--authority", &authority]);
        assert_eq!(ran.code, row.exit_code, "{}", row.name);
        let message = format!("error: it is {}", row.name);
        let said = ran.err.lines().next().unwrap_or_default();
        assert!(said.starts_with(&message), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
}

#[test]
fn an_error_quotes_what_the_authority_says() {
    let broker = Running::start();
    let authority = format!("{FAILING}InteractionRequired");
    let ran = broker.run(&["token", "--authority", &authority]);
    let quoted =
        "error: it is InteractionRequired; the authority says: AADSTS50076: more is needed\n";
    assert!(ran.err.starts_with(quoted), "{}", ran.err);
}

#[test]
fn accounts_are_listed_for_people_and_programs() {
    let broker = Running::start();
    let accounts = broker.run(&["accounts", "--json"]).json();
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(accounts["accounts"][0]["username"], "alice@dev.test");
    assert_eq!(
        accounts["accounts"][0]["home_account_id"],
        home_account_id()
    );

    let ran = broker.run(&["accounts"]);
    assert!(ran.out.starts_with("ACCOUNT "), "{}", ran.out);
    assert!(ran.out.contains("alice@dev.test"), "{}", ran.out);
}

#[test]
fn signing_out_removes_the_account() {
    let broker = Running::start();
    let unknown = broker.run(&["logout", "--username", "carol@dev.test"]);
    assert_eq!(unknown.code, 5);

    let ran = broker.run(&["logout", "--account", &home_account_id()]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(ran.err, "signed out alice@dev.test\n");
    let accounts = broker.run(&["accounts", "--json"]).json();
    assert_eq!(accounts, json!({"accounts": []}));

    let again = broker.run(&["logout", "--all"]);
    assert_eq!(
        (again.code, again.err.as_str()),
        (0, "nobody is signed in\n")
    );
}

#[test]
fn status_has_the_promised_shape() {
    let broker = Running::start();
    let status = broker.run(&["status", "--json"]).json();
    assert_eq!(
        status,
        json!({
            "version": "9.9",
            "form": "session",
            "key_protection": "software",
            "decision": {
                "choice": "tpm",
                "reason": "a TPM can be reached",
                "decided_at": "2026-01-02T03:04:05Z",
                "maker": "ACME",
            },
            "accounts": [{
                "username": "alice@dev.test",
                "home_account_id": home_account_id(),
                "environment": "login.microsoftonline.com",
                "tenant_id": UTID,
                "authority": "https://idp.example",
                "binding": "sender-constrained:dpop",
                "key_protection": "software",
            }],
            "hardening": ["landlock"],
            "problems": ["one", "two", "restart it"],
        })
    );
    let ran = broker.run(&["status"]);
    assert!(
        ran.out
            .starts_with("keyward 9.9, session form, new keys: software\n"),
        "{}",
        ran.out
    );
    for part in ["alice@dev.test", "sender-constrained:dpop", "problem: two"] {
        assert!(ran.out.contains(part), "{}", ran.out);
    }
}

#[test]
fn the_device_is_shown_with_the_reason_it_was_chosen_and_what_is_bound_to_it() {
    let broker = Running::start();
    let report = broker.run(&["device", "show", "--json"]).json();
    assert_eq!(report["key_protection"], "tpm");
    assert_eq!(report["device"]["simulator"], true);
    assert_eq!(report["decision"]["choice"], "tpm");
    assert_eq!(report["decision"]["decided_at"], "2026-01-02T03:04:05Z");
    assert_eq!(report["keys"], json!(["key-1", "key-2"]));
    assert_eq!(report["accounts"][0]["client_id"], "client-1");
    assert_eq!(report["accounts"][0]["key"], "key-1");

    let shown = broker.run(&["device", "show"]).out;
    for part in [
        "new keys: tpm (ACME, firmware 7.1, a simulator, which protects nothing",
        "decided: tpm on 2026-01-02T03:04:05Z, because a TPM can be reached\n",
        "keys: 2\n",
        "alice@dev.test",
        "problem: one is wrong\n",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_configuration_that_is_not_in_force_yet_is_named_by_every_command_that_shows_it() {
    let broker = Running::start();
    let shown = broker.run(&["status"]).out;
    assert!(shown.contains("problem: restart it\n"), "{shown}");
    let environment = broker
        .environment()
        .with_variable("KEYWARD_STATE_DIR", "/nonexistent/keyward/state");
    let shown = keyward(&["config", "check"], &environment).out;
    assert!(shown.contains("warning: restart it\n"), "{shown}");
    let shown = keyward(&["doctor", "--json"], &environment).json_whatever();
    let checks = shown["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["message"] == "restart it");
    assert_eq!(check.unwrap()["state"], "warn", "{shown}");
}

#[test]
fn a_sign_in_is_shown_by_who_asked_for_it_whoever_else_could() {
    let broker = Running::beside(Some(Person::SaysNo));
    let folder = tempfile::tempdir().unwrap();
    let browser = program(folder.path(), BROWSER);
    let ran = bare(&broker)
        .args(["login", "--prompt", "select-account", "--json"])
        .env("KEYWARD_USER_AGENT_COMMAND", &browser)
        .env("KEYWARD_DEV_USER", "alice@dev.test")
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.starts_with("waiting for the sign-in"), "{said}");
    let signed_in: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(signed_in["account"]["username"], "alice@dev.test");
    assert_eq!(signed_in["binding"], "sender-constrained:dpop");
    assert_eq!(signed_in.get("access_token"), None);

    let request = broker.broker.interactive.lock().unwrap().pop().unwrap();
    assert_eq!(request.login_hint.as_deref(), Some("alice@dev.test"));
    assert_eq!(request.prompt, Some(Prompt::SelectAccount));
}

#[test]
fn nobody_is_told_to_wait_for_a_page_that_is_not_shown() {
    let broker = Running::start();
    let authority = format!("{FAILING}AuthorityUntrusted");
    let ran = bare(&broker)
        .args(["login", "--authority", &authority])
        .env("KEYWARD_USER_AGENT_COMMAND", "/nonexistent/browser {url}")
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("it is AuthorityUntrusted"), "{said}");
    assert!(!said.contains("waiting"), "{said}");
}

#[test]
fn where_nothing_starts_here_keyward_session_shows_the_sign_in() {
    let broker = Running::beside(Some(Person::SignsIn));
    let environment = broker
        .environment()
        .with_variable("KEYWARD_USER_AGENT_COMMAND", "/nonexistent/browser {url}");
    // That a command does not start shows only when it is tried, which is too late for another.
    assert_eq!(keyward(&["login"], &environment).code, 17);

    let ran = bare(&broker).args(["login"]).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(ran.stdout.starts_with(b"signed in as alice@dev.test"));
}

#[test]
fn a_terminal_without_browser_and_display_shows_the_address() {
    let broker = Running::beside(Some(Person::HasNoDisplay));
    // `script`, of bsdutils, makes the terminal.
    let mut child = Command::new("script")
        .args(["-qefc", concat!(env!("CARGO_BIN_EXE_keyward"), " login")])
        .arg("/dev/null")
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")])
        .env("KEYWARD_SOCKET", &broker.socket)
        .env("KEYWARD_CLIENT_ID", "client-1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("install bsdutils, for script");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || said.next().unwrap().unwrap();
    assert!(line().starts_with("waiting for the sign-in"));
    assert!(line().starts_with("there is neither $BROWSER nor a display"));
    let how = line();
    assert!(how.starts_with("open this address in a browser on this machine, or elsewhere after"));
    let address = std::iter::repeat_with(line).find(|line| line.starts_with("https://"));
    let browser = program(broker.socket.parent().unwrap(), BROWSER);
    let signed_in = Command::new(browser).arg(address.unwrap().trim()).status();
    assert!(signed_in.unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(said.any(|line| line.unwrap().starts_with("signed in as alice@dev.test")));
}

/// The program itself, in an environment with nothing but this broker.
fn bare(broker: &Running) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .env_clear()
        .env("KEYWARD_SOCKET", &broker.socket)
        .env("KEYWARD_CLIENT_ID", "client-1");
    command
}

#[test]
fn ctrl_c_cancels_the_sign_in_at_the_broker() {
    let broker = Running::start();
    let child = bare(&broker)
        .args(["login", "--authority", ENDLESS])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(broker.broker.wait_running(1));
    signal(child.id(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with("error: the sign-in was cancelled\n"),
        "{said}"
    );
    wait(broker.broker.wait_cancelled(1));
}

fn wait(condition: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(condition);
}

#[test]
fn a_sign_in_that_cannot_be_shown_says_why() {
    let broker = Running::start();
    let environment = broker
        .environment()
        .with_variable("KEYWARD_USER_AGENT_COMMAND", "/nonexistent/browser {url}");
    let ran = keyward(&["login"], &environment);
    assert_eq!(ran.code, 17);
    assert!(ran.err.contains("/nonexistent/browser"), "{}", ran.err);
}

#[test]
fn without_a_broker_it_is_said_where_one_was_expected() {
    let folder = fixtures::private_folder();
    let socket = folder.path().join("broker.sock");
    let environment = Environment::empty()
        .with_variable("KEYWARD_SOCKET", &socket)
        .with_variable("KEYWARD_CLIENT_ID", "client-1");
    for command in ["token", "accounts", "status", "login"] {
        let ran = keyward(&[command], &environment);
        assert_eq!(ran.code, 20, "{command}: {}", ran.err);
        assert!(ran.err.contains(socket.to_str().unwrap()), "{}", ran.err);
        assert!(ran.err.contains("hint: keyward doctor"), "{}", ran.err);
    }
}

#[test]
fn the_doctor_finds_a_working_broker_and_warns_that_there_is_no_bus() {
    let broker = Running::start();
    let state = fixtures::private_folder();
    let environment = broker
        .environment()
        .with_variable("KEYWARD_STATE_DIR", state.path());
    let ran = keyward(&["doctor", "--json"], &environment);
    let report = ran.json();
    assert_eq!(state_of(&report, "configuration"), "ok");
    assert_eq!(state_of(&report, "state folder"), "ok");
    assert_eq!(state_of(&report, "broker socket"), "ok");
    // The broker says that something is wrong.
    assert_eq!(state_of(&report, "vault"), "warn");
    assert_eq!(state_of(&report, "session bus"), "warn");

    let ran = keyward(&["doctor"], &environment);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("mend: "), "{}", ran.out);
}

#[test]
fn the_doctor_says_who_answers_on_the_bus() {
    let broker = Running::start();
    let bus = fixtures::bus::TestBus::start();
    let environment = broker
        .environment()
        .with_variable("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let report = keyward(&["doctor", "--json"], &environment).json_whatever();
    assert_eq!(state_of(&report, "session bus"), "ok");
    assert_eq!(state_of(&report, "dev.keyward.Broker"), "warn");
    assert_eq!(state_of(&report, "com.microsoft.identity.broker1"), "warn");
    assert_eq!(state_of(&report, "keyring"), "warn");
}

#[test]
fn another_broker_on_the_bus_is_named_in_the_status() {
    let broker = Running::start();
    let bus = fixtures::bus::TestBus::start();
    let environment = broker
        .environment()
        .with_variable("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let other = Caller::to_bus(&bus.address);
    other.own("com.microsoft.identity.broker1");

    let status = keyward(&["status", "--json"], &environment).json();
    let problem = status["problems"].as_array().unwrap().last().unwrap();
    let problem = problem.as_str().unwrap();
    assert!(
        problem.starts_with("another broker owns com.microsoft.identity.broker1"),
        "{problem}"
    );
    assert!(
        problem.contains(&format!("(pid {})", std::process::id())),
        "{problem}"
    );
}

#[test]
fn the_doctor_exits_with_the_code_of_the_first_failure() {
    let folder = fixtures::private_folder();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let environment = Environment::empty()
        .with_variable("KEYWARD_SOCKET", folder.path().join("broker.sock"))
        .with_variable("KEYWARD_STATE_DIR", &state);
    let ran = keyward(&["doctor"], &environment);
    assert_eq!(ran.code, 18, "{}", ran.out);
    assert!(ran.out.contains("chmod 700"), "{}", ran.out);

    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let ran = keyward(&["doctor"], &environment);
    assert_eq!(ran.code, 20, "{}", ran.out);
    assert!(ran.err.is_empty(), "{}", ran.err);
}

fn state_of<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    check.expect(name)["state"].as_str().unwrap()
}

fn program(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("browser");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
