//! Unmodified msal-node with Microsoft's own runtime gets its tokens from our broker.

use keyward_e2e::private_session::Desktop;
use keyward_e2e::{ALICE, BOB, Msal, SOON, Stack, Tenant};
use keyward_testkit::http;
use keyward_testkit::http::Response;
use serde_json::json;

const BOTH: [(&str, Tenant); 2] = [("oidc", Tenant::Oidc), ("entra", Tenant::Entra)];

#[test]
fn the_documented_snippet_runs_unchanged_in_a_private_session() {
    for (name, _) in BOTH {
        let desktop = Desktop::start();
        let said = desktop.session(&["--tenant", name], "node $NODE/snippet.mjs");
        assert_eq!(
            said,
            [json!({"interactive": ALICE, "fromPlatformBroker": true, "silent": ALICE})],
            "tenant {name}"
        );
    }
}

#[test]
fn the_brokered_command_line_sample_signs_in_once_and_is_silent_afterwards() {
    for (name, _) in BOTH {
        let desktop = Desktop::start();
        let twice = "node $NODE/brokered-cli.mjs; node $NODE/brokered-cli.mjs";
        let said = desktop.session(&["--tenant", name], twice);
        let how: Vec<_> = said
            .iter()
            .map(|run| run["how"].as_str().unwrap())
            .collect();
        assert_eq!(how, ["interactive", "silent"], "tenant {name}: {said:?}");
        for run in &said {
            assert_eq!(run["status"], 200, "the API refused the token: {run}");
            assert_eq!(run["me"]["preferred_username"], ALICE, "{run}");
            assert_eq!(run["me"]["scheme"], "Bearer", "{run}");
        }
    }
}

#[test]
fn every_well_known_name_is_one_and_the_same_account() {
    let stack = Stack::start(Tenant::Oidc);
    let guid = stack.authority.tenant(Tenant::Oidc);
    let mut seen = Vec::new();
    for authority in [
        "https://login.microsoftonline.com/common".to_owned(),
        "https://login.microsoftonline.com/organizations".to_owned(),
        format!("https://login.microsoftonline.com/{guid}"),
        format!("https://localhost/{guid}"),
        format!("http://localhost:1/{guid}"),
        // A derived tenant always resolves back to its authority.
        format!("https://any.example/{guid}"),
    ] {
        let token = Msal::start_at(&stack, &authority).sign_in();
        seen.push((
            authority,
            token["homeAccountId"].clone(),
            token["tenantId"].clone(),
        ));
    }
    for (authority, account, tenant) in &seen {
        assert_eq!(account, &seen[0].1, "{authority}");
        assert_eq!(*tenant, guid, "{authority}");
    }
}

#[test]
fn a_silent_token_is_for_the_account_that_signed_in() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        assert!(msal.is_broker_available());
        let signed_in = msal.sign_in();
        let silent = msal.silent(ALICE).unwrap();
        assert_eq!(silent["homeAccountId"], signed_in["homeAccountId"]);
        assert_eq!(silent["fromPlatformBroker"], true);
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(stack.browser.opened(), 1, "one sign-in, one browser");
        assert_eq!(msal.browsers_opened(), 0);
    }
}

#[test]
fn claims_bypass_every_cache() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let first = msal.sign_in();
        for round in 0..3 {
            let claims = json!({"access_token": {"nbf": {"essential": true, "value": round}}});
            let asked = json!({"user": ALICE, "claims": claims.to_string()});
            let token = msal.ask("silent", asked).unwrap();
            assert_ne!(token["accessToken"], first["accessToken"]);
        }
        assert_eq!(stack.browser.opened(), 1);
    }
}

#[test]
fn a_signed_request_is_good_once_and_for_what_it_was_made() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        let api = stack.authority.api();
        let mut signed = |method: &str| {
            let pop = json!({"method": method, "uri": api, "nonce": pop_nonce(&api)});
            let token = msal
                .ask("silent", json!({"user": ALICE, "pop": pop}))
                .unwrap();
            assert_eq!(token["tokenType"], "pop");
            token["accessToken"].as_str().unwrap().to_owned()
        };

        let request = signed("GET");
        let answer = present(&api, "GET", &request);
        assert_eq!(answer.status, 200, "{tenant:?}: {answer:?}");
        assert_eq!(answer.json()["scheme"], "PoP");
        assert_eq!(answer.json()["preferred_username"], ALICE);

        let replayed = present(&api, "GET", &request);
        assert_eq!(
            replayed.status, 401,
            "a replay must be refused: {replayed:?}"
        );

        let for_get = signed("GET");
        let other_method = present(&api, "POST", &for_get);
        assert_eq!(other_method.status, 401, "made for GET: {other_method:?}");

        let for_post = signed("POST");
        assert_eq!(present(&api, "POST", &for_post).status, 200);
    }
}

