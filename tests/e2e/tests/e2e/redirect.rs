//! Applications name redirect URIs that only a window could intercept; loopback takes their place,
//! if the authority lets it.

use keyward_dev_authority::{Endpoint, Fault, FaultRule};
use keyward_e2e::browser::Choice;
use keyward_e2e::msal::access_token;
use keyward_e2e::{ALICE, Msal, Stack, Tenant, TestAuthority, on_both_tenants};
use serde_json::json;

/// What Microsoft's libraries ask for on their own.
const NATIVE_CLIENT: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";

/// What may take its place, on any port (RFC 8252 §7.3).
const LOOPBACK: &str = "http://localhost";

/// A broker whose authority knows one application, registered with these redirect URIs.
fn registered(tenant: Tenant, redirect_uris: &[&str], more_configuration: &str) -> Stack {
    let mut stack = Stack::without_broker(tenant);
    stack.authority = TestAuthority::strict(redirect_uris);
    stack.configure_with(more_configuration);
    stack.start_keywardd();
    stack.start_session();
    stack
}

#[test]
fn where_loopback_is_registered_too_it_takes_the_place_of_what_only_a_window_could_see() {
    on_both_tenants(|tenant| {
        let stack = registered(tenant, &[NATIVE_CLIENT, LOOPBACK], "");
        let mut msal = Msal::start(&stack);
        let token = msal.sign_in();
        assert_eq!(stack.authority.whose(access_token(&token)), ALICE);
        assert_eq!(stack.browser.opened(), 1);
    });
}

#[test]
fn where_the_authority_refuses_loopback_the_error_says_what_to_register_and_nobody_is_bothered() {
    on_both_tenants(|tenant| {
        let stack = registered(tenant, &[NATIVE_CLIENT], "");
        let mut msal = Msal::start(&stack);
        for asked in [json!({}), json!({"prompt": "login"})] {
            let error = msal.ask("interactive", asked).unwrap_err();
            assert_eq!(error.status, "IncorrectConfiguration", "{error:?}");
            for part in [NATIVE_CLIENT, LOOPBACK, "register"] {
                assert!(error.text.contains(part), "{part}: {error:?}");
            }
            if tenant == Tenant::Entra {
                assert!(error.text.contains("AADSTS50011"), "{error:?}");
            }
        }
        assert_eq!(stack.browser.opened(), 0, "a page nobody comes back from");
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn where_the_authority_says_so_only_to_the_person_the_deadline_says_what_to_register() {
    on_both_tenants(|tenant| {
        let soon = "[interactive]\ndeadline_seconds = 1\n";
        let stack = registered(tenant, &[NATIVE_CLIENT], soon);
        // The question in advance is not answered.
        let silence = FaultRule::once(Endpoint::Authorize, Fault::Drop);
        stack.authority.fault(silence);
        stack.browser.does(Choice::WalkAway);
        let mut msal = Msal::start(&stack);
        let error = msal.ask("interactive", json!({})).unwrap_err();
        for part in [NATIVE_CLIENT, LOOPBACK, "register", "DeadlineExceeded"] {
            assert!(error.text.contains(part), "{part}: {error:?}");
        }
        assert_eq!(stack.browser.opened(), 1);
        assert_eq!(msal.browsers_opened(), 0);
    });
}
