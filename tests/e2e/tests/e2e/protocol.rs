//! `com.microsoft.identity.broker1` byte for byte, as a client that is not Microsoft's would meet it.

use std::thread;

use keyward_e2e::face::{BROKER, Face, error_of, token_request};
use keyward_e2e::stack::{KEYWARD_NAME, MICROSOFT_NAME};
use keyward_e2e::{ALICE, CLIENT, Msal, SOON, Stack, Tenant, Typed, payload};
use keyward_testkit::{Process, wait};
use serde_json::{Value, json};

const TOKEN_METHODS: [&str; 2] = ["acquireTokenSilently", "acquireTokenInteractively"];

fn signed_in() -> (Stack, Face, Value) {
    let stack = Stack::start(Tenant::Oidc);
    let face = Face::connect(&stack);
    let authority = stack.localhost_authority(Tenant::Oidc);
    let asked = token_request(CLIENT, &authority, &Value::Null, 6);
    let answer = face.ask("acquireTokenInteractively", &asked);
    assert!(error_of(&answer).is_none(), "{answer}");
    let accounts = face.ask(
        "getAccounts",
        &json!({"clientId": CLIENT, "redirectUri": CLIENT}),
    );
    (stack, face, accounts["accounts"][0].clone())
}

#[test]
fn a_token_reply_has_every_field_microsofts_runtime_demands() {
    let (stack, face, account) = signed_in();
    let authority = stack.localhost_authority(Tenant::Oidc);
    let asked = token_request(CLIENT, &authority, &account, 1);
    let reply = face.ask("acquireTokenSilently", &asked)["brokerTokenResponse"].clone();

    assert_eq!(reply["accessTokenType"], 0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    for time in ["expiresOn", "extendedExpiresOn"] {
        let time = u128::from(reply[time].as_u64().unwrap());
        assert!(
            (now..now + 100_000_000_000).contains(&time),
            "milliseconds: {time}"
        );
    }
    let info = keyward_e2e::base64url(reply["clientInfo"].as_str().unwrap());
    let info: Value = serde_json::from_slice(&info).unwrap();
    for part in ["uid", "utid"] {
        uuid::Uuid::parse_str(info[part].as_str().unwrap()).expect("a GUID");
    }
    let claims = payload(reply["idToken"].as_str().unwrap());
    assert_eq!(claims["preferred_username"], ALICE);
    assert_eq!(claims["tid"], stack.authority.tenant(Tenant::Oidc));
    assert!(claims["oid"].is_string());
    let granted = reply["grantedScopes"].as_str().unwrap().to_lowercase();
    assert!(
        granted.split(' ').any(|scope| scope == "user.read"),
        "{granted}"
    );
    assert!(!reply["accessToken"].as_str().unwrap().is_empty());
}

#[test]
fn an_account_has_every_field_or_microsofts_runtime_drops_it() {
    let (_stack, _face, account) = signed_in();
    for field in [
        "environment",
        "homeAccountId",
        "localAccountId",
        "realm",
        "username",
    ] {
        assert!(
            account[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}: {account}"
        );
    }
    let home = account["homeAccountId"].as_str().unwrap();
    let parts: Vec<_> = home.split('.').map(uuid::Uuid::parse_str).collect();
    assert!(
        parts.len() == 2 && parts.iter().all(Result::is_ok),
        "{home}"
    );
}

#[test]
fn with_nobody_signed_in_the_list_is_empty_and_no_error() {
    let stack = Stack::start(Tenant::Oidc);
    let answer = Face::connect(&stack).ask("getAccounts", &json!({"clientId": CLIENT}));
    assert_eq!(answer, json!({"accounts": []}));
}

#[test]
fn every_method_of_the_interface_answers_json() {
    let (_stack, face, account) = signed_in();
    let version = face.ask(
        "getLinuxBrokerVersion",
        &json!({"msalCppVersion": "12.0.2"}),
    );
    assert!(version["linuxBrokerVersion"].is_string(), "{version}");
    assert!(
        face.ask("cancelInteractiveFlow", &json!({"error": {"status": 7}}))
            .is_object()
    );
    for method in ["acquirePrtSsoCookie", "generateSignedHttpRequest"] {
        let answer = face.ask(
            method,
            &json!({"account": account, "ssoUrl": "https://x.example"}),
        );
        assert_typed(method, &answer);
    }
    for method in ["removeAccount", "signOutSilently"] {
        let asked = json!({"clientId": CLIENT, "account": account});
        let answer = face.ask(method, &asked);
        assert!(error_of(&answer).is_none(), "{method}: {answer}");
        let left = face.ask("getAccounts", &json!({"clientId": CLIENT}));
        assert_eq!(left, json!({"accounts": []}), "after {method}");
    }
    assert!(face.ping());
}

#[test]
fn malformed_requests_are_typed_errors_and_never_dbus_errors() {
    let stack = Stack::start(Tenant::Oidc);
    let face = Face::connect(&stack);
    let malformed = [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{}",
        "{\"authParameters\":[]}",
        "{\"authParameters\":{\"clientId\":7}}",
        "{\"authParameters\":{\"clientId\":\"\",\"authority\":\"\"}}",
    ];
    for method in TOKEN_METHODS {
        for request in malformed {
            let text = face.raw(method, request).expect("never a D-Bus error");
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_typed(request, &answer);
        }
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_typed(
        "deep",
        &serde_json::from_str(&face.raw(TOKEN_METHODS[0], &deep).unwrap()).unwrap(),
    );
    assert!(face.ping(), "and it is still there");
}

#[test]
fn requests_beyond_one_mebibyte_are_typed_errors_and_cost_bounded_memory() {
    let mut stack = Stack::start(Tenant::Oidc);
    let face = Face::connect(&stack);
    let typed = Typed::over_socket(&stack);
    let processes = [
        stack.session_process().unwrap(),
        stack.keywardd_process().unwrap(),
    ];
    let before = processes.map(peak_mib);
    let huge = "x".repeat(24 << 20);
    for _ in 0..2 {
        let asked = json!({"authParameters": {"clientId": CLIENT, "padding": huge}});
        assert_typed("huge", &face.ask("acquireTokenSilently", &asked));
        let asked = json!({"client_id": CLIENT, "padding": huge});
        let error = typed.ask("AcquireTokenSilent", &asked).unwrap_err();
        assert_eq!(error.kind, "InvalidRequest", "{error:?}");
    }
    for (process, before) in processes.into_iter().zip(before) {
        let grown = peak_mib(process) - before;
        assert!(grown < 8, "process {process} grew by {grown} MiB");
    }
    // Both still work for everybody else.
    Msal::start(&stack).sign_in();
    stack.kill_session();
}

#[test]
fn a_flood_is_answered_and_harms_nobody() {
    let stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    let typed = Typed::over_bus(&stack);
    let asked = json!({
        "client_id": CLIENT, "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read", "force_refresh": true,
    });
    // So that all of them are there at once.
    let slow = keyward_dev_authority::Fault::Slow { ms: 2_000 };
    let token = keyward_dev_authority::Endpoint::Token;
    let rule = keyward_dev_authority::FaultRule::once(token, slow);
    stack.authority.fault(rule);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..200)
            .map(|_| scope.spawn(|| typed.ask("AcquireTokenSilent", &asked)))
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    for outcome in &outcomes {
        if let Err(error) = outcome {
            assert_eq!(error.kind, "TooManyRequests", "{error:?}");
        }
    }
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    // One caller may have 64 in flight; who came after those were answered is served, too.
    assert!((64..200).contains(&served), "{served} were served");
    msal.silent(ALICE).unwrap();
}

#[test]
fn pings_are_answered_without_keywardd_and_with_a_broken_configuration() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.write_configuration("this is = no [ TOML");
    stack.start_session();
    let face = Face::connect(&stack);
    assert!(face.ping());
    let asked = token_request(
        CLIENT,
        &stack.localhost_authority(Tenant::Oidc),
        &Value::Null,
        6,
    );
    assert_typed(
        "no keywardd",
        &face.ask("acquireTokenInteractively", &asked),
    );
    stack.start_keywardd();
    assert!(face.ping());
    let answer = face.ask("acquireTokenInteractively", &asked);
    assert_eq!(
        error_of(&answer).unwrap()["status"],
        9,
        "IncorrectConfiguration: {answer}"
    );
}

