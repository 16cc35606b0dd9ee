//! `keyward`, as people and scripts use it.

use keyward_e2e::cli::{Run, keyward};
use keyward_e2e::{ALICE, BOB, Stack, Tenant};
use keyward_testkit::http;
use serde_json::json;

/// Sends the header lines `keyward token --header` printed.
fn call(stack: &Stack, method: &str, printed: &str) -> u16 {
    let headers: Vec<(&str, &str)> = printed
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    assert!(!headers.is_empty(), "no header lines: {printed}");
    http::send(method, &stack.authority.api(), &headers, None)
        .unwrap()
        .status
}

#[test]
fn a_person_signs_in_once_and_scripts_get_tokens() {
    let stack = Stack::start(Tenant::Oidc);
    let login = keyward(&stack, &["login", "--json"]).ok().json();
    assert_eq!(login["account"]["username"], ALICE);
    assert_eq!(login["binding"], "sender-constrained:dpop");

    let accounts = keyward(&stack, &["accounts", "--json"]).ok().json();
    assert_eq!(accounts["accounts"][0]["username"], ALICE);
    let status = keyward(&stack, &["status", "--json"]).ok().json();
    for field in ["username", "home_account_id", "environment", "tenant_id"] {
        let (listed, shown) = (
            &accounts["accounts"][0][field],
            &status["accounts"][0][field],
        );
        assert_eq!(listed, shown, "{field}");
        assert_eq!(&login["account"][field], shown, "{field}");
    }

    let header = keyward(&stack, &["token", "--header"]).ok().stdout;
    assert_eq!(call(&stack, "GET", &header), 200);

    let token = keyward(&stack, &["token"]).ok().stdout;
    let header = format!("Authorization: Bearer {token}");
    assert_eq!(call(&stack, "GET", &header), 200);
    assert_eq!(stack.browser.opened(), 1);
}

#[test]
fn signed_requests_and_proofs_can_be_sent_as_they_are_printed() {
    let stack = Stack::start(Tenant::Oidc);
    keyward(&stack, &["login"]).ok();
    let api = stack.authority.api();
    let nonce = http::get(&api, &[])
        .unwrap()
        .header("dpop-nonce")
        .unwrap()
        .to_owned();
    for scheme in ["--pop", "--dpop"] {
        let arguments = ["token", scheme, "GET", &api, "--nonce", &nonce, "--header"];
        let header = keyward(&stack, &arguments).ok().stdout;
        assert_eq!(call(&stack, "GET", &header), 200, "{scheme}");
        assert_eq!(call(&stack, "GET", &header), 401, "{scheme}: good once");
    }
}

#[test]
fn where_every_access_token_is_bound_one_signs_in_with_dpop() {
    let stack = Stack::with_bound_access_tokens();
    let refused = keyward(&stack, &["login"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("keyward login --dpop"),
        "{refused:#?}"
    );
    let login = keyward(&stack, &["login", "--dpop", "--json"]).ok().json();
    assert_eq!(login["account"]["username"], ALICE);
    assert_eq!(login["binding"], "sender-constrained:dpop");
    let api = stack.authority.api();
    let header = keyward(&stack, &["token", "--pop", "GET", &api, "--header"]);
    assert_eq!(call(&stack, "GET", &header.ok().stdout), 200);
    let bearer = keyward(&stack, &["token"]);
    assert_ne!(bearer.code, 0, "a bound token is no bearer token");
}

#[test]
fn a_token_is_never_prompted_for() {
    let stack = Stack::start(Tenant::Oidc);
    let nobody = keyward(&stack, &["token"]);
    assert_eq!(nobody.code, 3, "{nobody:#?}");
    assert_eq!(
        nobody.stdout, "",
        "data goes to standard output, and there is none"
    );
    assert!(nobody.stderr.contains("keyward login"), "{nobody:#?}");
    assert_eq!(stack.browser.opened(), 0);
}

#[test]
fn status_says_what_is_bound_to_what() {
    let stack = Stack::start(Tenant::Oidc);
    keyward(&stack, &["login"]).ok();
    let entra = stack.localhost_authority(Tenant::Entra);
    keyward(&stack, &["login", "--authority", &entra]).ok();
    let status = keyward(&stack, &["status", "--json"]).ok().json();
    assert_eq!(status["form"], "session");
    assert_eq!(status["key_protection"], "software");
    let accounts = status["accounts"].as_array().unwrap();
    let mut bindings: Vec<_> = accounts
        .iter()
        .map(|a| a["binding"].as_str().unwrap())
        .collect();
    bindings.sort_unstable();
    assert_eq!(bindings, ["sealed-at-rest", "sender-constrained:dpop"]);
    for account in accounts {
        assert_eq!(account["username"], ALICE);
        assert_eq!(account["key_protection"], "software");
    }
}

#[test]
fn logging_out_one_of_two_leaves_the_other() {
    let stack = Stack::start(Tenant::Oidc);
    keyward(&stack, &["login"]).ok();
    keyward(&stack, &["login", "--login-hint", BOB, "--prompt", "login"]).ok();
    keyward(&stack, &["logout", "--username", ALICE]).ok();
    let accounts = keyward(&stack, &["accounts", "--json"]).ok().json();
    let names: Vec<_> = accounts["accounts"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["username"], BOB);
    assert_eq!(keyward(&stack, &["token", "--username", ALICE]).code, 3);
    keyward(&stack, &["token", "--username", BOB]).ok();
}

#[test]
fn without_a_broker_the_command_line_says_so_and_how_to_mend_it() {
    let stack = Stack::without_broker(Tenant::Oidc);
    for arguments in [&["token"][..], &["status"], &["accounts"]] {
        let run: Run = keyward(&stack, arguments);
        assert_eq!(run.code, 20, "{arguments:?}: {run:#?}");
        assert!(run.stderr.contains("keyward doctor"), "{run:#?}");
    }
    let doctor = keyward(&stack, &["doctor"]);
    assert_eq!(doctor.code, 20, "{doctor:#?}");
}

#[test]
fn with_everything_in_place_the_doctor_finds_nothing_wrong() {
    let stack = Stack::start(Tenant::Oidc);
    keyward(&stack, &["login"]).ok();
    let report = keyward(&stack, &["doctor", "--json"]).ok().json();
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| &check["name"]).collect();
    for part in ["configuration", "broker socket", "vault", "session bus"] {
        assert!(
            names.contains(&&json!(part)),
            "{part} was not looked at: {names:?}"
        );
    }
    for check in checks {
        assert_eq!(check["state"], "ok", "{check}");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_found_with_its_line_and_the_nearest_name() {
    let stack = Stack::without_broker(Tenant::Oidc);
    let good = keyward(&stack, &["config", "check"]).ok();
    assert!(good.stdout.contains("key_protection"), "{good:#?}");
    stack.write_configuration("\nkey_protecton = \"software\"\n");
    let bad = keyward(&stack, &["config", "check"]);
    assert_eq!(bad.code, 17, "{bad:#?}");
    assert!(
        bad.stdout.contains("did you mean `key_protection`"),
        "{bad:#?}"
    );
    let line = format!("{}:2:", stack.configuration_file().display());
    assert!(bad.stdout.contains(&line), "{bad:#?}");
}

#[test]
fn every_command_teaches_by_examples() {
    let stack = Stack::without_broker(Tenant::Oidc);
    for command in [
        "login", "token", "accounts", "logout", "status", "doctor", "config",
    ] {
        let help = keyward(&stack, &[command, "--help"]).ok().stdout;
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
    assert_eq!(keyward(&stack, &["no-such-command"]).code, 2);
}
