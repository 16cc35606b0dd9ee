//! `keyward-dev`: the demo, private sessions for other people's tests, the authority by itself.

use keyward_e2e::private_session::Desktop;
use keyward_e2e::stack::MICROSOFT_NAME;
use keyward_e2e::{ALICE, BOB, SOON};
use keyward_testkit::{Login, Process, http};
use serde_json::{Value, json};

/// `keyward-dev` in a login with nothing: no bus, no keyring, no display.
fn bare(arguments: &[&str]) -> (Login, Process) {
    let login = Login::new();
    keyward_e2e::programs::install(&login);
    let mut command = login.command(login.path("bin/keyward-dev"));
    command
        .args(arguments)
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    let process = Process::start("keyward-dev", &mut command, &login.logs());
    (login, process)
}

#[test]
fn the_demo_tells_the_whole_story_without_bus_display_or_keyring() {
    let (_login, mut demo) = bare(&["demo"]);
    let status = demo.wait(SOON * 2);
    assert!(status.success(), "{}", demo.output());
    let told = demo.stdout().to_lowercase();
    for part in ["alice", "dpop", "pop", "refused"] {
        assert!(told.contains(part), "nothing about {part}:\n{told}");
    }
}

#[test]
fn the_authority_announces_itself_in_one_line_of_json() {
    let (_login, mut authority) = bare(&["authority", "--port", "0"]);
    let line = authority.line(SOON, |_| true);
    let announced: Value = serde_json::from_str(&line).unwrap();
    let origin = announced["http"].as_str().unwrap();
    for (name, url) in announced.as_object().unwrap() {
        let url = url.as_str().unwrap();
        assert!(!url.ends_with('/'), "{name}: {url}");
        assert!(
            name == "admin_token" || url.starts_with(origin),
            "{name}: {url}"
        );
    }
    let issuer = announced["oidc"].as_str().unwrap();
    let metadata = http::get(&format!("{issuer}/.well-known/openid-configuration"), &[]).unwrap();
    assert_eq!(metadata.json()["issuer"], issuer);
    assert!(metadata.json()["dpop_signing_alg_values_supported"].is_array());
}

#[test]
fn a_session_exports_what_its_command_needs_and_passes_its_status_on() {
    let desktop = Desktop::start();
    let script = "printf '{\"tenant\":\"%s\",\"user\":\"%s\",\"authority\":\"%s\"}\\n' \
                  $KEYWARD_DEV_TENANT $KEYWARD_DEV_USER $KEYWARD_DEV_AUTHORITY; \
                  test -S $KEYWARD_SOCKET; keyward status --json > /dev/null";
    let said = desktop.session(&["--user", BOB], script);
    assert_eq!(said[0]["user"], BOB);
    let tenant = said[0]["tenant"].as_str().unwrap();
    uuid::Uuid::parse_str(tenant).unwrap();
    let authority = said[0]["authority"].as_str().unwrap();
    assert!(authority.starts_with("http://localhost:") && authority.ends_with(tenant));

    let mut failing = desktop.keyward_dev(&["session", "--", "sh", "-c", "exit 7"]);
    assert_eq!(failing.wait(SOON).code(), Some(7), "{}", failing.output());
    assert!(
        !desktop.bus.connect().has_owner(MICROSOFT_NAME),
        "it takes its names with it"
    );
}

#[test]
fn a_session_signs_in_whom_the_application_or_the_option_names() {
    let desktop = Desktop::start();
    let script = "keyward login --json; keyward login --login-hint bob@dev.test --json";
    let said = desktop.session(&[], script);
    let names: Vec<_> = said
        .iter()
        .map(|login| &login["account"]["username"])
        .collect();
    assert_eq!(names, [&json!(ALICE), &json!(BOB)]);
}

#[test]
fn a_session_signs_in_by_itself_whatever_the_application_asks_of_the_person() {
    let desktop = Desktop::start();
    let script = "for prompt in select-account login consent; do \
                  keyward login --prompt $prompt --json; done";
    for tenant in ["oidc", "entra"] {
        let said = desktop.session(&["--tenant", tenant], script);
        assert_eq!(said.len(), 3, "{tenant}: {said:?}");
        for login in said {
            assert_eq!(login["account"]["username"], ALICE, "{tenant}");
        }
    }
}

#[test]
fn a_session_without_any_bus_brings_its_own() {
    let (_login, mut session) = bare(&[
        "session",
        "--",
        "sh",
        "-e",
        "-c",
        "test -n \"$DBUS_SESSION_BUS_ADDRESS\"; keyward login",
    ]);
    let status = session.wait(SOON * 2);
    assert!(status.success(), "{}", session.output());
}
