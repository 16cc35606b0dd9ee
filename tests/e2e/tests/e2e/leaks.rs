//! No refresh token leaves keywardd: not into a log, a file, the bus, or another process's memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use keyward_e2e::{ALICE, BOB, CLIENT, Msal, SOON, Stack, Tenant, Typed, cli};
use keyward_testkit::{Recording, Secrets, root, wait};
use serde_json::{Value, json};

#[test]
fn no_refresh_token_of_openid_is_found_anywhere_but_in_keywardd() {
    nothing_leaks(Tenant::Oidc);
}

#[test]
fn no_refresh_token_of_entra_is_found_anywhere_but_in_keywardd() {
    nothing_leaks(Tenant::Entra);
}

/// Microsoft's client uses the broker at this tenant, everybody else at both.
fn nothing_leaks(tenant: Tenant) {
    let mut stack = Stack::without_broker(tenant);
    stack.log_everything();
    let recording = Recording::start(&stack.login, &stack.bus);
    stack.start_keywardd();
    stack.start_session();
    let mut msal = Msal::start(&stack);
    let handed_out = use_everything(&stack, &mut msal);
    let bus = recording.finish(&stack.bus);
    let refresh_tokens = Secrets::new(stack.authority.refresh_tokens());

    everything_was_recorded(&bus, &handed_out);
    assert_eq!(refresh_tokens.in_bytes(&bus), [0; 0], "on the bus");
    everything_was_logged(&stack);
    let files = refresh_tokens.in_folder(stack.login.root());
    assert_eq!(files, [], "in a file");
    no_access_token_is_logged_or_stored_in_clear(&stack, &handed_out);
    if root::tests("that no refresh token is in the memory of a client or of keyward-session") {
        the_memory_of_others_is_clean(&stack, &mut msal, &refresh_tokens, &handed_out);
        the_search_works(&stack, &refresh_tokens);
    }
}

/// The access tokens that were handed out.
struct HandedOut {
    over_bus: Vec<String>,
    over_socket: Vec<String>,
}

/// Both tenants, both users, every face: sign-in, silent, renewal, PoP, command line, sign-out.
fn use_everything(stack: &Stack, msal: &mut Msal) -> HandedOut {
    let over_bus = [by_microsofts_client(stack, msal), by_the_typed_bus(stack)].concat();
    HandedOut {
        over_bus,
        over_socket: [by_the_socket(stack), by_the_command_line(stack)].concat(),
    }
}

fn by_microsofts_client(stack: &Stack, msal: &mut Msal) -> Vec<String> {
    let mut tokens = vec![msal.sign_in()];
    let pop = json!({"method": "GET", "uri": stack.authority.api()});
    let claims = json!({"access_token": {"x": {"value": "fresh"}}}).to_string();
    for more in [json!({}), json!({"pop": pop}), json!({"claims": claims})] {
        let mut asked = more;
        asked["user"] = json!(ALICE);
        tokens.push(msal.ask("silent", asked).unwrap());
    }
    stack.browser.signs_in(BOB);
    let bob = json!({"prompt": "login"});
    tokens.push(msal.ask("interactive", bob).unwrap());
    stack.browser.signs_in(ALICE);
    texts(&tokens, "accessToken")
}

fn by_the_typed_bus(stack: &Stack) -> Vec<String> {
    by_the_typed_interface(stack, &Typed::over_bus(stack))
}

fn by_the_socket(stack: &Stack) -> Vec<String> {
    by_the_typed_interface(stack, &Typed::over_socket(stack))
}

fn by_the_typed_interface(stack: &Stack, typed: &Typed) -> Vec<String> {
    let mut tokens = Vec::new();
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let mut asked = json!({
            "client_id": CLIENT, "authority": stack.localhost_authority(tenant),
            "scopes": "User.Read", "username": ALICE,
        });
        tokens.push(typed.ask("AcquireTokenInteractive", &asked).unwrap());
        asked["force_refresh"] = json!(true);
        for _ in 0..3 {
            tokens.push(typed.ask("AcquireTokenSilent", &asked).unwrap());
        }
    }
    texts(&tokens, "access_token")
}

fn by_the_command_line(stack: &Stack) -> Vec<String> {
    let run = |arguments: &[&str]| cli::keyward_logging_everything(stack, arguments).ok();
    run(&["login", "--login-hint", ALICE]);
    let token = run(&["token", "--username", ALICE, "--force-refresh", "--json"]).json();
    run(&["status", "--json"]);
    run(&["logout", "--username", BOB]);
    texts(&[token], "access_token")
}

fn texts(tokens: &[Value], key: &str) -> Vec<String> {
    let texts = tokens.iter().map(|token| token[key].as_str());
    texts.map(|text| text.unwrap().to_owned()).collect()
}

