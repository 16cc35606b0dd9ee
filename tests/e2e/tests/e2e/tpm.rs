//! Keys in a TPM: what a thief has who took everything else.

use keyward_e2e::msal::access_token;
use keyward_e2e::{ALICE, BOB, Elsewhere, Msal, Person, Stack, Tenant, Typed, cli};
use keyward_testkit::root;

use crate::memory::Dump;
use crate::theft;

#[test]
fn a_refresh_token_lifted_from_memory_is_refused_and_its_family_lives_on() {
    theft::steal_from_our_authority(|| Stack::with_tpm(Tenant::Oidc));
}

#[test]
fn a_foreign_provider_refuses_a_refresh_token_lifted_from_memory_and_the_grant_lives_on() {
    theft::steal_from_provider(|| {
        let mut stack = Stack::without_broker(Tenant::Oidc);
        stack.keep_keys_in_tpm();
        stack
    });
}

#[test]
fn root_finds_no_private_key_in_a_broker_that_keeps_them_in_a_tpm() {
    if root::tests("that no private key is in the memory of a broker with a TPM") {
        let dump = Dump::after_a_renewal(&Stack::with_tpm(Tenant::Oidc), "tpm");
        for searched in &dump.keys {
            assert!(searched.tried > 10_000, "{searched:?}");
            assert_eq!(searched.found, []);
        }
        assert_eq!(dump.wrapping_key, None, "nothing is sealed by software");
    }
}

/// Everybody who is signed in.
const EVERYBODY: [Person; 3] = [
    Person {
        tenant: Tenant::Oidc,
        name: ALICE,
    },
    Person {
        tenant: Tenant::Oidc,
        name: BOB,
    },
    Person {
        tenant: Tenant::Entra,
        name: ALICE,
    },
];

#[test]
fn a_vault_copied_beside_another_tpm_gives_nobody_a_token() {
    let mut stack = Stack::with_tpm(Tenant::Oidc);
    for person in EVERYBODY {
        assert_eq!(person.sign_in(&stack)["key_protection"], "tpm");
    }
    let mut elsewhere = Elsewhere::with_a_copy(&mut stack);
    let (renewals, opened) = (stack.authority.renewals(), stack.browser.opened());
    let typed = elsewhere.typed();
    for person in EVERYBODY {
        for refused in [person.renew(&stack, &typed), person.hit(&stack, &typed)] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind, "InteractionRequired", "{person:?}: {error:?}");
            assert!(error.message.contains("key lost"), "{person:?}: {error:?}");
        }
    }
    assert_eq!(stack.authority.renewals(), renewals, "nothing was redeemed");

    // Who signs in there has a binding of that device, and is not asked again.
    stack.browser.signs_in(ALICE);
    elsewhere.keyward(&stack, &["login"]).ok();
    let [alice, others @ ..] = EVERYBODY;
    for _ in 0..3 {
        let token = alice.renew(&stack, &typed).unwrap();
        assert_eq!(token["binding"], "sender-constrained:dpop");
        assert_eq!(token["key_protection"], "tpm");
    }
    for other in others {
        let error = other.renew(&stack, &typed).unwrap_err();
        assert_eq!(error.kind, "InteractionRequired", "{error:?}");
    }
    assert_eq!(stack.browser.opened(), opened + 1);
    assert!(elsewhere.is_running());

    let original = Typed::over_socket(&stack);
    for person in EVERYBODY {
        let token = person.renew(&stack, &original).unwrap();
        assert_eq!(token["key_protection"], "tpm", "{person:?}");
    }
}

#[test]
fn the_status_tells_form_binding_and_protection_of_each_account() {
    let mut stack = Stack::start(Tenant::Oidc);
    EVERYBODY[1].sign_in(&stack);
    stack.kill_keywardd();
    stack.keep_keys_in_tpm();
    stack.start_keywardd();
    EVERYBODY[0].sign_in(&stack);
    EVERYBODY[2].sign_in(&stack);
    let status = cli::keyward(&stack, &["status", "--json"]).ok().json();
    assert_eq!(status["form"], "session");
    assert_eq!(status["key_protection"], "tpm");
    let accounts = status["accounts"].as_array().unwrap();
    let mut told: Vec<_> = accounts
        .iter()
        .map(|account| {
            let text = |name: &str| account[name].as_str().unwrap().to_owned();
            [text("username"), text("binding"), text("key_protection")]
        })
        .collect();
    told.sort();
    let bound = "sender-constrained:dpop";
    let expected = [
        [ALICE, "sealed-at-rest", "tpm"],
        [ALICE, bound, "tpm"],
        [BOB, bound, "software"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn microsofts_client_signs_in_and_renews_with_keys_in_a_tpm() {
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let stack = Stack::with_tpm(tenant);
        let mut msal = Msal::start(&stack);
        assert!(msal.is_broker_available());
        let mut tokens = vec![msal.sign_in()];
        tokens.push(msal.silent(ALICE).unwrap());
        for round in ["one", "two", "three"] {
            tokens.push(msal.renew(ALICE, round).unwrap());
        }
        for token in &tokens {
            assert_eq!(token["fromPlatformBroker"], true);
            assert_eq!(stack.authority.whose(access_token(token)), ALICE);
        }
        assert_eq!(stack.browser.opened(), 1, "{tenant:?}");
        assert_eq!(msal.browsers_opened(), 0);
        let status = cli::keyward(&stack, &["status", "--json"]).ok().json();
        assert_eq!(status["accounts"][0]["key_protection"], "tpm", "{status}");
        drop(msal);
    }
}
