//! Unmodified msal-node with everything an application may put into a request.

use std::net::TcpListener;

use keyward_e2e::msal::access_token;
use keyward_e2e::{ALICE, BOB, Msal, Stack, on_both_tenants};
use keyward_testkit::http;
use serde_json::{Value, json};

/// Scopes are asked for in many spellings; what was asked for is granted as it was asked for.
const SCOPES: [&[&str]; 6] = [
    &["https://graph.microsoft.com/.default"],
    &["openid", "profile", "offline_access"],
    &["openid"],
    &["email"],
    &["User.Read", "https://graph.microsoft.com/Mail.Read"],
    &["api://00000000-0000-0000-0000-00000000a91f/access"],
];

#[test]
fn any_scopes_are_granted_as_they_were_asked_for() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        // With none at all the client sends an empty list.
        let first = msal.ask("interactive", json!({"scopes": []})).unwrap();
        assert_eq!(first["username"], ALICE);
        for scopes in SCOPES {
            for verb in ["interactive", "silent"] {
                let asked = json!({"scopes": scopes, "user": (verb == "silent").then_some(ALICE)});
                let token = msal.ask(verb, asked).unwrap();
                assert_eq!(token["username"], ALICE);
                assert!(!access_token(&token).is_empty());
                let granted = token["scopes"].as_array().unwrap();
                for scope in scopes.iter().filter(|scope| **scope != "offline_access") {
                    assert!(granted.contains(&json!(scope)), "{verb} {scope}: {token}");
                }
            }
        }
        assert_eq!(stack.browser.opened(), 1, "consent was given at the first");
    });
}

#[test]
fn whatever_else_a_sign_in_asks_for_it_ends_with_a_token() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let more = [
            json!({"prompt": "select_account"}),
            json!({"prompt": "login"}),
            json!({"prompt": "create"}),
            json!({"user": ALICE}),
            json!({"user": ALICE, "prompt": "login"}),
            json!({"windowHandle": "0100000000000000", "prompt": "login"}),
            json!({"windowHandle": "efbeadde00000000", "prompt": "login"}),
            json!({"prompt": "login", "claims": "{\"id_token\":{\"auth_time\":{\"essential\":true}}}"}),
            with(&json!({"redirectUri": "http://localhost"})),
            with(&json!({"redirectUri": format!("http://localhost:{}/callback", free_port())})),
            with(&json!({"redirectUri": "msal-application://auth"})),
            with(&json!({"correlationId": "c0ffee00-0000-4000-8000-000000000001"})),
            with(&json!({"extraParameters": {"name": "a b&redirect_uri=https://evil.example"}})),
            with(&json!({"resource": "https://graph.microsoft.com"})),
        ];
        for (before, asked) in more.into_iter().enumerate() {
            let shown = asked.to_string();
            assert_eq!(stack.browser.opened(), before);
            let token = msal.ask("interactive", asked);
            let token = token.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
            let user = stack.authority.whose(access_token(&token));
            assert_eq!(user, ALICE, "{shown}");
        }
        // Shown as one and the same application, whatever it passed on.
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(msal.browsers_opened(), 0);
    });
}

/// A port nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A sign-in with more in its request.
fn with(more: &Value) -> Value {
    json!({"prompt": "login", "more": more})
}

#[test]
fn a_hint_names_who_signs_in_and_nobody_else_is_returned_for_it() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let hints = |user: &str| json!({"loginHint": user});
        for (user, opened) in [(ALICE, 1), (BOB, 2), (ALICE, 2), (BOB, 2)] {
            let token = msal.ask("interactive", hints(user)).unwrap();
            assert_eq!(token["username"], user);
            assert_eq!(stack.authority.whose(access_token(&token)), user);
            assert_eq!(stack.browser.opened(), opened, "{user} is signed in");
        }
    });
}

#[test]
fn without_a_prompt_nobody_is_asked() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let none = |user: Option<&str>| json!({"prompt": "none", "user": user});
        let refused = msal.ask("interactive", none(None)).unwrap_err();
        assert_eq!(refused.name, "InteractionRequiredAuthError", "{refused:?}");
        assert_eq!(refused.code, "interaction_required", "{refused:?}");
        assert_eq!(stack.browser.opened(), 0);

        msal.sign_in();
        for user in [None, Some(ALICE)] {
            let token = msal.ask("interactive", none(user)).unwrap();
            assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        }
        // Of two the broker chooses none.
        stack.browser.signs_in(BOB);
        let asked = json!({"prompt": "select_account"});
        msal.ask("interactive", asked).unwrap();
        let refused = msal.ask("interactive", none(None)).unwrap_err();
        assert_eq!(refused.name, "InteractionRequiredAuthError", "{refused:?}");
        let token = msal.ask("interactive", none(Some(BOB))).unwrap();
        assert_eq!(stack.authority.whose(access_token(&token)), BOB);
        assert_eq!(stack.browser.opened(), 2);
    });
}

#[test]
fn a_sign_in_may_give_a_signed_request_at_once() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        let api = stack.authority.api();
        let pop = json!({"method": "GET", "uri": format!("{api}?query=is#not-signed")});
        for prompt in ["login", "select_account"] {
            let asked = json!({"pop": pop, "prompt": prompt});
            let token = msal.ask("interactive", asked).unwrap();
            assert_eq!(token["tokenType"], "pop");
            let header = format!("PoP {}", access_token(&token));
            let answer = http::get(&api, &[("Authorization", &header)]).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["preferred_username"], ALICE);
        }
    });
}

#[test]
fn two_programs_share_one_sign_in() {
    on_both_tenants(|tenant| {
        let stack = Stack::start(tenant);
        let (mut one, mut other) = (Msal::start(&stack), Msal::start(&stack));
        one.sign_in();
        let token = other.sign_in();
        assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        assert_eq!(other.accounts(), [ALICE]);
        assert_eq!(stack.browser.opened(), 1);
        // At once, past every cache.
        for round in 0..5 {
            let asked = keyward_e2e::msal::fresh(ALICE, &round.to_string());
            one.begin("silent", asked.clone());
            other.begin("silent", asked);
            for msal in [&mut one, &mut other] {
                let token = msal.finish().unwrap();
                assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
            }
        }
    });
}
