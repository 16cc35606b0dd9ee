//! Unmodified msal-node when parts of the broker are gone, came back, or cannot be configured: an
//! error it can understand, and never a browser of its own.

use keyward_e2e::{ALICE, Msal, Stack, Tenant};
use serde_json::json;

/// A request that no cache can answer.
fn fresh(round: &str) -> serde_json::Value {
    let claims = json!({"access_token": {"x": {"value": round}}});
    json!({"user": ALICE, "claims": claims.to_string()})
}

#[test]
fn without_keywardd_every_request_is_an_error_and_no_browser_opens() {
    let mut stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    let opened = stack.browser.opened();

    stack.kill_keywardd();
    let silent = msal.ask("silent", fresh("gone")).unwrap_err();
    assert_ne!(
        silent.name, "InteractionRequiredAuthError",
        "no person can help: {silent:?}"
    );
    let interactive = msal
        .ask("interactive", json!({"prompt": "login"}))
        .unwrap_err();
    for error in [silent, interactive] {
        assert!(
            !error.status.is_empty(),
            "the broker answered nothing: {error:?}"
        );
    }
    assert_eq!(msal.browsers_opened(), 0);
    assert_eq!(stack.browser.opened(), opened);

    let mut late = Msal::start(&stack);
    assert!(
        late.is_broker_available(),
        "the face answers pings without keywardd"
    );
    assert!(late.ask("interactive", json!({})).is_err());
    assert_eq!(late.browsers_opened(), 0);
}

#[test]
fn after_keywardd_is_back_the_same_program_works_again() {
    let mut stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    stack.kill_keywardd();
    assert!(msal.ask("silent", fresh("gone")).is_err());
    stack.start_keywardd();
    msal.ask("silent", fresh("back")).unwrap();
    assert_eq!(stack.browser.opened(), 1, "nobody had to sign in again");
}

#[test]
fn after_everything_was_restarted_nobody_has_to_sign_in_again() {
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let mut stack = Stack::start(tenant);
        Msal::start(&stack).sign_in();
        stack.kill_session();
        stack.kill_keywardd();
        stack.authority.stop();
        stack.restart_bus();
        stack.authority.resume();
        stack.start_keywardd();
        stack.start_session();
        let mut msal = Msal::start(&stack);
        assert_eq!(msal.accounts(), [ALICE]);
        msal.ask("silent", fresh("restarted")).unwrap();
        assert_eq!(stack.browser.opened(), 1, "{tenant:?}");
    }
}

#[test]
fn a_program_survives_a_new_keyward_session() {
    let mut stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    stack.kill_session();
    let gone = msal.ask("silent", fresh("gone")).unwrap_err();
    assert_eq!(gone.status, "Unexpected", "{gone:?}");
    stack.start_session();
    msal.ask("silent", fresh("back")).unwrap();
    assert_eq!(msal.browsers_opened(), 0);
}

#[test]
fn a_broken_configuration_is_named_in_every_answer_and_no_browser_opens() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.write_configuration("key_protection = \"software\"\nauthorty = 1\n");
    stack.start_keywardd();
    stack.start_session();
    let mut msal = Msal::start(&stack);
    assert!(
        msal.is_broker_available(),
        "a broken file never stops the face"
    );
    let error = msal.ask("interactive", json!({})).unwrap_err();
    assert_eq!(error.status, "IncorrectConfiguration", "{error:?}");
    assert!(error.text.contains("authorty"), "which key: {error:?}");
    assert!(error.text.contains('2'), "which line: {error:?}");
    assert_eq!(msal.browsers_opened(), 0);
    assert_eq!(stack.browser.opened(), 0);
}

#[test]
fn an_authority_that_is_not_configured_is_not_trusted() {
    let stack = Stack::start(Tenant::Oidc);
    let unknown = "https://idp.example.com/0a1b2c3d-0000-4000-8000-000000000000";
    let error = Msal::start_at(&stack, unknown)
        .ask("interactive", json!({}))
        .unwrap_err();
    assert_eq!(error.code, "untrusted_authority", "{error:?}");
    assert_eq!(stack.browser.opened(), 0);
}

#[test]
fn an_authority_that_fails_is_not_mistaken_for_a_person_who_must_sign_in() {
    use keyward_dev_authority::{Endpoint, Fault, FaultRule};
    let mut stack = Stack::start(Tenant::Oidc);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    for (fault, code) in [
        (Fault::Status500, "server_unavailable"),
        (
            Fault::RetryAfter {
                status: 429,
                seconds: 1,
            },
            "server_unavailable",
        ),
        (Fault::Drop, "server_unavailable"),
    ] {
        stack
            .authority
            .fault(FaultRule::always(Endpoint::Token, fault));
        let error = msal
            .ask("silent", fresh(&format!("{fault:?}")))
            .unwrap_err();
        stack.authority.clear_faults();
        assert_ne!(
            error.name, "InteractionRequiredAuthError",
            "{fault:?}: {error:?}"
        );
        assert_eq!(error.code, code, "{fault:?}: {error:?}");
    }
    stack.authority.stop();
    let gone = msal.ask("silent", fresh("gone")).unwrap_err();
    assert_eq!(gone.code, "no_network_connectivity", "{gone:?}");
}

#[test]
fn a_revoked_sign_in_asks_for_a_person_and_a_new_one_mends_it() {
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let stack = Stack::start(tenant);
        let mut msal = Msal::start(&stack);
        msal.sign_in();
        assert_eq!(stack.authority.revoke(ALICE), 1);
        let error = msal.ask("silent", fresh("revoked")).unwrap_err();
        assert_eq!(
            error.name, "InteractionRequiredAuthError",
            "{tenant:?}: {error:?}"
        );
        // The same request again, as the error asks for.
        msal.ask("interactive", fresh("revoked")).unwrap();
        msal.ask("silent", fresh("mended")).unwrap();
        assert_eq!(msal.browsers_opened(), 0);
    }
}
