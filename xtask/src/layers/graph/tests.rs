use serde_json::{Value, json};

use super::*;

fn package(name: &str, dependencies: &[Value]) -> Value {
    json!({
        "name": name, "version": "0.1.0", "id": name, "license": "MIT",
        "manifest_path": format!("/x/{name}/Cargo.toml"), "dependencies": dependencies,
    })
}

fn on_crate(name: &str) -> Value {
    json!({"name": name, "kind": null, "path": format!("/x/{name}")})
}

fn on_library(name: &str, features: &[&str]) -> Value {
    json!({"name": name, "kind": null, "features": features, "path": null})
}

fn for_tests(mut dependency: Value) -> Value {
    dependency["kind"] = json!("dev");
    dependency
}

fn breaches(packages: &[Value]) -> Vec<String> {
    let members: Vec<&Value> = packages.iter().map(|package| &package["id"]).collect();
    let metadata = json!({"packages": packages, "workspace_members": members});
    check(&serde_json::from_value(metadata).unwrap())
}

#[test]
fn an_arrow_that_points_down_is_allowed() {
    let packages = [
        package("keyward-jose", &[on_library("aws-lc-rs", &[])]),
        package("keyward-oauth", &[on_crate("keyward-jose")]),
        package("keyward", &[on_crate("keyward-client")]),
    ];
    assert_eq!(breaches(&packages), Vec::<String>::new());
}

#[test]
fn a_reversed_arrow_is_named_with_its_file_and_the_line_to_add() {
    let wrong = breaches(&[package("keyward-jose", &[on_crate("keyward-oauth")])]);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("crates/jose/Cargo.toml: `jose` depends on `oauth`"));
    assert!(wrong[0].contains(r#"("jose", "oauth")"#));
    assert!(wrong[0].contains(FILE));
}

#[test]
fn a_permission_that_was_not_given_is_refused() {
    let wrong = breaches(&[package("keyward-client", &[on_library("reqwest", &[])])]);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("`client` may not use `reqwest` (outbound connections)"));
}

#[test]
fn a_library_nobody_decided_about_is_refused() {
    let wrong = breaches(&[package("keyward-http", &[on_library("left-pad", &[])])]);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("`left-pad` is a new library"));
}

#[test]
fn a_feature_can_be_a_permission() {
    let asks = |name| package(name, &[on_library("tokio", &["rt", "process"])]);
    assert_eq!(breaches(&[asks("keyward-session")]), Vec::<String>::new());
    let wrong = breaches(&[asks("keyward-broker")]);
    assert!(wrong[0].contains("feature `process` of `tokio` (starting processes)"));
}

#[test]
fn tests_may_use_what_the_product_may_not() {
    let oracle = for_tests(on_library("jsonwebtoken", &[]));
    let kit = for_tests(on_crate("keyward-testkit"));
    assert!(breaches(&[package("keyward-jose", &[oracle, kit])]).is_empty());
    assert!(breaches(&[package("keyward-testkit", &[on_library("zbus", &[])])]).is_empty());

    let wrong = breaches(&[package(
        "keyward-jose",
        &[on_library("jsonwebtoken", &[]), on_crate("keyward-testkit")],
    )]);
    assert_eq!(wrong.len(), 2);
}

#[test]
fn a_released_program_must_not_contain_the_development_authority_through_others() {
    let packages = [
        package("keyward-cli", &[on_crate("keyward")]),
        package("keyward", &[on_crate("keyward-http")]),
        package("keyward-http", &[on_crate("keyward-dev-authority")]),
        package("keyward-dev-authority", &[]),
    ];
    let wrong = breaches(&packages);
    assert!(
        wrong.iter().any(|text| text
            .contains("`cli` contains `dev-authority` (cli → keyward → http → dev-authority)")),
        "{wrong:#?}"
    );
}

#[test]
fn the_development_tool_contains_the_authority_but_not_the_test_kit() {
    let packages = [
        package("keyward-dev", &[on_crate("keyward-dev-authority")]),
        package("keyward-dev-authority", &[]),
    ];
    assert!(breaches(&packages).is_empty());
    let wrong = breaches(&[
        package("keyward-dev", &[on_crate("keyward-testkit")]),
        package("keyward-testkit", &[]),
    ]);
    assert!(
        wrong
            .iter()
            .any(|text| text.contains("`dev` contains `testkit`"))
    );
}

#[test]
fn the_tables_have_no_cycle() {
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in EDGES {
        below.entry(from).or_default().push(to);
    }
    for (from, to) in EDGES {
        assert!(
            path(&below, to, from).is_none(),
            "{from} → {to} closes a cycle"
        );
    }
}
