//! `dev.keyward.Broker1`: what it offers beyond the JSON protocol, on the socket and on the bus.

use std::thread;

use keyward_e2e::browser::Choice;
use keyward_e2e::typed::{Reply, Typed};
use keyward_e2e::{ALICE, BOB, CLIENT, SOON, Stack, Tenant};
use keyward_testkit::{http, wait};
use serde_json::{Value, json};

/// A request for alice's tenant, with more keys.
fn request(stack: &Stack, tenant: Tenant, more: Value) -> Value {
    let mut request = json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(tenant),
        "scopes": "User.Read",
    });
    if let (Some(request), Value::Object(more)) = (request.as_object_mut(), more) {
        request.extend(more);
    }
    request
}

fn sign_in(stack: &Stack, typed: &Typed, tenant: Tenant) -> Value {
    let request = request(stack, tenant, json!({}));
    typed.ask("AcquireTokenInteractive", &request).unwrap()
}

fn silent(stack: &Stack, typed: &Typed, tenant: Tenant, more: Value) -> Reply {
    typed.ask("AcquireTokenSilent", &request(stack, tenant, more))
}

#[test]
fn every_answer_says_what_binds_the_refresh_token_and_where_the_key_lives() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    for (tenant, binding) in [
        (Tenant::Oidc, "sender-constrained:dpop"),
        (Tenant::Entra, "sealed-at-rest"),
    ] {
        let signed_in = sign_in(&stack, &typed, tenant);
        assert_eq!(signed_in["binding"], binding, "{tenant:?}");
        assert_eq!(signed_in["key_protection"], "software");
        assert_eq!(signed_in["username"], ALICE);
        let home = json!({"home_account_id": signed_in["home_account_id"]});
        let again = silent(&stack, &typed, tenant, home).unwrap();
        assert_eq!(again["binding"], binding, "{tenant:?}");
        assert_eq!(again["token_source"], "cache");
    }
    let status = typed.ask("Status", &json!({})).unwrap();
    let mut bindings: Vec<_> = status["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["binding"].clone())
        .collect();
    bindings.sort_by_key(ToString::to_string);
    assert_eq!(bindings, ["sealed-at-rest", "sender-constrained:dpop"]);
    assert_eq!(status["form"], "session");
    assert_eq!(status["key_protection"], "software");
    assert!(typed.ask("Version", &json!({})).unwrap()["version"].is_string());
}

#[test]
fn socket_and_bus_answer_alike() {
    let stack = Stack::start(Tenant::Oidc);
    let (socket, bus) = (Typed::over_socket(&stack), Typed::over_bus(&stack));
    sign_in(&stack, &bus, Tenant::Oidc);
    let asked = json!({"username": ALICE});
    let over_socket = silent(&stack, &socket, Tenant::Oidc, asked.clone()).unwrap();
    let over_bus = silent(&stack, &bus, Tenant::Oidc, asked).unwrap();
    assert_eq!(over_socket["access_token"], over_bus["access_token"]);
    let accounts = |typed: &Typed| {
        typed
            .ask("Accounts", &json!({"client_id": CLIENT}))
            .unwrap()
    };
    assert_eq!(accounts(&socket), accounts(&bus));
    for typed in [&socket, &bus] {
        let missing = typed
            .ask("AcquireTokenSilent", &json!({"client_id": CLIENT}))
            .unwrap_err();
        assert_eq!(missing.kind, "InvalidRequest");
        assert!(missing.message.contains("authority"), "{missing:?}");
    }
}

#[test]
fn silent_never_signs_anybody_in() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    for who in [json!({"username": ALICE}), json!({"only_account": true})] {
        let error = silent(&stack, &typed, Tenant::Oidc, who).unwrap_err();
        assert_eq!(error.kind, "InteractionRequired", "{error:?}");
    }
    assert_eq!(stack.browser.opened(), 0);
}

#[test]
fn a_forced_refresh_and_a_token_to_renew_reach_the_authority() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    let first = sign_in(&stack, &typed, Tenant::Oidc)["access_token"].clone();
    let ask = |more: Value| {
        let answer = silent(&stack, &typed, Tenant::Oidc, more).unwrap();
        (
            answer["access_token"].clone(),
            answer["token_source"].clone(),
        )
    };
    assert_eq!(ask(json!({})), (first.clone(), json!("cache")));
    let (second, source) = ask(json!({"force_refresh": true}));
    assert_ne!(second, first);
    assert_eq!(source, "identity_provider");
    let (third, _) = ask(json!({"access_token_to_renew": second}));
    assert_ne!(third, second);
    assert_eq!(
        ask(json!({"access_token_to_renew": second})).0,
        third,
        "it was renewed already"
    );
}

