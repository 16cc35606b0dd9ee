//! `cargo xtask thief`: a machine, a person who signs in on it, and the same-user thief.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use keyward_testkit::Process;
use serde_json::{Value, json};

use crate::machine::{Form, Keys, Machine};
use crate::stack::Tenant;
use crate::thief::{Attempt, Target};
use crate::verdict::{Judge, Judged, Loot};
use crate::{ALICE, CLIENT, OTHER_CLIENT, SOON};

/// What the thief came to.
pub struct Report {
    /// The form of the broker.
    pub form: Form,
    /// Where the keys are.
    pub keys: Keys,
    /// Every attempt, in their order.
    pub attempts: Vec<Judged>,
}

/// The client the policy asks about.
pub const ASKED_CLIENT: &str = "3c1b9f7e-0a4d-4e2b-8f61-5d7c9e2a4b68";

/// Lets the thief (its program) loose on a machine. Alice is signed in for three clients; the policy
/// lets the user's programs have tokens for one of them, denies them all for another, and asks
/// about the third.
pub fn run(form: Form, keys: Keys, thief: &Path) -> Report {
    let mut machine = Machine::start(form, keys);
    let clients = [CLIENT, OTHER_CLIENT, ASKED_CLIENT];
    machine.set_policy(&clients.map(|client| (client, "allow")));
    for client in clients {
        let scope = ["--scope", "User.Read"];
        let sign_in = [&["login", "--login-hint", ALICE], &scope[..]].concat();
        machine.keyward(client, &sign_in).ok();
        machine
            .keyward(client, &[&["token"], &scope[..]].concat())
            .ok();
    }
    machine.set_policy(&[
        (CLIENT, "allow"),
        (OTHER_CLIENT, "deny"),
        (ASKED_CLIENT, "ask"),
    ]);
    let token = |client: &str| machine.keyward(client, &["token", "--scope", "User.Read"]);
    token(CLIENT).ok();
    let (denied, asked) = (token(OTHER_CLIENT), token(ASKED_CLIENT));
    assert_ne!(denied.code, 0, "the policy denies it: {denied:?}");
    assert_ne!(asked.code, 0, "the policy asks about it: {asked:?}");

    let attempts = steal(&machine, thief);
    let judge = Judge::new(
        machine.authority.refresh_tokens(),
        machine.authority.issuer(Tenant::Oidc),
        CLIENT,
        ASKED_CLIENT,
    );
    Report {
        form,
        keys,
        attempts: attempts
            .iter()
            .map(|attempt| judge.judge(attempt))
            .collect(),
    }
}

/// Runs the thief as the user.
fn steal(machine: &Machine, thief: &Path) -> Vec<Attempt> {
    let program = machine.program("thief");
    fs::copy(thief, &program).expect("a program can be copied");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    let login = &machine.login;
    let socket = machine.socket();
    let mut places = vec![
        machine.state(),
        machine.configuration_file(),
        socket.parent().unwrap_or(&socket).to_owned(),
    ];
    let of_user = ["home", "run", "state", "config", "data", "tmp"].map(|part| login.path(part));
    let logs = ["keywardd.err", "keyward-session.err"].map(|log| login.logs().join(log));
    places.extend(of_user.into_iter().chain(logs));
    let target = Target {
        socket,
        state: machine.state(),
        configuration: machine.configuration_file(),
        places,
        programs: machine.program(""),
        authority: machine.authority.issuer(Tenant::Oidc),
        token_endpoint: machine.authority.token_endpoint(),
        allowed: CLIENT.to_owned(),
        denied: OTHER_CLIENT.to_owned(),
        asked: ASKED_CLIENT.to_owned(),
        den: login.path("den"),
        tcti: machine.tcti(),
    };
    let mut command = machine.command("thief");
    command
        .env("KEYWARD_THIEF_PROGRAMS", machine.program(""))
        .args(["steal", &target.to_json().to_string()]);
    let mut process = Process::start("thief", &mut command, &login.logs());
    let status = process.wait(SOON * 5);
    assert!(
        status.success(),
        "the thief fell over\n{}",
        process.stderr()
    );
    let told: Value = serde_json::from_str(&process.stdout()).expect("the thief tells JSON");
    let told = told.as_array().expect("a list of attempts");
    told.iter()
        .map(|attempt| Attempt::from_json(attempt).expect("an attempt"))
        .collect()
}

