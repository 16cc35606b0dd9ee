//! Unmodified msal-node with Microsoft's own runtime gets its tokens from our broker.

use std::collections::HashSet;

use keyward_e2e::browser::Choice;
use keyward_e2e::msal::access_token;
use keyward_e2e::private_session::Desktop;
use keyward_e2e::stack::MICROSOFT_NAME;
use keyward_e2e::{ALICE, BOB, Msal, OTHER_CLIENT, SOON, Stack, Tenant, on_both_tenants, payload};
use keyward_testkit::http::{self, Response};
use keyward_testkit::process::{Signal, runs, signal};
use keyward_testkit::wait;
use serde_json::{Value, json};

#[test]
fn the_documented_snippet_runs_unchanged_in_a_private_session() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let said = desktop.session(&["--tenant", tenant.name()], "node $NODE/snippet.mjs");
        assert_eq!(
            said,
            [json!({"interactive": ALICE, "fromPlatformBroker": true, "silent": ALICE})]
        );
    });
}

#[test]
fn the_brokered_command_line_sample_signs_in_once_and_is_silent_afterwards() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let twice = "node $NODE/brokered-cli.mjs; node $NODE/brokered-cli.mjs";
        let said = desktop.session(&["--tenant", tenant.name()], twice);
        let how: Vec<_> = said.iter().map(|run| &run["how"]).collect();
        assert_eq!(how, ["interactive", "silent"], "{said:?}");
        for run in &said {
            assert_eq!(run["status"], 200, "the API refused the token: {run}");
            assert_eq!(run["me"]["preferred_username"], ALICE, "{run}");
            assert_eq!(run["me"]["scheme"], "Bearer", "{run}");
        }
    });
}

#[test]
fn a_program_under_test_does_everything_in_a_private_session() {
    on_both_tenants(|tenant| {
        let desktop = Desktop::start();
        let mut msal = Msal::in_session(&desktop, &["--tenant", tenant.name()]);
        assert!(msal.is_broker_available());
        let api = msal.api();
        let whose = |token: &Value| {
            let header = format!("Bearer {}", access_token(token));
            let answer = http::get(&api, &[("Authorization", &header)]).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()["preferred_username"].clone()
        };
        assert_eq!(whose(&msal.sign_in()), ALICE);
        assert_eq!(whose(&msal.silent(ALICE).unwrap()), ALICE);
        assert_eq!(whose(&msal.renew(ALICE, "claims").unwrap()), ALICE);
        let asked = json!({"loginHint": BOB});
        assert_eq!(whose(&msal.ask("interactive", asked).unwrap()), BOB);
        let mut accounts = msal.accounts();
        accounts.sort();
        assert_eq!(accounts, [ALICE, BOB]);

        let pop = json!({"method": "GET", "uri": api, "nonce": pop_nonce(&api)});
        let signed = msal
            .ask("silent", json!({"user": BOB, "pop": pop}))
            .unwrap();
        let answer = present(&api, "GET", access_token(&signed));
        assert_eq!(answer.json()["preferred_username"], BOB, "{answer:?}");
        assert_eq!(present(&api, "GET", access_token(&signed)).status, 401);

        msal.ask("signOut", json!({"user": ALICE})).unwrap();
        assert_eq!(msal.silent(ALICE).unwrap_err().status, "AccountUnusable");
        assert_eq!(whose(&msal.renew(BOB, "alice is gone").unwrap()), BOB);
        let asked = json!({"prompt": "select_account"});
        assert_eq!(whose(&msal.ask("interactive", asked).unwrap()), ALICE);
        assert_eq!(whose(&msal.renew(ALICE, "back").unwrap()), ALICE);

        assert_eq!(msal.browsers_opened(), 0);
        assert_eq!(desktop.browser.opened(), 0, "auto opens no window");
        assert!(msal.end().success());
        assert!(!desktop.bus.connect().has_owner(MICROSOFT_NAME));
    });
}

