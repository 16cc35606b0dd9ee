//! Unmodified msal-node when parts of the broker are gone, came back, or cannot be configured: an
//! error it can understand, and never a browser of its own.

use keyward_dev_authority::{Endpoint, Fault, FaultRule};
use keyward_e2e::msal::{MsalError, access_token, fresh};
use keyward_e2e::{ALICE, Msal, Stack, Tenant, on_both_tenants};
use serde_json::{Value, json};

/// A broker at which alice signed in with this program.
fn signed_in(tenant: Tenant) -> (Stack, Msal) {
    let stack = Stack::start(tenant);
    let mut msal = Msal::start(&stack);
    msal.sign_in();
    (stack, msal)
}

/// Everything works, past every cache, and nobody has to sign in for it.
fn assert_works(stack: &Stack, msal: &mut Msal, mark: &str) {
    let opened = stack.browser.opened();
    let token = msal.renew(ALICE, mark).unwrap();
    assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
    assert_no_browser(stack, msal, opened);
}

/// No browser was opened since `opened` were, neither by us nor by msal-node itself.
fn assert_no_browser(stack: &Stack, msal: &Msal, opened: usize) {
    assert_eq!(stack.browser.opened(), opened, "a browser was opened");
    assert_eq!(msal.browsers_opened(), 0, "msal-node wanted a browser");
}

/// Every kind of token request fails, and none of them opens a browser; the errors.
fn every_request_fails(stack: &Stack, msal: &mut Msal, mark: &str) -> Vec<MsalError> {
    let opened = stack.browser.opened();
    let pop = json!({"method": "GET", "uri": stack.authority.api()});
    let requests: [(&str, Value); 5] = [
        ("silent", fresh(ALICE, mark)),
        ("silent", json!({"user": ALICE, "pop": pop})),
        ("interactive", json!({})),
        ("interactive", json!({"prompt": "login"})),
        ("interactive", fresh(ALICE, mark)),
    ];
    let errors = requests.map(|(verb, request)| {
        let shown = format!("{verb} {request}");
        let answer = msal.ask(verb, request);
        answer.expect_err(&shown)
    });
    assert_no_browser(stack, msal, opened);
    errors.into()
}

#[test]
fn without_keywardd_every_request_is_an_error_and_no_browser_opens() {
    on_both_tenants(|tenant| {
        let (mut stack, mut msal) = signed_in(tenant);
        stack.kill_keywardd();
        for error in every_request_fails(&stack, &mut msal, "gone") {
            assert_eq!(error.code, "platform_broker_error", "{error:?}");
            // msal-node has no name for status 20 of Microsoft's runtime.
            assert!(error.text.contains("BrokerUnavailable"), "{error:?}");
            assert!(error.text.contains("keywardd is not running"), "{error:?}");
        }

        let mut late = Msal::start(&stack);
        assert!(
            late.is_broker_available(),
            "the face answers pings without keywardd"
        );
        let error = late.ask("interactive", json!({})).unwrap_err();
        assert!(error.text.contains("keywardd is not running"), "{error:?}");
        assert_no_browser(&stack, &late, 1);
    });
}

#[test]
fn after_keywardd_is_back_the_same_program_works_again() {
    on_both_tenants(|tenant| {
        let (mut stack, mut msal) = signed_in(tenant);
        stack.kill_keywardd();
        assert!(msal.renew(ALICE, "gone").is_err());
        stack.start_keywardd();
        assert_works(&stack, &mut msal, "back");
    });
}

#[test]
fn after_everything_was_restarted_nobody_has_to_sign_in_again() {
    on_both_tenants(|tenant| {
        let (mut stack, msal) = signed_in(tenant);
        drop(msal);
        stack.kill_session();
        stack.kill_keywardd();
        stack.authority.stop();
        stack.restart_bus();
        stack.authority.resume();
        stack.start_keywardd();
        stack.start_session();
        let mut msal = Msal::start(&stack);
        assert_eq!(msal.accounts(), [ALICE]);
        assert_works(&stack, &mut msal, "restarted");
    });
}