#[test]
fn a_dpop_token_is_good_with_a_proof_for_this_request_only() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    sign_in(&stack, &typed, Tenant::Oidc);
    let api = stack.authority.api();
    let nonce = http::get(&api, &[])
        .unwrap()
        .header("dpop-nonce")
        .map(str::to_owned);
    let resource = json!({
        "authentication_scheme": "DPoP",
        "resource_request_method": "GET",
        "resource_request_uri": api,
        "resource_request_nonce": nonce.unwrap_or_default(),
    });
    let token = silent(&stack, &typed, Tenant::Oidc, resource).unwrap();
    assert_eq!(token["token_type"], "DPoP");
    let access_token = token["access_token"].as_str().unwrap();
    let call = |method: &str, proof: &str| {
        let authorization = format!("DPoP {access_token}");
        let headers = [("Authorization", authorization.as_str()), ("DPoP", proof)];
        http::send(method, &api, &headers, None).unwrap()
    };
    let proof = |method: &str, nonce: Option<&str>| {
        let mut asked = json!({
            "client_id": CLIENT, "access_token": access_token,
            "resource_request_method": method, "resource_request_uri": api,
        });
        if let Some(nonce) = nonce {
            asked["resource_request_nonce"] = json!(nonce);
        }
        let answer = typed.ask("DpopProof", &asked).unwrap();
        answer["dpop_proof"].as_str().unwrap().to_owned()
    };

    let first = token["dpop_proof"].as_str().unwrap();
    let accepted = call("GET", first);
    assert_eq!(accepted.status, 200, "{accepted:?}");
    assert_eq!(accepted.json()["scheme"], "DPoP");
    assert_eq!(call("GET", first).status, 401, "a proof is good once");

    let nonce = call("GET", &proof("GET", None))
        .header("dpop-nonce")
        .map(str::to_owned);
    let nonce = nonce.as_deref();
    assert_eq!(
        call("POST", &proof("GET", nonce)).status,
        401,
        "made for GET"
    );
    let accepted = call("POST", &proof("POST", nonce));
    assert_eq!(accepted.status, 200, "{accepted:?}");
}

#[test]
fn a_proof_is_made_only_for_a_token_of_the_same_application() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    sign_in(&stack, &typed, Tenant::Oidc);
    let dpop = json!({"authentication_scheme": "DPoP"});
    let token = silent(&stack, &typed, Tenant::Oidc, dpop).unwrap();
    for (client, token) in [
        (
            keyward_e2e::OTHER_CLIENT,
            token["access_token"].as_str().unwrap(),
        ),
        (CLIENT, "not-a-token-of-this-broker"),
    ] {
        let asked = json!({
            "client_id": client, "access_token": token,
            "resource_request_method": "GET", "resource_request_uri": stack.authority.api(),
        });
        assert!(typed.ask("DpopProof", &asked).is_err(), "for {client}");
    }
}

#[test]
fn a_login_hint_reaches_the_sign_in() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    let hinted = request(
        &stack,
        Tenant::Oidc,
        json!({"login_hint": BOB, "prompt": "login"}),
    );
    let answer = typed.ask("AcquireTokenInteractive", &hinted).unwrap();
    assert_eq!(answer["username"], BOB);
}

#[test]
fn another_person_than_the_one_asked_for_is_never_returned() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        stack.browser.signs_in(ALICE);
        let alice = sign_in(&stack, &typed, tenant);
        stack.browser.insists_on(BOB);
        let home = &alice["home_account_id"];
        let for_alice = json!({"home_account_id": home, "prompt": "select_account"});
        let asked = request(&stack, tenant, for_alice);
        let error = typed.ask("AcquireTokenInteractive", &asked).unwrap_err();
        assert_eq!(error.kind, "AccountSwitch", "{tenant:?}: {error:?}");
        let alice = json!({"home_account_id": home, "force_refresh": true});
        let token = silent(&stack, &typed, tenant, alice).unwrap();
        assert_eq!(token["username"], ALICE, "{tenant:?}");
    }
}

#[test]
fn a_sign_in_nobody_finishes_ends_at_the_deadline() {
    let stack = Stack::start(Tenant::Oidc);
    stack.browser.does(Choice::WalkAway);
    let typed = Typed::over_socket(&stack);
    let asked = request(&stack, Tenant::Oidc, json!({"deadline_ms": 300}));
    let error = typed.ask("AcquireTokenInteractive", &asked).unwrap_err();
    assert_eq!(error.kind, "DeadlineExceeded", "{error:?}");
    stack.browser.signs_in(ALICE);
    sign_in(&stack, &typed, Tenant::Oidc);
}

