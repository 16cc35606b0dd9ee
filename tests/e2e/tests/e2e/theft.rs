//! A refresh token lifted from the broker's memory by root, and used by somebody who has another
//! key: the authority refuses it, and the victim notices nothing.

use keyward_e2e::provider::{PROVIDER_CLIENT, Provider};
use keyward_e2e::{ALICE, CLIENT, Stack, Tenant, TokenThief, Typed};
use keyward_testkit::{Secrets, root};
use serde_json::{Value, json};

const WHAT: &str = "that a refresh token from the broker's memory is worth nothing to a thief";

#[test]
fn a_refresh_token_lifted_from_memory_is_refused_and_its_family_lives_on() {
    steal_from_our_authority(|| Stack::start(Tenant::Oidc));
}

#[test]
fn a_foreign_provider_refuses_a_refresh_token_lifted_from_memory_and_the_grant_lives_on() {
    steal_from_provider(|| Stack::without_broker(Tenant::Oidc));
}

/// Steals from a stack in which everything runs.
pub fn steal_from_our_authority(stack: impl FnOnce() -> Stack) {
    if !root::tests(WHAT) {
        return;
    }
    let stack = stack();
    let typed = Typed::over_socket(&stack);
    let asked = json!({
        "client_id": CLIENT, "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read", "username": ALICE, "force_refresh": true,
    });
    typed.ask("AcquireTokenInteractive", &asked).unwrap();
    let renewed = typed.ask("AcquireTokenSilent", &asked).unwrap();
    assert_eq!(renewed["binding"], "sender-constrained:dpop");

    let loot = lift(&stack, &stack.authority.refresh_tokens());
    let thief = TokenThief::at(&stack.authority.token_endpoint());
    for stolen in &loot {
        refused(&thief, CLIENT, stolen);
    }
    for round in 0..2 {
        let victim = typed.ask("AcquireTokenSilent", &asked);
        victim.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        // The token that was renewed meanwhile, and is no good to anybody: still no harm done.
        refused(&thief, CLIENT, &loot[0]);
    }
    assert_eq!(stack.browser.opened(), 1);
}

/// Steals from a stack whose broker does not run yet, and that is put before the provider.
pub fn steal_from_provider(stack: impl FnOnce() -> Stack) {
    if !root::tests(WHAT) {
        return;
    }
    let mut stack = stack();
    let mut provider = Provider::with_broker(&mut stack);
    let typed = Typed::over_socket(&stack);
    provider.sign_in(&typed);
    let forced: Value = provider.request(&json!({"force_refresh": true}));
    let renewed = typed.ask("AcquireTokenSilent", &forced).unwrap();
    assert_eq!(renewed["binding"], "sender-constrained:dpop");

    let loot = lift(&stack, &provider.refresh_tokens());
    let thief = TokenThief::at(&provider.token_endpoint());
    for stolen in &loot {
        refused(&thief, PROVIDER_CLIENT, stolen);
    }
    let victim = typed.ask("AcquireTokenSilent", &forced);
    victim.expect("the thief's attempts harmed nobody");
    assert_eq!(stack.browser.opened(), 1);
}

/// The refresh tokens that are in the memory of the broker; the one in use is among them.
fn lift(stack: &Stack, issued: &[String]) -> Vec<String> {
    let keywardd = stack.keywardd_process().unwrap();
    let secrets = Secrets::new(issued.to_owned());
    let found = secrets.in_memory(keywardd).unwrap();
    let mut lifted: Vec<usize> = found.iter().map(|finding| finding.secret).collect();
    lifted.sort_unstable();
    lifted.dedup();
    assert_eq!(lifted.last(), Some(&(issued.len() - 1)), "{found:?}");
    // The latest first.
    let texts = lifted
        .into_iter()
        .rev()
        .map(|secret| issued[secret].clone());
    texts.collect()
}

fn refused(thief: &TokenThief, client_id: &str, stolen: &str) {
    for answer in [
        thief.redeem(client_id, stolen),
        thief.redeem_without_proof(client_id, stolen),
    ] {
        assert_eq!(answer.status, 400, "{answer:?}");
        let error = answer.json()["error"].take();
        assert!(
            error == "invalid_grant" || error == "invalid_dpop_proof",
            "{error}"
        );
    }
}
