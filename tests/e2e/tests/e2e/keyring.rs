//! The key that seals software keys, kept in the keyring of the session instead of in a file.

use std::path::{Path, PathBuf};

use keyward_e2e::{CLIENT, Stack, Tenant, Typed};
use serde_json::{Value, json};

const IN_KEYRING: &str = "[software]\nwrapping_key = \"secret-service\"\n";

fn request(stack: &Stack) -> Value {
    json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read",
        "force_refresh": true,
    })
}

#[test]
fn with_the_key_in_the_keyring_no_file_opens_the_vault_and_restarts_are_survived() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.configure_with(IN_KEYRING);
    stack.start_keywardd();
    let alone = Typed::over_socket(&stack).ask("AcquireTokenSilent", &request(&stack));
    let alone = alone.unwrap_err();
    assert_eq!(alone.kind, "KeyUnavailable", "{alone:?}");
    assert!(alone.message.contains("keyward-session"), "{alone:?}");

    stack.start_session();
    let typed = Typed::over_socket(&stack);
    typed
        .ask("AcquireTokenInteractive", &request(&stack))
        .unwrap();
    assert!(wrapping_keys(&stack.vault()).is_empty());

    stack.kill_keywardd();
    stack.start_keywardd();
    let asked = request(&stack);
    let renewed = Typed::over_socket(&stack).ask("AcquireTokenSilent", &asked);
    assert_eq!(renewed.unwrap()["binding"], "sender-constrained:dpop");

    // Whoever stops choosing the keyring is told that the key is not in a file.
    stack.kill_keywardd();
    stack.configure_with("");
    stack.start_keywardd();
    let missing = Typed::over_socket(&stack).ask("AcquireTokenSilent", &request(&stack));
    let missing = missing.unwrap_err();
    assert!(missing.message.contains("wrapping.key"), "{missing:?}");
}

#[test]
fn a_key_in_a_file_moves_into_the_keyring_and_nobody_signs_in_again() {
    let mut stack = Stack::start(Tenant::Oidc);
    Typed::over_socket(&stack)
        .ask("AcquireTokenInteractive", &request(&stack))
        .unwrap();
    assert_eq!(wrapping_keys(&stack.vault()).len(), 1);

    stack.kill_keywardd();
    stack.configure_with(IN_KEYRING);
    stack.start_keywardd();
    let asked = request(&stack);
    Typed::over_socket(&stack)
        .ask("AcquireTokenSilent", &asked)
        .unwrap();
    assert!(wrapping_keys(&stack.vault()).is_empty());
}

fn wrapping_keys(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                wrapping_keys(&path)
            } else if entry.file_name() == "wrapping.key" {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}
