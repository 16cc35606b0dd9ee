//! Who may have tokens: the rules, the page that asks, and the command that takes answers back.

use std::thread;

use keyward_e2e::cli::keyward;
use keyward_e2e::typed::{Reply, Typed};
use keyward_e2e::{ALICE, CLIENT, SOON, Stack, Tenant};
use keyward_testkit::{http, wait};
use serde_json::{Value, json};

/// A login whose broker has these rules.
fn with_rules(rules: &str) -> Stack {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.configure_with(rules);
    stack.start_keywardd();
    stack.start_session();
    stack
}

fn asked_about(verdict: &str) -> String {
    format!("[[policy.rule]]\nclient_id = {CLIENT:?}\nverdict = {verdict:?}\n")
}

fn request(stack: &Stack) -> Value {
    json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read",
        "username": ALICE,
    })
}

fn silent(stack: &Stack, typed: &Typed) -> Reply {
    typed.ask("AcquireTokenSilent", &request(stack))
}

/// The kind of the error.
fn kind(reply: Reply) -> String {
    reply.unwrap_err().kind
}

/// The secret in the form of a page.
fn token_of(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a form");
    rest.split_once('"').expect("a form").0
}

/// Signs in over the bus while the person at the browser gives this answer on the page that asks.
/// Gives back the outcome and the page.
fn sign_in_answering(stack: &Stack, answer: &str) -> (Reply, String) {
    let before = stack.browser.questions().len();
    thread::scope(|scope| {
        let signing_in =
            scope.spawn(|| Typed::over_bus(stack).ask("AcquireTokenInteractive", &request(stack)));
        let page = wait::until("a page that asks", SOON, || {
            stack.browser.questions().get(before).cloned()
        });
        let shown = http::get(&page, &[]).unwrap();
        assert_eq!(shown.status, 200);
        assert_eq!(stack.browser.opened(), 0, "nobody signs in before");
        let form = format!("token={}&answer={answer}", token_of(&shown.body));
        let elsewhere = [("Origin", "https://evil.example")];
        assert_eq!(
            http::post_form(&page, &elsewhere, &form).unwrap().status,
            404
        );
        assert_eq!(http::post_form(&page, &[], &form).unwrap().status, 200);
        // It takes one answer.
        wait::until("the page gone", SOON, || http::get(&page, &[]).err());
        (signing_in.join().unwrap(), shown.body)
    })
}

#[test]
fn a_program_is_asked_about_on_a_page_and_the_answer_lasts_until_it_is_taken_back() {
    let mut stack = with_rules(&asked_about("ask"));
    let bus = Typed::over_bus(&stack);
    assert_eq!(kind(silent(&stack, &bus)), "InteractionRequired");
    assert_eq!(stack.browser.questions().len(), 0);

    let (signed_in, page) = sign_in_answering(&stack, "allow");
    assert_eq!(signed_in.unwrap()["username"], ALICE);
    let this = std::env::current_exe().unwrap();
    for shown in [this.to_str().unwrap(), CLIENT, "User.Read", "Started by"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // The same program, on the bus and on the socket; silent calls ask nobody.
    let socket = Typed::over_socket(&stack);
    silent(&stack, &bus).unwrap();
    silent(&stack, &socket).unwrap();

    drop((bus, socket));
    stack.kill_keywardd();
    stack.start_keywardd();
    silent(&stack, &Typed::over_bus(&stack)).unwrap();

    let listed = keyward(&stack, &["apps", "--json"]).ok().json();
    let apps = listed["apps"].as_array().unwrap();
    let allowed = apps.iter().find(|app| app["verdict"] == "allowed").unwrap();
    assert_eq!(allowed["path"], this.to_str().unwrap());
    assert_eq!(allowed["client_id"], CLIENT);
    assert_eq!(allowed["scopes"], json!(["User.Read"]));
    assert_eq!(allowed["username"], ALICE);
    assert!(allowed["since"].is_string() && allowed["last_used"].is_string());
    keyward(&stack, &["apps"]).ok();
    let nobody = keyward(&stack, &["apps", "revoke", "nobody"]);
    assert_eq!(nobody.code, 15, "{nobody:?}");
    keyward(&stack, &["apps", "revoke", CLIENT]).ok();
    assert_eq!(
        kind(silent(&stack, &Typed::over_bus(&stack))),
        "InteractionRequired"
    );
    assert_eq!(stack.browser.questions().len(), 1);
}

#[test]
fn a_refusal_is_no_sign_in_and_three_in_a_row_are_followed_by_no_page() {
    let stack = with_rules(&asked_about("ask"));
    for _ in 0..3 {
        let (outcome, _) = sign_in_answering(&stack, "dismiss");
        assert_eq!(kind(outcome), "UserCanceled");
    }
    let request = request(&stack);
    let again = Typed::over_bus(&stack).ask("AcquireTokenInteractive", &request);
    assert_eq!(kind(again), "TooManyRequests");
    assert_eq!(stack.browser.questions().len(), 3);
    assert_eq!(stack.browser.opened(), 0);
}

#[test]
fn what_a_rule_refuses_reaches_nobody() {
    let stack = with_rules(&asked_about("deny"));
    let request = request(&stack);
    for typed in [Typed::over_bus(&stack), Typed::over_socket(&stack)] {
        for method in ["AcquireTokenSilent", "AcquireTokenInteractive"] {
            let refused = typed.ask(method, &request).unwrap_err();
            assert_eq!(refused.kind, "IncorrectConfiguration", "{refused:?}");
            assert!(refused.message.contains("keyward.toml:"), "{refused:?}");
        }
    }
    assert_eq!(stack.browser.opened() + stack.browser.questions().len(), 0);
    let run = keyward(&stack, &["login"]);
    assert_eq!(run.code, 17, "{run:?}");
}
