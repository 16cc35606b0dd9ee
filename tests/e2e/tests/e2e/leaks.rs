//! No refresh token leaves keywardd: not into a log, a file, the bus, or another process's memory.

use keyward_e2e::{ALICE, BOB, CLIENT, Msal, Stack, Tenant, Typed, cli};
use keyward_testkit::{Recording, Secrets};
use serde_json::json;

#[test]
fn no_refresh_token_is_found_anywhere_but_in_keywardd() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.log_everything();
    let recording = Recording::start(&stack.login, &stack.bus);
    stack.start_keywardd();
    stack.start_session();
    let mut msal = Msal::start(&stack);
    let access_tokens = use_everything(&stack, &mut msal);

    let refresh_tokens = Secrets::new(stack.authority.refresh_tokens());
    let (node, session) = (msal.process(), stack.session_process().unwrap());
    for (what, process) in [("the client", node), ("keyward-session", session)] {
        match refresh_tokens.in_memory(process) {
            Ok(findings) => assert_eq!(findings, [], "in {what}"),
            // Only root may look; the other places are searched all the same.
            Err(error) => eprintln!("the memory of {what} was not searched: {error}"),
        }
    }
    let bus = recording.finish(&stack.bus);
    assert!(bus.len() > 10_000, "the recording is empty");
    assert_eq!(refresh_tokens.in_bytes(&bus), [0; 0], "on the bus");
    assert_eq!(
        refresh_tokens.in_folder(stack.login.root()),
        [],
        "in a file"
    );

    // The access token went over the bus, so the recording can be searched; but no log has it.
    let access_tokens = Secrets::new(access_tokens);
    assert!(
        !access_tokens.in_bytes(&bus).is_empty(),
        "the recording holds the replies"
    );
    assert_eq!(access_tokens.in_folder(&stack.vault()), [], "in the vault");
    for log in [
        "keywardd.err",
        "keywardd.out",
        "keyward-session.err",
        "keyward-session.out",
    ] {
        let bytes = std::fs::read(stack.login.logs().join(log)).unwrap();
        assert_eq!(access_tokens.in_bytes(&bytes), [0; 0], "in {log}");
    }
    let log = std::fs::read_to_string(stack.login.logs().join("keywardd.err")).unwrap();
    assert!(log.contains("TRACE"), "keywardd did not log everything");

    the_search_works(&stack, &refresh_tokens);
}

/// The same search finds a refresh token where it must be.
fn the_search_works(stack: &Stack, refresh_tokens: &Secrets) {
    let keywardd = stack.keywardd_process().unwrap();
    match refresh_tokens.in_memory(keywardd) {
        Ok(findings) => assert!(!findings.is_empty(), "the search finds nothing at all"),
        Err(error) => eprintln!("the memory of keywardd was not searched: {error}"),
    }
}

/// Both tenants, both users, every face: sign-in, silent, renewal, PoP, DPoP, command line,
/// sign-out. The access tokens that were handed out.
fn use_everything(stack: &Stack, msal: &mut Msal) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut keep = |token: serde_json::Value, key: &str| {
        tokens.push(token[key].as_str().unwrap().to_owned());
    };
    keep(msal.sign_in(), "accessToken");
    let pop = json!({"method": "GET", "uri": stack.authority.api()});
    keep(
        msal.ask("silent", json!({"user": ALICE, "pop": pop}))
            .unwrap(),
        "accessToken",
    );
    stack.browser.signs_in(BOB);
    keep(
        msal.ask("interactive", json!({"prompt": "login"})).unwrap(),
        "accessToken",
    );
    stack.browser.signs_in(ALICE);
    for (typed, tenant) in [
        (Typed::over_socket(stack), Tenant::Oidc),
        (Typed::over_bus(stack), Tenant::Entra),
    ] {
        let asked = json!({
            "client_id": CLIENT, "authority": stack.localhost_authority(tenant),
            "scopes": "User.Read", "username": ALICE,
        });
        keep(
            typed.ask("AcquireTokenInteractive", &asked).unwrap(),
            "access_token",
        );
        let mut forced = asked.clone();
        forced["force_refresh"] = json!(true);
        for _ in 0..3 {
            keep(
                typed.ask("AcquireTokenSilent", &forced).unwrap(),
                "access_token",
            );
        }
    }
    let token = cli::keyward(stack, &["token", "--username", ALICE, "--json"])
        .ok()
        .json();
    keep(token, "access_token");
    cli::keyward(stack, &["logout", "--username", BOB]).ok();
    tokens
}