#[test]
fn a_name_somebody_else_owns_is_left_to_them() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    let other = stack.bus.connect();
    other.own(MICROSOFT_NAME);
    stack.start_keywardd();
    let mut command = stack.command("keyward-session");
    command.arg("--no-start");
    let mut session = Process::start("keyward-session", &mut command, &stack.login.logs());
    let bus = stack.bus.connect();
    bus.wait_for_owner(KEYWARD_NAME, SOON);
    assert_eq!(bus.owner_process(MICROSOFT_NAME), Some(std::process::id()));
    assert!(session.is_running());
    let said = || session_says(&session).then_some(());
    wait::until("a word about the other owner", SOON, said);
    let owner = bus.owner_process(MICROSOFT_NAME);
    assert_eq!(owner, Some(std::process::id()), "no fight");
}

fn session_says(session: &Process) -> bool {
    session.stderr().contains(MICROSOFT_NAME)
}

#[test]
fn the_interface_can_be_introspected() {
    let stack = Stack::start(Tenant::Oidc);
    let face = Face::connect(&stack);
    let introspectable = keyward_testkit::bus::Destination {
        interface: "org.freedesktop.DBus.Introspectable",
        ..BROKER
    };
    let answer = face
        .caller()
        .call(introspectable, "Introspect", &())
        .unwrap();
    let xml: String = answer.body().deserialize().unwrap();
    for method in TOKEN_METHODS {
        assert!(xml.contains(method), "{xml}");
    }
}

/// An `error` object with everything Microsoft's runtime wants in it.
fn assert_typed(what: &str, answer: &Value) {
    let error = error_of(answer);
    let error = error.unwrap_or_else(|| panic!("{what}: no error in {answer}"));
    for field in ["status", "errorCode", "tag"] {
        assert!(
            error[field].is_i64() || error[field].is_u64(),
            "{what}: {field} in {answer}"
        );
    }
    let context = error["context"].as_str().unwrap_or_default();
    assert!(!context.is_empty(), "{what}: no explanation in {answer}");
}

/// The most memory a process ever held, in MiB.
fn peak_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}
