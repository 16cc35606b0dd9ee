//! Root takes the whole memory of keywardd right after a renewal, and looks for keys.
//!
//! What is tried as a private key is every 32 bytes, wherever they begin and in both byte orders, of
//! all that the process can have written to: they are the key of a proof if and only if they belong
//! to the public key in it. Nobody has to tell the test what to look for, so the same search says
//! of a TPM that there is nothing.

use std::fs;

use keyward_e2e::{ALICE, CLIENT, Stack, Tenant, Typed, base64url, header, payload};
use keyward_testkit::private_key::{PublicPoint, Searched};
use keyward_testkit::process::{Signal, signal};
use keyward_testkit::{Secrets, root};
use serde_json::{Value, json};

#[test]
fn root_finds_the_private_keys_of_a_broker_that_keeps_them_in_files() {
    if root::tests("that the search for private keys finds those that are there") {
        let dump = Dump::after_a_renewal(&Stack::start(Tenant::Oidc), "software");
        for searched in &dump.keys {
            assert!(!searched.found.is_empty(), "{searched:?}");
        }
        assert_eq!(dump.wrapping_key, Some(true));
    }
}

/// What was found in the memory of a broker.
pub struct Dump {
    /// The private halves of the keys that made proofs: for an OpenID provider (RFC 9449), and for
    /// Entra's signed HTTP requests.
    pub keys: Vec<Searched>,
    /// The key that every other key of the software provider is sealed with, if there is one.
    pub wrapping_key: Option<bool>,
}

impl Dump {
    /// Signs in at both tenants, lets every key prove something, renews, and stops the process in
    /// its tracks. The keys must be protected as is said.
    pub fn after_a_renewal(stack: &Stack, protection: &str) -> Self {
        let typed = Typed::over_socket(stack);
        let keys = [dpop_key(stack, &typed), pop_key(stack, &typed)];
        renew(stack, &typed, protection);
        let keywardd = stack.keywardd_process().unwrap();
        signal(keywardd, Signal::STOP);
        let keys = keys.map(|key| key.search(keywardd).unwrap()).into();
        let wrapping_key = fs::read(stack.keys().join("wrapping.key")).ok();
        let wrapping_key = wrapping_key.map(|file| {
            // What the file is, then the key.
            let key = Secrets::new([&file[8..40]]);
            !key.in_memory(keywardd).unwrap().is_empty()
        });
        signal(keywardd, Signal::CONT);
        // Nothing of it was imagined: it goes on, with the same keys.
        renew(stack, &typed, protection);
        Self { keys, wrapping_key }
    }
}

fn asked(stack: &Stack, tenant: Tenant, more: &[(&str, &str)]) -> Value {
    let mut asked = json!({
        "client_id": CLIENT, "authority": stack.localhost_authority(tenant),
        "scopes": "User.Read", "username": ALICE,
    });
    for (name, value) in more {
        asked[name] = json!(value);
    }
    asked
}

fn renew(stack: &Stack, typed: &Typed, protection: &str) {
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let mut asked = asked(stack, tenant, &[]);
        asked["force_refresh"] = json!(true);
        let renewed = typed.ask("AcquireTokenSilent", &asked).unwrap();
        assert_eq!(renewed["key_protection"], protection, "{tenant:?}");
    }
}

/// The public half of the key the OpenID tenant's refresh token is bound to, from a proof.
pub fn dpop_key(stack: &Stack, typed: &Typed) -> PublicPoint {
    let api = stack.authority.api();
    let target = [
        ("authentication_scheme", "DPoP"),
        ("resource_request_method", "GET"),
        ("resource_request_uri", &api),
    ];
    let asked = asked(stack, Tenant::Oidc, &target);
    let token = typed.ask("AcquireTokenInteractive", &asked).unwrap();
    let mut asked = asked;
    asked["access_token"] = token["access_token"].clone();
    let proof = typed.ask("DpopProof", &asked).unwrap();
    point(&header(proof["dpop_proof"].as_str().unwrap())["jwk"])
}

/// The public half of the key that signs HTTP requests for the Entra tenant.
pub fn pop_key(stack: &Stack, typed: &Typed) -> PublicPoint {
    let target = [
        ("authentication_scheme", "PoP"),
        ("resource_request_method", "GET"),
        ("resource_request_host", "api.test"),
        ("resource_request_path", "/me"),
    ];
    let asked = asked(stack, Tenant::Entra, &target);
    let token = typed.ask("AcquireTokenInteractive", &asked).unwrap();
    let request = payload(token["access_token"].as_str().unwrap());
    point(&request["cnf"]["jwk"])
}

fn point(jwk: &Value) -> PublicPoint {
    let coordinate = |name: &str| base64url(jwk[name].as_str().unwrap());
    PublicPoint::new(&coordinate("x"), &coordinate("y"))
}