#[test]
fn cancel_ends_the_sign_in_at_once() {
    let stack = Stack::start(Tenant::Oidc);
    for typed in [Typed::over_socket(&stack), Typed::over_bus(&stack)] {
        stack.browser.does(Choice::WalkAway);
        let opened = stack.browser.opened();
        let asked = request(&stack, Tenant::Oidc, json!({"request_id": "mine"}));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| typed.ask("AcquireTokenInteractive", &asked));
            wait::until("the browser", SOON, || {
                (stack.browser.opened() > opened).then_some(())
            });
            typed.call("Cancel", &("mine",)).unwrap();
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.kind, "ApplicationCanceled", "{error:?}");
        });
        stack.browser.signs_in(ALICE);
        sign_in(&stack, &typed, Tenant::Oidc);
    }
}

#[test]
fn a_caller_that_goes_away_frees_the_screen_for_the_next() {
    let stack = Stack::start(Tenant::Oidc);
    stack.browser.does(Choice::WalkAway);
    let mut abandoned = keyward_e2e::Msal::start(&stack);
    abandoned.begin("interactive", json!({}));
    wait::until("the browser", SOON, || {
        (stack.browser.opened() > 0).then_some(())
    });
    abandoned.kill();
    stack.browser.signs_in(ALICE);
    let typed = Typed::over_socket(&stack);
    let soon = json!({"deadline_ms": 30_000});
    typed
        .ask(
            "AcquireTokenInteractive",
            &request(&stack, Tenant::Oidc, soon),
        )
        .unwrap();
}

#[test]
fn equal_sign_ins_join_and_others_wait_their_turn() {
    let stack = Stack::start(Tenant::Oidc);
    // The pages take long enough for every request to arrive while the first is shown.
    stack
        .authority
        .fault(keyward_dev_authority::FaultRule::once(
            keyward_dev_authority::Endpoint::Authorize,
            keyward_dev_authority::Fault::Slow { ms: 1000 },
        ));
    let equal = request(&stack, Tenant::Oidc, json!({}));
    let other = request(&stack, Tenant::Oidc, json!({"scopes": "Mail.Read"}));
    let tokens: Vec<Reply> = thread::scope(|scope| {
        let ask = |asked: Value| {
            let stack = &stack;
            scope.spawn(move || Typed::over_socket(stack).ask("AcquireTokenInteractive", &asked))
        };
        let waiting = [
            ask(equal.clone()),
            ask(equal.clone()),
            ask(equal),
            ask(other),
        ];
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for token in &tokens {
        assert_eq!(token.as_ref().unwrap()["username"], ALICE);
    }
    assert!(
        stack.browser.opened() <= 2,
        "three equal requests are one sign-in, and the other may need none: {}",
        stack.browser.opened()
    );
}

#[test]
fn signing_out_reaches_the_vault() {
    let mut stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    let signed_in = sign_in(&stack, &typed, Tenant::Oidc);
    let home = signed_in["home_account_id"].clone();
    let asked = json!({"client_id": CLIENT, "home_account_id": home});
    typed.ask("SignOut", &asked).unwrap();
    typed.ask("SignOut", &asked).unwrap();
    stack.kill_keywardd();
    stack.start_keywardd();
    let typed = Typed::over_socket(&stack);
    let accounts = typed
        .ask("Accounts", &json!({"client_id": CLIENT}))
        .unwrap();
    assert_eq!(accounts["accounts"], json!([]));
    let error = silent(
        &stack,
        &typed,
        Tenant::Oidc,
        json!({"home_account_id": home}),
    );
    assert_eq!(error.unwrap_err().kind, "InteractionRequired");
}

#[test]
fn however_many_wait_one_renewal_is_made() {
    let stack = Stack::start(Tenant::Oidc);
    sign_in(&stack, &Typed::over_socket(&stack), Tenant::Oidc);
    stack
        .authority
        .fault(keyward_dev_authority::FaultRule::once(
            keyward_dev_authority::Endpoint::Token,
            keyward_dev_authority::Fault::Slow { ms: 1000 },
        ));
    let before = stack.authority.renewals();
    let typed = Typed::over_socket(&stack);
    let tokens: Vec<Value> = thread::scope(|scope| {
        let waiting: Vec<_> = (0..16)
            .map(|_| {
                let forced = json!({"force_refresh": true});
                scope.spawn(|| silent(&stack, &typed, Tenant::Oidc, forced).unwrap())
            })
            .collect();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap()["access_token"].clone())
            .collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(stack.authority.renewals() - before, 1);
}

#[test]
fn keywardd_alone_answers_and_says_that_nothing_can_show_a_sign_in() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.start_keywardd();
    let typed = Typed::over_socket(&stack);
    let asked = request(&stack, Tenant::Oidc, json!({}));
    let error = typed.ask("AcquireTokenInteractive", &asked).unwrap_err();
    assert!(error.message.contains("sign-in"), "{error:?}");
    assert_eq!(stack.browser.opened(), 0);
}
