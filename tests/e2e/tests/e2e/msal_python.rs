//! Unmodified MSAL Python with Microsoft's own runtime gets its tokens from our broker. Its own
//! discovery, which it does before it asks any broker, is answered by the development authority.

use keyward_e2e::browser::Choice;
use keyward_e2e::msal_python::{broker_status, folder, from_broker, python};
use keyward_e2e::private_session::Desktop;
use keyward_e2e::{ALICE, BOB, MsalPython, SOON, Stack, Tenant};
use keyward_testkit::{Process, http};
use serde_json::{Value, json};

const BOTH: [(&str, Tenant); 2] = [("oidc", Tenant::Oidc), ("entra", Tenant::Entra)];

/// The command that runs the documented snippet.
fn snippet() -> String {
    let (python, snippet) = (python(), folder().join("snippet.py"));
    format!("{} {}", python.display(), snippet.display())
}

/// What the snippet says.
fn signed_in() -> Value {
    json!({
        "interactive": ALICE,
        "interactive_source": "broker",
        "account": ALICE,
        "silent_source": "broker",
    })
}

#[test]
fn the_documented_snippet_runs_unchanged_in_a_private_session() {
    for (name, _) in BOTH {
        let desktop = Desktop::start();
        let said = desktop.session(&["--tenant", name], &snippet());
        assert_eq!(said, [signed_in()], "tenant {name}");
    }
}

#[test]
fn the_snippet_that_runs_is_the_one_in_the_readme() {
    let snippet = std::fs::read_to_string(folder().join("snippet.py")).unwrap();
    let from = snippet.find("import os").unwrap();
    let shown = &snippet[from..snippet.find("\n\n# ---").unwrap()];
    let readme = std::fs::read_to_string(folder().join("../../../README.md")).unwrap();
    assert!(
        readme.contains(&format!("```python\n{shown}\n```\n")),
        "{shown}"
    );
}

#[test]
fn a_machine_with_certificates_of_its_own_keeps_them_and_trusts_the_session_too() {
    let desktop = Desktop::start();
    let own = desktop.login.path("own.pem");
    std::fs::write(&own, "# the certificates of this machine\n").unwrap();
    let mut command = desktop.login.command(desktop.login.path("bin/keyward-dev"));
    let script = format!("grep 'of this machine' $REQUESTS_CA_BUNDLE; {}", snippet());
    command.args(["session", "--", "sh", "-e", "-c", &script]);
    command.env("REQUESTS_CA_BUNDLE", &own);
    let mut session = Process::start("own-certificates", &mut command, &desktop.login.logs());
    let status = session.wait(SOON * 3);
    assert!(status.success(), "{}", session.output());
    let said = session.stdout();
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(said, signed_in());
}

#[test]
fn a_token_is_for_the_person_who_signed_in_and_the_api_takes_it() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        let signed_in = msal.sign_in();
        assert_eq!(
            signed_in["ui"],
            json!(["broker"]),
            "whose window: {signed_in:#}"
        );
        let silent = from_broker(msal.silent(ALICE, "first"));
        for token in [&signed_in, &silent] {
            assert_eq!(whose(&stack, token), ALICE);
        }
        assert_ne!(silent["access_token"], signed_in["access_token"]);
        assert_eq!(
            silent["id_token_claims"]["oid"],
            signed_in["id_token_claims"]["oid"]
        );
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(stack.browser.opened(), 1, "one sign-in, one browser");
        assert_eq!(msal.browsers_opened(), 0);
    }
}

#[test]
fn claims_and_a_forced_refresh_bypass_the_caches_they_can() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        let mut seen = vec![msal.sign_in()["access_token"].clone()];
        let cached = msal.ask("silent", json!({"user": ALICE}));
        assert_eq!(cached["token_source"], "cache", "{cached:#}");
        assert_eq!(cached["access_token"], seen[0]);
        for round in ["1", "2", "3"] {
            let token = from_broker(msal.silent(ALICE, round));
            assert!(!seen.contains(&token["access_token"]), "round {round}");
            seen.push(token["access_token"].clone());
        }
        // Goes past MSAL's cache, and no further than the runtime's.
        let forced = json!({"user": ALICE, "forceRefresh": true});
        from_broker(msal.ask("silent", forced));
        assert_eq!(stack.browser.opened(), 1);
    }
}

#[test]
fn a_second_program_gets_its_token_without_anybody_signing_in_again() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let first = MsalPython::start(&stack, tenant).sign_in();
        let mut second = MsalPython::start(&stack, tenant);
        assert_eq!(second.accounts(), [""; 0], "its own cache is empty");
        let token = second.sign_in();
        assert_eq!(token["ui"], json!([]), "{token:#}");
        assert_eq!(
            token["id_token_claims"]["oid"],
            first["id_token_claims"]["oid"]
        );
        assert_eq!(stack.browser.opened(), 1);
    }
}

#[test]
fn the_well_known_names_are_the_same_account() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut own = MsalPython::start(&stack, tenant);
        let own_account = account(&mut own);
        let guid = stack.authority.tenant(tenant);
        for segment in ["common", "organizations", &guid] {
            let authority = format!("https://login.microsoftonline.com/{segment}");
            let mut msal = MsalPython::start_at(&stack, &authority);
            assert_eq!(account(&mut msal), own_account, "{authority}");
            from_broker(msal.silent(ALICE, segment));
            assert_eq!(msal.browsers_opened(), 0);
        }
    }
}