impl Report {
    /// What the thief got altogether.
    pub fn took(&self) -> BTreeSet<Loot> {
        let got = self.attempts.iter().flat_map(|attempt| &attempt.got);
        got.copied().collect()
    }

    /// Whether that is nothing but what the policy lets every program of the user have.
    pub fn is_held(&self) -> bool {
        self.took().into_iter().all(Loot::is_allowed)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let names =
            |loot: &BTreeSet<Loot>| -> Vec<&str> { loot.iter().map(|one| one.as_str()).collect() };
        let attempts = self.attempts.iter().map(|attempt| {
            json!({
                "way": attempt.way, "tried": attempt.tried, "got": names(&attempt.got),
                "outcome": attempt.outcome,
            })
        });
        json!({
            "form": self.form.as_str(), "key_protection": self.keys.as_str(),
            "attempts": attempts.collect::<Vec<_>>(), "took": names(&self.took()),
            "held": self.is_held(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest =
            |of: &dyn Fn(&Judged) -> usize| self.attempts.iter().map(of).max().unwrap_or(0);
        let tried = widest(&|attempt| attempt.tried.chars().count());
        let got = widest(&|attempt| text(&attempt.got).len());
        writeln!(
            f,
            "{} form, keys in {}",
            self.form.as_str(),
            self.keys.as_str()
        )?;
        writeln!(f, "{:11} {:tried$} {:got$} OUTCOME", "WAY", "TRIED", "GOT")?;
        for attempt in &self.attempts {
            let outcome: String = attempt.outcome.chars().take(90).collect();
            let outcome = outcome.replace('\n', " ");
            let line = text(&attempt.got);
            writeln!(
                f,
                "{:11} {:tried$} {line:got$} {outcome}",
                attempt.way, attempt.tried
            )?;
        }
        writeln!(f, "altogether: {}", text(&self.took()))?;
        if self.took().contains(&Loot::AskedToken) {
            writeln!(f, "{ANSWERED}")?;
        }
        Ok(())
    }
}

fn text(loot: &BTreeSet<Loot>) -> String {
    if loot.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<&str> = loot.iter().map(|one| one.as_str()).collect();
    names.join(", ")
}

/// What the table alone does not say.
const ANSWERED: &str = "(What the policy asks the person, he answered as the person: whoever runs as \
                        the user can. `deny` is what holds.)";

/// The command: `--form session|system`, `--keys software|tpm`, `--json`.
pub fn main(arguments: &[&str]) -> ExitCode {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| *argument == name)?;
        arguments.get(at + 1).copied()
    };
    let form = match value("--form") {
        Some("session") => Form::Session,
        Some("system") => Form::System,
        _ => return usage(),
    };
    let keys = match value("--keys") {
        None | Some("software") => Keys::Software,
        Some("tpm") => Keys::Tpm,
        Some(_) => return usage(),
    };
    if form == Form::System && !nix::unistd::geteuid().is_root() {
        eprintln!("same-user-thief: the system form has uids of its own: run this as root");
        return ExitCode::FAILURE;
    }
    let Ok(thief) = std::env::current_exe() else {
        return usage();
    };
    let report = run(form, keys, &thief);
    let json = arguments.contains(&"--json");
    let written = if json {
        writeln!(io::stdout(), "{:#}", report.to_json())
    } else {
        write!(io::stdout(), "{report}")
    };
    // In the session form what the user runs can take what the user has: that is printed, not held
    // against it.
    match written {
        Ok(()) if form == Form::Session || report.is_held() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: same-user-thief --form session|system [--keys software|tpm] [--json]");
    ExitCode::from(2)
}