#[test]
fn a_program_survives_a_new_keyward_session() {
    on_both_tenants(|tenant| {
        let (mut stack, mut msal) = signed_in(tenant);
        stack.kill_session();
        for error in every_request_fails(&stack, &mut msal, "gone") {
            assert_eq!(error.status, "Unexpected", "{error:?}");
        }
        stack.start_session();
        assert_works(&stack, &mut msal, "back");
    });
}

#[test]
fn a_broken_configuration_is_named_in_every_answer_and_no_browser_opens() {
    on_both_tenants(|tenant| {
        let (mut stack, mut msal) = signed_in(tenant);
        for (broken, named) in [
            ("key_protection = \"software\"\nauthorty = 1\n", "authorty"),
            ("log = \"info\"\nkey_protection = \"paper\"\n", "paper"),
            ("log = \"info\"\nthis is = no [ TOML\n", "TOML"),
        ] {
            stack.kill_session();
            stack.kill_keywardd();
            stack.write_configuration(broken);
            stack.start_keywardd();
            stack.start_session();
            for error in every_request_fails(&stack, &mut msal, named) {
                assert_eq!(error.status, "IncorrectConfiguration", "{error:?}");
                assert!(error.text.contains(named), "which value: {error:?}");
                assert!(error.text.contains('2'), "which line: {error:?}");
            }
        }
        let mut late = Msal::start(&stack);
        assert!(
            late.is_broker_available(),
            "a broken file never stops the face"
        );
        let error = late.ask("interactive", json!({})).unwrap_err();
        assert_eq!(error.status, "IncorrectConfiguration", "{error:?}");
        assert_no_browser(&stack, &late, 1);

        stack.configure();
        stack.kill_keywardd();
        stack.start_keywardd();
        assert_works(&stack, &mut msal, "mended");
    });
}

#[test]
fn an_authority_that_is_not_configured_is_not_trusted() {
    let stack = Stack::start(Tenant::Oidc);
    let unknown = "https://idp.example.com/0a1b2c3d-0000-4000-8000-000000000000";
    let mut msal = Msal::start_at(&stack, unknown);
    let error = msal.ask("interactive", json!({})).unwrap_err();
    assert_eq!(error.code, "untrusted_authority", "{error:?}");
    assert_no_browser(&stack, &msal, 0);
}

#[test]
fn an_authority_that_fails_is_not_mistaken_for_a_person_who_must_sign_in() {
    on_both_tenants(|tenant| {
        let (mut stack, mut msal) = signed_in(tenant);
        let overloaded = Fault::RetryAfter {
            status: 429,
            seconds: 1,
        };
        for (fault, code) in [
            (Fault::Status500, "server_unavailable"),
            (overloaded, "server_unavailable"),
            (Fault::Drop, "server_unavailable"),
        ] {
            let rule = FaultRule::always(Endpoint::Token, fault);
            stack.authority.fault(rule);
            let error = msal.renew(ALICE, &format!("{fault:?}")).unwrap_err();
            stack.authority.clear_faults();
            assert_ne!(error.name, "InteractionRequiredAuthError", "{error:?}");
            assert_eq!(error.code, code, "{fault:?}: {error:?}");
        }
        stack.authority.stop();
        let gone = msal.renew(ALICE, "gone").unwrap_err();
        assert_eq!(gone.code, "no_network_connectivity", "{gone:?}");
        stack.authority.resume();
        assert_works(&stack, &mut msal, "back");
    });
}

#[test]
fn a_revoked_sign_in_asks_for_a_person_and_a_new_one_mends_it() {
    on_both_tenants(|tenant| {
        let (stack, mut msal) = signed_in(tenant);
        assert_eq!(stack.authority.revoke(ALICE), 1);
        let error = msal.renew(ALICE, "revoked").unwrap_err();
        assert_eq!(error.name, "InteractionRequiredAuthError", "{error:?}");
        assert_no_browser(&stack, &msal, 1);
        // The same request again, as the error asks for.
        msal.ask("interactive", fresh(ALICE, "revoked")).unwrap();
        assert_works(&stack, &mut msal, "mended");
    });
}
