//! What is on record of everything the broker was asked.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::Stdio;

use keyward_e2e::{CLIENT, SOON, Stack, Tenant, Typed, cli};
use keyward_testkit::Secrets;
use keyward_testkit::process::{Signal, runs, signal};
use keyward_testkit::wait;
use serde_json::{Value, json};

/// The records as `keyward audit --json` shows them.
fn records(stack: &Stack) -> Vec<Value> {
    let shown = cli::keyward(stack, &["audit", "--json"]).ok();
    let lines = shown.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The file in which they are.
fn file(stack: &Stack) -> String {
    fs::read_to_string(stack.vault().join("audit/audit.jsonl")).unwrap()
}

#[test]
fn every_outcome_is_on_record_and_no_token_is() {
    let stack = Stack::start(Tenant::Oidc);
    let asked = |more: Value| {
        let mut asked = json!({
            "client_id": CLIENT,
            "authority": stack.localhost_authority(Tenant::Oidc),
            "scopes": "User.Read",
        });
        let more = more.as_object().unwrap().clone();
        asked.as_object_mut().unwrap().extend(more);
        asked
    };
    let (socket, bus) = (Typed::over_socket(&stack), Typed::over_bus(&stack));
    let interactive = socket.ask("AcquireTokenInteractive", &asked(json!({})));
    let signed_in = interactive.unwrap();
    let of_alice = json!({"home_account_id": signed_in["home_account_id"]});
    let hit = bus.ask("AcquireTokenSilent", &asked(of_alice)).unwrap();
    let forced = asked(json!({"force_refresh": true}));
    let renewed = socket.ask("AcquireTokenSilent", &forced).unwrap();
    let nobody = asked(json!({"username": "nobody@dev.test"}));
    socket.ask("AcquireTokenSilent", &nobody).unwrap_err();

    let records = records(&stack);
    let what: Vec<_> = records
        .iter()
        .filter(|record| record["client_id"] == CLIENT)
        .map(|record| {
            let field = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
            let via = record["who"]["via"].as_str().unwrap();
            format!(
                "{} {} {} {via}",
                field("operation"),
                field("outcome"),
                field("source")
            )
        })
        .collect();
    assert_eq!(
        what,
        [
            "acquire_token_interactive done network socket",
            "acquire_token_silent done cache bus",
            "acquire_token_silent done network socket",
            "acquire_token_silent InteractionRequired - socket",
        ]
    );
    let tokens = [&signed_in, &hit, &renewed];
    let handed_out = ["access_token", "id_token"]
        .into_iter()
        .flat_map(|name| tokens.map(|token| token[name].as_str().unwrap().to_owned()));
    let secrets = Secrets::new(handed_out.chain(stack.authority.refresh_tokens()));
    let text = file(&stack);
    assert_eq!(secrets.in_bytes(text.as_bytes()), [0; 0]);
    for name in [
        "alice",
        "nobody",
        signed_in["home_account_id"].as_str().unwrap(),
    ] {
        assert!(!text.contains(name), "{name} is on record");
    }
}

#[test]
fn records_can_be_followed_and_none_is_lost_when_keywardd_ends() {
    let mut stack = Stack::start(Tenant::Oidc);
    let mut following = cli::command(&stack, &["audit", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let accounts = json!({"client_id": CLIENT});
    let typed = Typed::over_socket(&stack);
    typed.ask("Accounts", &accounts).unwrap();
    wait_for(&mut lines, "\"operation\":\"accounts\"");
    for _ in 0..1000 {
        typed.ask("Accounts", &accounts).unwrap();
    }
    let keywardd = stack.keywardd_process().unwrap();
    signal(keywardd, Signal::TERM);
    wait::until("keywardd ended", SOON, || (!runs(keywardd)).then_some(()));
    let text = file(&stack);
    let calls = text
        .lines()
        .filter(|line| line.contains("\"operation\":\"accounts\""));
    assert_eq!(calls.count(), 1001);

    // Whoever follows stays, and goes on with the next keywardd.
    stack.kill_keywardd();
    stack.start_keywardd();
    Typed::over_socket(&stack)
        .ask("Status", &json!({}))
        .unwrap();
    wait_for(&mut lines, "\"operation\":\"status\"");
    signal(following.id(), Signal::INT);
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

/// Reads until there is a record of this.
fn wait_for(lines: &mut impl Iterator<Item = io::Result<String>>, what: &str) {
    let found = lines.any(|line| line.unwrap().contains(what));
    assert!(found, "nothing is on record of {what}");
}
