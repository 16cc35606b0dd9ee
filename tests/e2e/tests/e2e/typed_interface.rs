//! `dev.keyward.Broker1`: what it offers beyond the JSON protocol, on the socket and on the bus.

use std::collections::BTreeSet;
use std::thread;

use keyward_e2e::authority::SignInStep;
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
        let error = typed.ask("DpopProof", &asked).unwrap_err();
        assert_eq!(error.kind, "InvalidRequest", "for {client}: {error:?}");
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
fn a_sign_in_of_another_person_than_the_one_asked_for_is_an_error_and_leaves_nothing() {
    let stack = Stack::start(Tenant::Oidc);
    let typed = Typed::over_socket(&stack);
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        stack.browser.signs_in(ALICE);
        let alice = sign_in(&stack, &typed, tenant);
        let before = what_is_kept(&stack, &typed);
        stack.browser.insists_on(BOB);
        for account in [
            json!({"home_account_id": alice["home_account_id"]}),
            json!({"username": ALICE}),
        ] {
            let mut asked = request(&stack, tenant, account);
            asked["prompt"] = json!("select_account");
            let error = typed.ask("AcquireTokenInteractive", &asked).unwrap_err();
            assert_eq!(error.kind, "AccountSwitch", "{tenant:?}: {error:?}");
        }
        let issued_to = stack.authority.issued_to();
        assert!(issued_to.contains(&BOB.to_owned()), "bob did sign in");
        assert_eq!(what_is_kept(&stack, &typed), before, "{tenant:?}");
        let bob = silent(&stack, &typed, tenant, json!({"username": BOB}));
        assert_eq!(bob.unwrap_err().kind, "InteractionRequired");
        let home = &alice["home_account_id"];
        let alice = json!({"home_account_id": home, "force_refresh": true});
        let token = silent(&stack, &typed, tenant, alice).unwrap();
        assert_eq!(token["username"], ALICE, "{tenant:?}");
    }
}

/// Accounts, and the names of the keys.
fn what_is_kept(stack: &Stack, typed: &Typed) -> (Value, BTreeSet<std::ffi::OsString>) {
    let asked = json!({"client_id": CLIENT});
    let accounts = typed.ask("Accounts", &asked).unwrap();
    let keys = std::fs::read_dir(stack.vault().join("keys")).unwrap();
    let keys = keys.map(|entry| entry.unwrap().file_name()).collect();
    (accounts, keys)
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
fn equal_sign_ins_are_one_sign_in() {
    let stack = Stack::start(Tenant::Oidc);
    // The prompt rules out that anybody is answered silently.
    let asked = request(&stack, Tenant::Oidc, json!({"prompt": "login"}));
    let tokens: Vec<Value> = thread::scope(|scope| {
        let held = stack.browser.holds();
        let callers: Vec<_> = [Typed::over_socket, Typed::over_bus]
            .repeat(3)
            .into_iter()
            .map(|connect| {
                let (stack, asked) = (&stack, &asked);
                scope.spawn(move || connect(stack).ask("AcquireTokenInteractive", asked))
            })
            .collect();
        wait::until("six callers of one sign-in", SOON, || {
            let joined = logged(&stack, "joined an equal request");
            (joined == 5 && stack.browser.opened() == 1).then_some(())
        });
        held.release();
        answers(callers)
    });
    let distinct: BTreeSet<_> = tokens.iter().map(|t| t["access_token"].as_str()).collect();
    assert_eq!(distinct.len(), 1, "one token for all");
    assert_eq!(stack.browser.opened(), 1);
    let steps = stack.authority.sign_ins();
    assert_eq!(steps, [SignInStep::Shown, SignInStep::Redeemed]);
}

#[test]
fn sign_ins_that_differ_in_anything_wait_for_each_other() {
    let stack = Stack::start(Tenant::Oidc);
    let different = [
        json!({"client_id": keyward_e2e::OTHER_CLIENT}),
        json!({"authority": stack.localhost_authority(Tenant::Entra)}),
        json!({"scopes": "Mail.Read"}),
        json!({"claims": "{\"access_token\":{\"x\":null}}"}),
        json!({"authentication_scheme": "DPoP"}),
    ];
    let tokens: Vec<Value> = thread::scope(|scope| {
        let held = stack.browser.holds();
        let ask = |more: &Value| {
            let mut asked = request(&stack, Tenant::Oidc, json!({"prompt": "login"}));
            let more = more.as_object().unwrap().clone();
            asked.as_object_mut().unwrap().extend(more);
            let stack = &stack;
            scope.spawn(move || Typed::over_socket(stack).ask("AcquireTokenInteractive", &asked))
        };
        let first = ask(&json!({}));
        wait::until("the first sign-in", SOON, || {
            (stack.browser.opened() == 1).then_some(())
        });
        let others: Vec<_> = different.iter().map(ask).collect();
        wait::until("five sign-ins that wait", SOON, || {
            (logged(&stack, "sign-in queued") == 5).then_some(())
        });
        assert_eq!(stack.browser.opened(), 1, "the others wait");
        held.release();
        answers(std::iter::once(first).chain(others))
    });
    let distinct: BTreeSet<_> = tokens.iter().map(|t| t["access_token"].as_str()).collect();
    assert_eq!(distinct.len(), 6, "nobody got another's token");
    assert_eq!(stack.browser.opened(), 6, "one sign-in each");
    let steps = stack.authority.sign_ins();
    let one_by_one = [SignInStep::Shown, SignInStep::Redeemed].repeat(6);
    assert_eq!(steps, one_by_one, "never two at once");
}

/// How often keywardd has logged this.
fn logged(stack: &Stack, message: &str) -> usize {
    let log = std::fs::read_to_string(stack.login.logs().join("keywardd.err"));
    log.unwrap_or_default().matches(message).count()
}

/// What the callers got; panics for whoever got nothing.
fn answers<'scope>(
    callers: impl IntoIterator<Item = thread::ScopedJoinHandle<'scope, Reply>>,
) -> Vec<Value> {
    let answers = callers.into_iter().map(|caller| caller.join().unwrap());
    answers.map(Result::unwrap).collect()
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
    assert_eq!(error.kind, "IncorrectConfiguration", "{error:?}");
    assert!(error.message.contains("sign-in"), "{error:?}");
    assert_eq!(stack.browser.opened(), 0);
}
