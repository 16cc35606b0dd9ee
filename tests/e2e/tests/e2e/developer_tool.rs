//! `keyward-dev`: the demo, private sessions for other people's tests, the authority by itself.

use std::net::TcpListener;

use keyward_e2e::private_session::Desktop;
use keyward_e2e::programs::node_folder;
use keyward_e2e::{ALICE, BOB, SOON, on_both_tenants};
use keyward_testkit::{Login, Process, SoftwareTpm, http};
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

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Tells the story of the demo with these options; nothing of it may be missing.
fn demo(options: &[&str], parts: &[&str]) {
    let (_login, mut demo) = bare(&[&["demo"], options].concat());
    let status = demo.wait(SOON * 2);
    assert!(status.success(), "{}", demo.output());
    let told = demo.stdout();
    for part in [
        &[
            "the API knows alice@dev.test (DPoP",
            "the API knows alice@dev.test (PoP",
            "opened on another device: refused",
            "and alice@dev.test is still signed in",
        ],
        parts,
    ]
    .concat()
    {
        assert!(told.contains(part), "not told: {part}\n{told}");
    }
    assert_eq!(told.matches(": refused").count(), 8, "{told}");
    assert!(told.ends_with("\nEverything held\n"), "{told}");
}

#[test]
fn the_demo_tells_the_whole_story_without_bus_display_or_keyring() {
    let software = "alice@dev.test  refresh token sender-constrained:dpop, key in software";
    demo(&["--tpm", "off"], &["keys       in files", software]);
}

#[test]
fn the_demo_with_a_software_tpm_says_so_and_another_tpm_opens_nothing() {
    let parts = [
        "keys       in a TPM 2.0: ",
        "a simulator",
        "alice@dev.test  refresh token sender-constrained:dpop, key in tpm",
        "key lost",
    ];
    demo(&["--tpm", "swtpm"], &parts);
}

#[test]
fn the_demo_says_which_tpm_it_uses_or_why_none() {
    let tpm = SoftwareTpm::start();
    demo(&["--tpm", &tpm.tcti()], &["keys       in a TPM 2.0: "]);
    // What this machine has shows only here: one that can be reached, or a reason.
    demo(&["--tpm", "auto"], &["keys       in "]);
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
fn a_session_exports_what_its_command_needs() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let script = r#"
            keyward login > /dev/null
            node --input-type=module --eval '
                const Authorization = `Bearer ${process.argv[1]}`;
                const answer = await fetch(process.env.KEYWARD_DEV_API, { headers: { Authorization } });
                console.log(JSON.stringify({ environment: process.env, me: await answer.json() }));
            ' "$(keyward token)"
            test -S $KEYWARD_SOCKET"#;
        let said = desktop.session(&["--tenant", tenant.name(), "--user", BOB], script);
        let environment = &said[0]["environment"];
        let exported = |name: &str| environment[name].as_str().unwrap_or_default();
        assert_eq!(exported("KEYWARD_DEV_USER"), BOB);
        let guid = exported("KEYWARD_DEV_TENANT");
        uuid::Uuid::parse_str(guid).unwrap();
        uuid::Uuid::parse_str(exported("KEYWARD_DEV_CLIENT_ID")).unwrap();
        let authority = exported("KEYWARD_DEV_AUTHORITY");
        let origin = authority.strip_suffix(&format!("/{guid}")).unwrap();
        assert!(origin.starts_with("http://localhost:"), "{authority}");
        assert_eq!(exported("KEYWARD_DEV_API"), format!("{origin}/api/me"));
        // And it is all of one piece.
        let me = &said[0]["me"];
        assert_eq!(me["preferred_username"], BOB);
        assert_eq!(me["client_id"], exported("KEYWARD_DEV_CLIENT_ID"));
        let tid = me["tid"].as_str().unwrap_or(guid);
        assert_eq!(tid, guid);
        assert!(environment["KEYWARD_DEV_MAPPING"].is_null());
    });
}

#[test]
fn what_the_keyring_kept_of_one_session_is_good_in_the_next() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        // Other tests' sessions may have the port that is this user's own.
        let port = free_port().to_string();
        for how in ["interactive", "silent"] {
            let options = ["--tenant", tenant.name(), "--port", &port];
            let said = desktop.session(&options, "node $NODE/brokered-cli.mjs");
            assert_eq!(said[0]["how"], how);
            assert_eq!(said[0]["status"], 200, "{said:?}");
            assert_eq!(said[0]["me"]["preferred_username"], ALICE);
        }
    });
}