#[test]
fn the_token_inside_a_signed_request_is_worthless_without_the_key() {
    let stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    let api = stack.authority.api();
    let pop = json!({"method": "GET", "uri": api});
    let token = msal
        .ask("silent", json!({"user": ALICE, "pop": pop}))
        .unwrap();
    let request = token["accessToken"].as_str().unwrap();
    let inside = keyward_e2e::payload(request)["at"]
        .as_str()
        .unwrap()
        .to_owned();
    for scheme in ["Bearer", "DPoP", "PoP"] {
        let header = format!("{scheme} {inside}");
        let answer = http::get(&api, &[("Authorization", &header)]).unwrap();
        assert_eq!(answer.status, 401, "as {scheme}: {answer:?}");
    }
}

#[test]
fn after_signing_out_the_account_is_unusable_until_the_next_sign_in() {
    let stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    msal.ask("signOut", json!({"user": ALICE})).unwrap();
    let refused = msal.silent(ALICE).unwrap_err();
    assert_eq!(refused.name, "InteractionRequiredAuthError", "{refused:?}");
    assert_eq!(refused.status, "AccountUnusable", "{refused:?}");
    // Only a sign-in that is not silent clears the mark Microsoft's runtime keeps.
    msal.ask("interactive", json!({"prompt": "select_account"}))
        .unwrap();
    msal.silent(ALICE).unwrap();
    assert_eq!(msal.browsers_opened(), 0);
}

#[test]
fn a_person_who_cancels_is_told_apart_from_a_failure() {
    use keyward_e2e::browser::Choice;
    let stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    for choice in [Choice::Cancel, Choice::Decline] {
        stack.browser.does(choice);
        let error = msal.ask("interactive", json!({})).unwrap_err();
        assert_eq!(error.code, "user_canceled", "{choice:?}: {error:?}");
    }
    stack.browser.signs_in(ALICE);
    msal.sign_in();
    assert_eq!(msal.browsers_opened(), 0);
}

#[test]
fn two_accounts_are_kept_apart() {
    for (_, tenant) in BOTH {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let alice = msal.sign_in();
        stack.browser.signs_in(BOB);
        let asked = json!({"prompt": "select_account"});
        let bob = msal.ask("interactive", asked).unwrap();
        assert_eq!(
            (&alice["username"], &bob["username"]),
            (&json!(ALICE), &json!(BOB))
        );
        assert_ne!(alice["homeAccountId"], bob["homeAccountId"]);
        let mut accounts = msal.accounts();
        accounts.sort();
        assert_eq!(accounts, [ALICE, BOB]);
        for (user, signed_in) in [(ALICE, &alice), (BOB, &bob)] {
            let claims = json!({"access_token": {"x": {"value": user}}}).to_string();
            let token = msal
                .ask("silent", json!({"user": user, "claims": claims}))
                .unwrap();
            assert_eq!(token["homeAccountId"], signed_in["homeAccountId"]);
            assert_eq!(whose(&stack, &token), user);
        }
    }
}

#[test]
fn a_second_application_gets_its_own_token_for_the_same_person() {
    let stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    let asked = json!({"clientId": keyward_e2e::OTHER_CLIENT});
    let other = msal.ask("interactive", asked).unwrap();
    let api = stack.authority.api();
    let header = format!("Bearer {}", other["accessToken"].as_str().unwrap());
    let me = http::get(&api, &[("Authorization", &header)])
        .unwrap()
        .json();
    assert_eq!(me["client_id"], keyward_e2e::OTHER_CLIENT);
}

#[test]
fn a_program_started_by_the_bus_serves_the_first_client_and_leaves_with_the_bus() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.make_activatable();
    let authority = stack.localhost_authority(Tenant::Oidc);
    let mut msal = Msal::start_at(&stack, &authority);
    assert!(
        msal.is_broker_available(),
        "the bus starts the broker for the first ping"
    );
    msal.sign_in();
    msal.silent(ALICE).unwrap();

    let session = stack.session_process().expect("the name is owned");
    let keywardd = stack
        .keywardd_process()
        .expect("keywardd was started on demand");
    stack.bus.stop();
    let gone = || (!keyward_testkit::process::runs(session)).then_some(());
    keyward_testkit::wait::until("the end of keyward-session", SOON, gone);
    assert_eq!(
        stack.keywardd_process(),
        Some(keywardd),
        "keywardd outlives the bus"
    );
}

/// The nonce the API wants to see in signed requests.
fn pop_nonce(api: &str) -> Option<String> {
    let challenge = http::get(api, &[]).unwrap();
    let challenges = challenge
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate");
    challenges.map(|(_, value)| value).find_map(|value| {
        let nonce = value.split_once("PoP nonce=\"")?.1;
        nonce.split('"').next().map(str::to_owned)
    })
}

fn present(api: &str, method: &str, request: &str) -> Response {
    let header = format!("PoP {request}");
    http::send(method, api, &[("Authorization", &header)], None).unwrap()
}

/// For whom the API takes a bearer token to be.
fn whose(stack: &Stack, token: &serde_json::Value) -> String {
    let header = format!("Bearer {}", token["accessToken"].as_str().unwrap());
    let answer = http::get(&stack.authority.api(), &[("Authorization", &header)]).unwrap();
    answer.json()["preferred_username"]
        .as_str()
        .unwrap()
        .to_owned()
}
