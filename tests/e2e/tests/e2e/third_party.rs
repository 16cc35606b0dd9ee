//! npm's oidc-provider: an OpenID provider nobody of us wrote, with DPoP by its own rules.

use keyward_e2e::provider::{PROVIDER_CLIENT, Provider};
use keyward_e2e::{Stack, Tenant, Typed};
use keyward_testkit::{Secrets, http};
use serde_json::{Value, json};

fn with_provider() -> (Stack, Provider) {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    let provider = Provider::with_broker(&mut stack);
    (stack, provider)
}

#[test]
fn a_person_signs_in_and_the_tokens_are_bound_to_a_key_of_this_device() {
    let (stack, mut provider) = with_provider();
    let typed = Typed::over_socket(&stack);
    let token = provider.sign_in(&typed);
    assert_eq!(token["username"], "alice@provider.test");
    assert_eq!(token["token_type"], "DPoP");
    assert_eq!(token["binding"], "sender-constrained:dpop");
    let issued = provider.refresh_tokens();
    assert_eq!(issued.len(), 1);
    let secrets = Secrets::new(issued);
    assert_eq!(secrets.in_folder(stack.login.root()), [], "in a file");

    let status = call_userinfo(&typed, &provider, &token);
    assert_eq!(
        status, 200,
        "the provider's userinfo takes the token with our proof"
    );
}

#[test]
fn silent_renewals_survive_new_nonces_and_refresh_tokens_that_do_not_rotate() {
    let (stack, mut provider) = with_provider();
    let typed = Typed::over_socket(&stack);
    let mut last = provider.sign_in(&typed)["access_token"].clone();
    provider.token_answers();
    for round in 0..4 {
        // A nonce that is no longer good is answered by a new one, and that is used once.
        let expected = if round % 2 == 1 {
            provider.change_nonces();
            &[400, 200][..]
        } else {
            &[200]
        };
        let forced = provider.request(&json!({"force_refresh": true}));
        let token = typed.ask("AcquireTokenSilent", &forced).unwrap();
        assert_ne!(token["access_token"], last, "round {round}");
        assert_eq!(provider.token_answers(), expected, "round {round}");
        assert_eq!(token["binding"], "sender-constrained:dpop");
        last = token["access_token"].clone();
    }
    let mut issued = provider.refresh_tokens();
    issued.dedup();
    assert_eq!(
        issued.len(),
        1,
        "this provider keeps a bound refresh token as it is"
    );
    assert_eq!(stack.browser.opened(), 1);
}

#[test]
fn a_restart_of_keywardd_costs_nobody_a_sign_in() {
    let (mut stack, provider) = with_provider();
    provider.sign_in(&Typed::over_socket(&stack));
    stack.kill_keywardd();
    stack.start_keywardd();
    let forced = provider.request(&json!({"force_refresh": true}));
    Typed::over_socket(&stack)
        .ask("AcquireTokenSilent", &forced)
        .unwrap();
    assert_eq!(stack.browser.opened(), 1);
}

#[test]
fn a_stolen_refresh_token_is_worthless_without_the_key() {
    let (stack, mut provider) = with_provider();
    let typed = Typed::over_socket(&stack);
    provider.sign_in(&typed);
    let stolen = provider.refresh_tokens().remove(0);
    let form =
        format!("grant_type=refresh_token&client_id={PROVIDER_CLIENT}&refresh_token={stolen}");
    let answer = http::post_form(&provider.token_endpoint(), &[], &form).unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "invalid_grant");

    let forced = provider.request(&json!({"force_refresh": true}));
    typed
        .ask("AcquireTokenSilent", &forced)
        .expect("the thief's attempt harmed nobody");
}

#[test]
fn a_client_that_asked_for_bearer_gets_an_error_instead_of_a_token_it_cannot_use() {
    let (stack, provider) = with_provider();
    let typed = Typed::over_socket(&stack);
    provider.sign_in(&typed);
    let bearer =
        provider.request(&json!({"authentication_scheme": "Bearer", "force_refresh": true}));
    let error = typed.ask("AcquireTokenSilent", &bearer).unwrap_err();
    assert_eq!(error.kind, "IncorrectConfiguration", "{error:?}");
    let dpop = provider.request(&json!({"force_refresh": true}));
    typed
        .ask("AcquireTokenSilent", &dpop)
        .expect("the account still works");
}

/// Calls the provider's userinfo endpoint with the token and a proof for it; nonces as they come.
fn call_userinfo(typed: &Typed, provider: &Provider, token: &Value) -> u16 {
    let url = format!("{}/me", provider.issuer());
    let access_token = token["access_token"].as_str().unwrap();
    let authorization = format!("DPoP {access_token}");
    let call = |nonce: Option<&str>| {
        let mut asked = json!({
            "client_id": PROVIDER_CLIENT, "access_token": access_token,
            "resource_request_method": "GET", "resource_request_uri": url,
        });
        if let Some(nonce) = nonce {
            asked["resource_request_nonce"] = json!(nonce);
        }
        let proof = typed.ask("DpopProof", &asked).unwrap();
        let headers = [
            ("Authorization", authorization.as_str()),
            ("DPoP", proof["dpop_proof"].as_str().unwrap()),
        ];
        http::get(&url, &headers).unwrap()
    };
    let challenged = call(None);
    let nonce = challenged
        .header("dpop-nonce")
        .expect("the provider wants its nonce");
    call(Some(nonce)).status
}