#[test]
fn every_well_known_name_is_one_and_the_same_account() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let guid = stack.authority.tenant(tenant);
        let mut authorities = vec![
            "https://login.microsoftonline.com/common".to_owned(),
            "https://login.microsoftonline.com/organizations".to_owned(),
            format!("https://login.microsoftonline.com/{guid}"),
            format!("https://localhost/{guid}"),
            format!("http://localhost:1/{guid}"),
        ];
        if tenant == Tenant::Oidc {
            // A derived tenant always resolves back to its authority.
            authorities.push(format!("https://any.example/{guid}"));
        }
        let mut msal = Msal::start(&stack);
        let mut accounts = HashSet::new();
        for authority in authorities {
            let asked = json!({"authority": authority});
            let token = msal.ask("interactive", asked).unwrap();
            assert_eq!(token["tenantId"], guid, "{authority}");
            assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
            accounts.insert(token["homeAccountId"].as_str().unwrap().to_owned());
        }
        assert_eq!(accounts.len(), 1, "{accounts:?}");
        assert_eq!(stack.browser.opened(), 1, "signed in once, under any name");
    });
}

#[test]
fn a_silent_token_is_for_the_account_that_signed_in() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        assert!(msal.is_broker_available());
        let signed_in = msal.sign_in();
        let silent = msal.silent(ALICE).unwrap();
        for token in [&signed_in, &silent] {
            assert_eq!(token["homeAccountId"], signed_in["homeAccountId"]);
            assert_eq!(token["fromPlatformBroker"], true);
            assert_eq!(stack.authority.whose(access_token(token)), ALICE);
        }
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(stack.browser.opened(), 1, "one sign-in, one browser");
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn claims_bypass_every_cache() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let mut tokens = vec![msal.sign_in()];
        let before = stack.authority.renewals();
        for round in 0..3 {
            let claims = json!({"access_token": {"nbf": {"essential": true, "value": round}}});
            let asked = json!({"user": ALICE, "claims": claims.to_string()});
            tokens.push(msal.ask("silent", asked).unwrap());
        }
        assert_eq!(stack.authority.renewals() - before, 3);
        let different: HashSet<_> = tokens.iter().map(access_token).collect();
        assert_eq!(different.len(), tokens.len(), "a new token each time");
        for token in different {
            assert_eq!(stack.authority.whose(token), ALICE);
        }
        assert_eq!(stack.browser.opened(), 1);
    });
}

#[test]
fn a_signed_request_is_good_once_and_for_what_it_was_made() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        let api = stack.authority.api();
        let mut signed = |method: &str, uri: &str| {
            let pop = json!({"method": method, "uri": uri, "nonce": pop_nonce(&api)});
            let token = msal.ask("silent", json!({"user": ALICE, "pop": pop}));
            let token = token.unwrap();
            assert_eq!(token["tokenType"], "pop");
            access_token(&token).to_owned()
        };

        let request = signed("GET", &api);
        let answer = present(&api, "GET", &request);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["scheme"], "PoP");
        assert_eq!(answer.json()["preferred_username"], ALICE);

        let replayed = present(&api, "GET", &request);
        assert_eq!(replayed.status, 401, "a replay: {replayed:?}");

        let for_get = signed("GET", &api);
        let other_method = present(&api, "POST", &for_get);
        assert_eq!(other_method.status, 401, "made for GET: {other_method:?}");

        let elsewhere = signed("GET", &api.replace("/me", "/you"));
        let other_path = present(&api, "GET", &elsewhere);
        assert_eq!(other_path.status, 401, "made for elsewhere: {other_path:?}");

        let for_post = signed("POST", &api);
        assert_eq!(present(&api, "POST", &for_post).status, 200);
        assert_eq!(stack.browser.opened(), 1);
    });
}

#[test]
fn the_token_inside_a_signed_request_is_worthless_without_the_key() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        let api = stack.authority.api();
        let pop = json!({"method": "GET", "uri": api});
        let token = msal.ask("silent", json!({"user": ALICE, "pop": pop}));
        let token = token.unwrap();
        let request = payload(access_token(&token));
        let inside = request["at"].as_str().unwrap();
        for scheme in ["Bearer", "DPoP", "PoP"] {
            let header = format!("{scheme} {inside}");
            let answer = http::get(&api, &[("Authorization", &header)]).unwrap();
            assert_eq!(answer.status, 401, "as {scheme}: {answer:?}");
        }
    });
}