#[test]
fn an_account_that_was_removed_gives_no_token_until_the_next_sign_in() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        msal.sign_in();
        msal.ask("remove_account", json!({"user": ALICE}));
        assert_eq!(msal.accounts(), [""; 0]);
        let refused = msal.silent(ALICE, "removed");
        assert_eq!(broker_status(&refused), "AccountUnusable", "{refused:#}");
        from_broker(msal.ask("interactive", json!({"prompt": "select_account"})));
        from_broker(msal.silent(ALICE, "back"));
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(msal.browsers_opened(), 0);
    }
}

#[test]
fn a_person_who_cancels_is_told_apart_from_a_failure() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        for choice in [Choice::Cancel, Choice::Decline] {
            stack.browser.does(choice);
            let refused = msal.ask("interactive", json!({}));
            assert_eq!(broker_status(&refused), "UserCanceled", "{choice:?}");
        }
        stack.browser.signs_in(ALICE);
        msal.sign_in();
        assert_eq!(msal.browsers_opened(), 0);
    }
}

#[test]
fn two_accounts_are_kept_apart() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        let alice = msal.sign_in();
        stack.browser.signs_in(BOB);
        let bob = from_broker(msal.ask("interactive", json!({"prompt": "select_account"})));
        assert_ne!(
            alice["id_token_claims"]["oid"],
            bob["id_token_claims"]["oid"]
        );
        assert_eq!(msal.accounts(), [ALICE, BOB]);
        for user in [ALICE, BOB] {
            let token = from_broker(msal.silent(user, user));
            assert_eq!(whose(&stack, &token), user);
        }
    }
}

#[test]
fn the_person_a_program_names_is_the_one_who_signs_in() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        msal.sign_in();
        // The page suggests the person named, and whoever sits there follows.
        let bob = from_broker(msal.ask("interactive", json!({"loginHint": BOB})));
        assert_eq!(whose(&stack, &bob), BOB);
        assert_eq!(stack.browser.opened(), 2);
        let known = from_broker(msal.ask("interactive", json!({"loginHint": ALICE})));
        assert_eq!(whose(&stack, &known), ALICE);
        assert_eq!(stack.browser.opened(), 2, "a known person need not come");
    }
}

#[test]
fn without_keywardd_every_request_is_an_error_and_no_browser_opens() {
    for (_, tenant) in BOTH {
        let mut stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        msal.sign_in();
        let opened = stack.browser.opened();

        stack.kill_keywardd();
        let mut late = MsalPython::start(&stack, tenant);
        let interactive = json!({"prompt": "select_account"});
        for answer in [
            msal.silent(ALICE, "gone"),
            msal.ask("interactive", interactive.clone()),
            late.ask("interactive", json!({})),
            late.ask("interactive", interactive),
        ] {
            let status = broker_status(&answer);
            assert_ne!(
                status, "InteractionRequired",
                "no person can help: {answer:#}"
            );
            assert_ne!(status, "UserCanceled", "{answer:#}");
        }
        assert_eq!((msal.browsers_opened(), late.browsers_opened()), (0, 0));
        assert_eq!(stack.browser.opened(), opened);

        stack.start_keywardd();
        from_broker(msal.silent(ALICE, "back"));
        assert_eq!(
            stack.browser.opened(),
            opened,
            "nobody had to sign in again"
        );
    }
}

#[test]
fn a_broken_configuration_is_named_and_no_browser_opens() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.write_configuration("key_protection = \"software\"\nauthorty = 1\n");
    stack.start_keywardd();
    stack.start_session();
    let mut msal = MsalPython::start(&stack, Tenant::Oidc);
    let refused = msal.ask("interactive", json!({}));
    assert_eq!(broker_status(&refused), "IncorrectConfiguration");
    let description = refused["error_description"].as_str().unwrap();
    assert!(description.contains("authorty"), "which key: {description}");
    assert_eq!((msal.browsers_opened(), stack.browser.opened()), (0, 0));
}

#[test]
fn the_browser_that_never_opens_would_be_noticed() {
    // Without any broker MSAL Python silently goes its own way.
    let stack = Stack::without_broker(Tenant::Oidc);
    let mut msal = MsalPython::start(&stack, Tenant::Oidc);
    let raised = msal.attempt("interactive", json!({})).unwrap_err();
    assert!(raised.contains("Timeout"), "{raised}");
    assert_eq!(msal.browsers_opened(), 1);
}

#[test]
fn a_revoked_sign_in_asks_for_a_person_and_a_new_one_mends_it() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = MsalPython::start(&stack, tenant);
        msal.sign_in();
        assert_eq!(stack.authority.revoke(ALICE), 1);
        let refused = msal.silent(ALICE, "revoked");
        assert_eq!(
            broker_status(&refused),
            "InteractionRequired",
            "{refused:#}"
        );
        // The same request again, as the error asks for: MSAL Python tries silently first.
        let claims = json!({"access_token": {"x": {"value": "revoked"}}}).to_string();
        let mended = from_broker(msal.ask("interactive", json!({"claims": claims})));
        assert_eq!(mended["ui"], json!(["broker"]));
        from_broker(msal.silent(ALICE, "mended"));
        assert_eq!(msal.browsers_opened(), 0);
    }
}

/// Signs in and says as whom: user and tenant, as the broker knows them.
fn account(msal: &mut MsalPython) -> (Value, Value) {
    let token = msal.sign_in();
    let claims = &token["id_token_claims"];
    assert!(
        claims["oid"].is_string() && claims["tid"].is_string(),
        "{claims:#}"
    );
    (claims["oid"].clone(), claims["tid"].clone())
}

/// For whom the API takes a bearer token to be.
fn whose(stack: &Stack, token: &Value) -> String {
    let header = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let answer = http::get(&stack.authority.api(), &[("Authorization", &header)]).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let me = answer.json();
    me["preferred_username"].as_str().unwrap().to_owned()
}