/// Otherwise the bus is clean because nobody listened.
fn everything_was_recorded(bus: &[u8], handed_out: &HandedOut) {
    for method in [
        "acquireTokenInteractively",
        "acquireTokenSilently",
        "getAccounts",
        "AcquireTokenInteractive",
        "AcquireTokenSilent",
    ] {
        let called = bus.windows(method.len()).any(|at| at == method.as_bytes());
        assert!(called, "{method} is not in the recording");
    }
    let recorded = Secrets::new(handed_out.over_bus.clone()).in_bytes(bus);
    let all: Vec<usize> = (0..handed_out.over_bus.len()).collect();
    assert_eq!(recorded, all, "the recording holds every reply");
    let others = Secrets::new(handed_out.over_socket.clone()).in_bytes(bus);
    assert_eq!(others, [0; 0], "what went over the socket is on no bus");
}

/// Otherwise the logs are clean because nothing is in them.
fn everything_was_logged(stack: &Stack) {
    let logs = stack.login.logs();
    for (log, mark) in [
        ("keywardd.err", " TRACE "),
        ("keyward-session.err", " TRACE "),
        ("node.err", " : Trace - "),
    ] {
        let text = fs::read_to_string(logs.join(log)).unwrap();
        assert!(text.contains(mark), "{log} does not hold everything");
    }
    let runs = runs_of_the_command_line(stack);
    assert_eq!(runs.len(), 4, "every run has a log");
    for log in runs {
        assert!(log.contains(" TRACE "), "a run did not log everything");
    }
}

/// What each run of `keyward` logged.
fn runs_of_the_command_line(stack: &Stack) -> Vec<String> {
    let folders = fs::read_dir(stack.login.logs()).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let runs = folders.filter(|path| path.is_dir());
    runs.map(|run| fs::read_to_string(run.join("keyward.err")).unwrap())
        .collect()
}

fn no_access_token_is_logged_or_stored_in_clear(stack: &Stack, handed_out: &HandedOut) {
    let all = [&handed_out.over_bus[..], &handed_out.over_socket].concat();
    let access_tokens = Secrets::new(all);
    assert_eq!(access_tokens.in_folder(&stack.vault()), [], "in the vault");
    let mut logs = runs_of_the_command_line(stack);
    for process in ["keywardd", "keyward-session"] {
        for kind in ["err", "out"] {
            let log = stack.login.logs().join(format!("{process}.{kind}"));
            logs.push(fs::read_to_string(log).unwrap());
        }
    }
    for log in logs {
        assert_eq!(access_tokens.in_bytes(log.as_bytes()), [0; 0], "in a log");
    }
}

/// Microsoft's client, a client of ours while it holds a token, and keyward-session.
fn the_memory_of_others_is_clean(
    stack: &Stack,
    msal: &mut Msal,
    refresh_tokens: &Secrets,
    handed_out: &HandedOut,
) {
    let ours = Unread::start(stack, handed_out);
    let session = stack.session_process().unwrap();
    // Where the login is, is in every process's environment: whoever does not find that does not
    // read the memory.
    let control = Secrets::new([stack.socket().display().to_string()]);
    for (what, process) in [
        ("Microsoft's client", msal.process()),
        ("keyward", ours.0.id()),
        ("keyward-session", session),
    ] {
        let memory = control.in_memory(process);
        let memory = memory.unwrap_or_else(|error| {
            panic!("not even root can read the memory of {what}; give it CAP_SYS_PTRACE: {error}")
        });
        assert!(!memory.is_empty(), "the memory of {what} is not searched");
        let memory = refresh_tokens.in_memory(process).unwrap();
        assert_eq!(memory, [], "in {what}");
        let files = refresh_tokens.in_open_files(process).unwrap();
        assert_eq!(files, [], "in a file {what} has open");
    }
    let access_tokens = Secrets::new(handed_out.over_bus.clone());
    let memory = access_tokens.in_memory(msal.process()).unwrap();
    assert!(!memory.is_empty(), "the client holds its access token");
}

/// `keyward token` that cannot end because nobody reads what it prints.
struct Unread(Child, #[allow(dead_code)] UnixStream);

impl Unread {
    /// Starts it and waits until its memory holds the token.
    fn start(stack: &Stack, handed_out: &HandedOut) -> Self {
        let (unread, mut full) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        let end = loop {
            if let Err(error) = full.write(&[b' '; 4096]) {
                break error.kind();
            }
        };
        assert_eq!(end, ErrorKind::WouldBlock);
        full.set_nonblocking(false).unwrap();
        let mut command = cli::command(stack, &["token", "--username", ALICE]);
        command.stdin(Stdio::null()).stdout(OwnedFd::from(full));
        let started = Self(command.spawn().unwrap(), unread);
        let access_tokens = Secrets::new(handed_out.over_socket.clone());
        wait::until("a client with a token", SOON, || {
            let memory = access_tokens.in_memory(started.0.id()).ok()?;
            (!memory.is_empty()).then_some(())
        });
        started
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same search finds refresh tokens of both tenants where they must be.
fn the_search_works(stack: &Stack, refresh_tokens: &Secrets) {
    let keywardd = stack.keywardd_process().unwrap();
    let issuers = stack.authority.issuers();
    let found = refresh_tokens.in_memory(keywardd).unwrap().into_iter();
    let found: BTreeSet<_> = found.map(|found| issuers[found.secret] as usize).collect();
    assert_eq!(found.len(), 2, "the search does not find what is there");
    let files = refresh_tokens.in_open_files(keywardd).unwrap();
    assert_eq!(files, [], "in a file keywardd has open");
}