#[test]
fn after_signing_out_the_account_is_unusable_until_the_next_sign_in() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        msal.ask("signOut", json!({"user": ALICE})).unwrap();
        for refused in [msal.silent(ALICE), msal.renew(ALICE, "signed out")] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.name, "InteractionRequiredAuthError", "{refused:?}");
            assert_eq!(refused.status, "AccountUnusable", "{refused:?}");
        }
        assert_eq!(stack.browser.opened(), 1, "an error is no sign-in");
        // Only a sign-in that is not silent clears the mark Microsoft's runtime keeps.
        msal.ask("interactive", json!({"prompt": "select_account"}))
            .unwrap();
        let token = msal.renew(ALICE, "signed in again").unwrap();
        assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        assert_eq!(stack.browser.opened(), 2);
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn a_person_who_cancels_is_told_apart_from_a_failure() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        for (shown, choice) in [(1, Choice::Cancel), (2, Choice::Decline)] {
            stack.browser.does(choice);
            let error = msal.ask("interactive", json!({})).unwrap_err();
            assert_eq!(error.code, "user_canceled", "{choice:?}: {error:?}");
            assert_eq!(stack.browser.opened(), shown, "{choice:?}: asked once");
            assert_eq!(msal.accounts(), [""; 0], "{choice:?}: nobody signed in");
        }
        stack.browser.signs_in(ALICE);
        let token = msal.sign_in();
        assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn two_accounts_are_kept_apart() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let alice = msal.sign_in();
        stack.browser.signs_in(BOB);
        let asked = json!({"prompt": "select_account"});
        let bob = msal.ask("interactive", asked).unwrap();
        let names = (&alice["username"], &bob["username"]);
        assert_eq!(names, (&json!(ALICE), &json!(BOB)));
        assert_ne!(alice["homeAccountId"], bob["homeAccountId"]);
        let mut accounts = msal.accounts();
        accounts.sort();
        assert_eq!(accounts, [ALICE, BOB]);
        for round in ["once", "again"] {
            for (user, signed_in) in [(ALICE, &alice), (BOB, &bob)] {
                let token = msal.renew(user, round).unwrap();
                assert_eq!(token["homeAccountId"], signed_in["homeAccountId"]);
                assert_eq!(stack.authority.whose(access_token(&token)), user);
            }
        }
        // Signing one out leaves the other alone.
        msal.ask("signOut", json!({"user": ALICE})).unwrap();
        assert_eq!(msal.silent(ALICE).unwrap_err().status, "AccountUnusable");
        let token = msal.renew(BOB, "alice is gone").unwrap();
        assert_eq!(stack.authority.whose(access_token(&token)), BOB);
        assert_eq!(stack.browser.opened(), 2);
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn a_second_application_gets_its_own_token_for_the_same_person() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        let asked = json!({"clientId": OTHER_CLIENT});
        let other = msal.ask("interactive", asked).unwrap();
        let header = format!("Bearer {}", access_token(&other));
        let me = http::get(&stack.authority.api(), &[("Authorization", &header)]);
        assert_eq!(me.unwrap().json()["client_id"], OTHER_CLIENT);
    });
}

#[test]
fn a_program_started_by_the_bus_serves_the_first_client_and_leaves_with_the_bus() {
    on_both_tenants(|tenant| {
        let mut stack = Stack::without_broker(tenant);
        stack.make_activatable();
        let mut msal = Msal::start_at(&stack, &stack.localhost_authority(tenant));
        assert!(
            msal.is_broker_available(),
            "the bus starts the broker for the first ping"
        );
        let signed_in = msal.sign_in();
        assert_eq!(stack.authority.whose(access_token(&signed_in)), ALICE);

        // Whatever dies is started again for the next request, and nobody signs in again.
        for part in ["keywardd", "keyward-session"] {
            let process = match part {
                "keywardd" => stack.keywardd_process(),
                _ => stack.session_process(),
            };
            kill(process.expect(part));
            let token = msal.renew(ALICE, part).unwrap();
            assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        }
        assert_eq!(stack.browser.opened(), 1);
        assert_eq!(msal.browsers_opened(), 0);

        let session = stack.session_process().expect("the name is owned");
        let keywardd = stack.keywardd_process();
        assert!(keywardd.is_some(), "keywardd was started on demand");
        stack.bus.stop();
        wait::until("the end of keyward-session", SOON, || {
            (!runs(session)).then_some(())
        });
        let outlived = stack.keywardd_process();
        assert_eq!(outlived, keywardd, "keywardd outlives the bus");
    });
}

/// Kills a process of the broker, as a crash would.
fn kill(process: u32) {
    signal(process, Signal::KILL);
    wait::until("its end", SOON, || (!runs(process)).then_some(()));
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
