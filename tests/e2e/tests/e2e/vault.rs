//! The vault under many processes at once, and damaged under a broker.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use keyward_dev_authority::{Endpoint, Fault, FaultRule};
use keyward_e2e::{SOON, Stack, Tenant, Typed};
use keyward_testkit::{process, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const PROCESSES: usize = 8;
const SIGN_INS: usize = 30;

const SOCKET: &str = "KEYWARD_TEST_SOCKET";
const AUTHORITY: &str = "KEYWARD_TEST_AUTHORITY";
const NUMBER: &str = "KEYWARD_TEST_NUMBER";

/// An application of its own for each sign-in: each has a refresh token of its own.
fn request(authority: &str, process: usize, number: usize) -> Value {
    json!({
        "client_id": format!("6d1f0c3e-58a2-4b7e-{process:04x}-{number:012x}"),
        "authority": authority,
        "scopes": "User.Read",
        "force_refresh": true,
    })
}

/// What the test below runs eight times: signs in, renews, says so. Then renews once more when it
/// is told to.
#[test]
#[ignore = "run by the test below"]
fn application() {
    let variable = |name| std::env::var(name).unwrap();
    let socket = PathBuf::from(variable(SOCKET));
    let authority = variable(AUTHORITY);
    let process = variable(NUMBER).parse().unwrap();
    let typed = Typed::at_socket(&socket).unwrap();
    let mut out = std::io::stdout();
    for number in 0..SIGN_INS {
        let asked = request(&authority, process, number);
        typed.ask("AcquireTokenInteractive", &asked).unwrap();
        let renewed = typed.ask("AcquireTokenSilent", &asked).unwrap();
        assert!(renewed["access_token"].is_string());
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let together = request(&authority, 0, 0);
    let token = typed.ask("AcquireTokenSilent", &together).unwrap();
    writeln!(out, "got {}", token["access_token"].as_str().unwrap()).unwrap();
}

/// An application that runs.
struct Application {
    process: Child,
    input: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Application {
    fn start(stack: &Stack, number: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "vault::application", "--ignored", "--nocapture"])
            .env(SOCKET, stack.socket())
            .env(AUTHORITY, stack.localhost_authority(Tenant::Oidc))
            .env(NUMBER, number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    /// The rest of the next line that begins like this.
    fn next(&mut self, beginning: &str) -> String {
        let lines = self.lines.by_ref().map(Result::unwrap);
        let mut found = lines.filter_map(|line| Some(line.strip_prefix(beginning)?.to_owned()));
        found.next().expect("the application goes on")
    }

    fn go_on(&mut self) {
        writeln!(self.input).unwrap();
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn two_hundred_and_forty_sign_ins_and_renewals_of_eight_processes_are_all_kept() {
    let mut stack = Stack::start(Tenant::Oidc);
    stack.kill_keywardd();
    stack.configure_with("[limits]\nnetwork_per_minute = 100000\n");
    stack.start_keywardd();
    let mut applications: Vec<_> = (0..PROCESSES)
        .map(|number| Application::start(&stack, number))
        .collect();
    for application in &mut applications {
        for number in 0..SIGN_INS {
            assert_eq!(application.next("kept "), number.to_string());
        }
    }
    one_renewal_for_all(&stack, &mut applications);
    drop(applications);

    // Whatever was acknowledged survives the end of the broker.
    stack.kill_keywardd();
    stack.start_keywardd();
    let typed = Typed::over_socket(&stack);
    let authority = stack.localhost_authority(Tenant::Oidc);
    let mut kept = 0;
    for process in 0..PROCESSES {
        for number in 0..SIGN_INS {
            let renewed = typed.ask("AcquireTokenSilent", &request(&authority, process, number));
            assert!(renewed.is_ok(), "{process}/{number}: {renewed:?}");
            kept += 1;
        }
    }
    assert_eq!(kept, 240);
}

/// Every process asks for the same renewal at once.
fn one_renewal_for_all(stack: &Stack, applications: &mut [Application]) {
    // So that all of them are there at once.
    let slow = Fault::Slow { ms: 3_000 };
    stack
        .authority
        .fault(FaultRule::once(Endpoint::Token, slow));
    let before = stack.authority.renewals();
    for application in applications.iter_mut() {
        application.go_on();
    }
    let tokens: Vec<String> = applications
        .iter_mut()
        .map(|application| application.next("got "))
        .collect();
    assert_eq!(stack.authority.renewals() - before, 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

/// Runs `keyward vault …` and returns its exit code and the JSON it printed.
fn vault(stack: &Stack, arguments: &[&str]) -> (i32, Value) {
    let output = stack
        .command("keyward")
        .arg("vault")
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{said}"));
    (output.status.code().unwrap(), json)
}

/// Changes one bit of the file of a closed vault.
fn change(folder: &Path, at: usize) {
    let database = folder.join("vault.db");
    let mut content = std::fs::read(&database).unwrap();
    content[at] ^= 1;
    std::fs::write(&database, content).unwrap();
}

#[test]
fn a_damaged_vault_is_checked_and_repaired_from_the_command_line() {
    let mut stack = Stack::start(Tenant::Oidc);
    let authority = stack.localhost_authority(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    for number in 0..2 {
        let asked = request(&authority, 0, number);
        typed.ask("AcquireTokenInteractive", &asked).unwrap();
    }
    drop(typed);
    let (code, report) = vault(&stack, &["check"]);
    assert_eq!((code, &report["damaged"]), (0, &json!([])), "{report}");
    // Ended in order, so that everything is in the file itself.
    let keywardd = stack.keywardd_process().unwrap();
    process::signal(keywardd, Signal::TERM);
    wait::until("the end of keywardd", SOON, || {
        (!process::runs(keywardd)).then_some(())
    });
    stack.kill_keywardd();
    let file = std::fs::read(stack.vault().join("vault.db")).unwrap();
    change(&stack.vault(), somewhere_in_a_record(&file));
    stack.start_keywardd();

    let (code, report) = vault(&stack, &["check"]);
    assert_ne!(code, 0);
    assert_eq!(report["damaged"].as_array().unwrap().len(), 1, "{report}");
    let (code, rehearsal) = vault(&stack, &["repair", "--dry-run"]);
    assert_ne!(code, 0);
    assert_eq!(
        (&rehearsal["lost"], &rehearsal["repaired"]),
        (&json!(1), &json!(false))
    );
    let (code, repair) = vault(&stack, &["repair"]);
    assert_eq!((code, &repair["repaired"]), (0, &json!(true)), "{repair}");
    assert!(Path::new(repair["kept_aside"].as_str().unwrap()).exists());
    assert_eq!(vault(&stack, &["check"]).0, 0);
}

/// A place in the sealed value of a record: in the first cell of the fullest page of the table.
fn somewhere_in_a_record(file: &[u8]) -> usize {
    // A leaf of a table (SQLite's file format, 1.6), and how much of it is in use.
    let used = |page: &[u8]| match page[0] {
        13 => page.iter().filter(|byte| **byte != 0).count(),
        _ => 0,
    };
    let pages = file.chunks(4096).enumerate();
    let (number, page) = pages.max_by_key(|(_, page)| used(page)).unwrap();
    let cell = usize::from(u16::from_be_bytes([page[8], page[9]]));
    // Behind its header and its name.
    number * 4096 + cell + 100
}