#[test]
fn a_test_user_who_is_refused_leaves_and_the_application_hears_of_it() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let options = ["--tenant", tenant.name(), "--user", "mallory@dev.test"];
        let script = "status=0; keyward login >&2 || status=$?; echo $status";
        assert_eq!(desktop.session(&options, script), [json!(6)]);
    });
}

#[test]
fn who_had_to_change_the_password_signs_in_with_the_new_one() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let options = ["--tenant", tenant.name(), "--user", "carol@dev.test"];
        let script = "for again in 1 2; do keyward login --prompt login --json; done";
        let said = desktop.session(&options, script);
        assert_eq!(said.len(), 2);
        for login in said {
            assert_eq!(login["account"]["username"], "carol@dev.test");
        }
    });
}

#[test]
fn a_guest_stays_signed_in() {
    let desktop = Desktop::start();
    let options = ["--tenant", "entra", "--user", "guest@partner.test"];
    let said = desktop.session(&options, "node $NODE/snippet.mjs");
    assert_eq!(said[0]["silent"], "guest@partner.test");
}

#[test]
fn without_a_session_bus_microsofts_client_has_a_keyring_of_the_sessions_own() {
    on_both_tenants(|tenant| {
        let (_login, mut session) = bare(&[
            "session",
            "--tenant",
            tenant.name(),
            "--",
            "node",
            node_folder().join("snippet.mjs").to_str().unwrap(),
        ]);
        let status = session.wait(SOON * 2);
        assert!(status.success(), "{}", session.output());
        let said: Value = serde_json::from_str(&session.stdout()).unwrap();
        assert_eq!(said["silent"], ALICE);
        assert_eq!(said["fromPlatformBroker"], true);
    });
}

#[test]
fn a_session_asks_no_cloud_about_a_tenant_it_does_not_have() {
    let desktop = Desktop::start();
    let script = "status=0; keyward login >&2 \
                  --authority https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad \
                  || status=$?; echo $status";
    // Untrusted, and not unreachable.
    assert_eq!(desktop.session(&[], script), [json!(12)]);
}

#[test]
fn within_a_session_every_name_of_the_authority_is_one_account() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let script = "for authority in https://login.microsoftonline.com/common \
                      https://login.microsoftonline.com/organizations \
                      https://login.microsoftonline.com/$KEYWARD_DEV_TENANT \
                      https://localhost/$KEYWARD_DEV_TENANT $KEYWARD_DEV_AUTHORITY; do \
                      keyward login --authority $authority --json; done; \
                      keyward accounts --json";
        let said = desktop.session(&["--tenant", tenant.name()], script);
        let (accounts, logins) = said.split_last().unwrap();
        assert_eq!(logins.len(), 5);
        for login in logins {
            assert_eq!(login["account"]["username"], ALICE);
            let home = &login["account"]["home_account_id"];
            assert_eq!(*home, logins[0]["account"]["home_account_id"]);
        }
        let accounts = accounts["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), 1, "{accounts:?}");
    });
}

#[test]
fn a_command_starts_after_the_broker_answers_on_the_bus() {
    let desktop = Desktop::start();
    let ping = [
        "session",
        "--",
        "dbus-send",
        "--session",
        "--print-reply",
        "--dest=com.microsoft.identity.broker1",
        "/com/microsoft/identity/broker1",
        "org.freedesktop.DBus.Peer.Ping",
    ];
    let mut session = desktop.keyward_dev(&ping);
    assert!(session.wait(SOON).success(), "{}", session.output());
}

#[test]
fn a_session_opens_a_browser_only_where_a_person_is_to_sign_in() {
    let desktop = Desktop::start();
    // Nobody the session would sign in by itself.
    desktop.browser.signs_in(BOB);
    for (sign_in, user, opened) in [("auto", ALICE, 0), ("browser", BOB, 1)] {
        let said = desktop.session(&["--sign-in", sign_in], "node $NODE/snippet.mjs");
        assert_eq!(said[0]["interactive"], user, "{sign_in}");
        assert_eq!(desktop.browser.opened(), opened, "{sign_in}");
    }
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
