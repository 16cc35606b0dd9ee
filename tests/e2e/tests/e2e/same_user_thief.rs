//! A program that runs as the user, knows our source and tries everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keyward_e2e::heist::{self, Report};
use keyward_e2e::machine::{Form, Keys};
use keyward_e2e::verdict::{Judged, Loot};
use keyward_testkit::root;

const THIEF: &str = env!("CARGO_BIN_EXE_same-user-thief");

#[test]
fn of_the_system_form_he_gets_what_the_policy_allows_and_nothing_else() {
    if root::tests("what the same-user thief gets from the system form") {
        nothing_but_what_the_policy_allows(Keys::Software);
    }
}

#[test]
fn of_the_system_form_with_a_tpm_he_gets_what_the_policy_allows_and_nothing_else() {
    if root::tests("what the same-user thief gets from the system form with a TPM") {
        nothing_but_what_the_policy_allows(Keys::Tpm);
    }
}

#[test]
fn of_the_session_form_he_gets_what_security_md_says() {
    let report = heist::run(Form::Session, Keys::Software, Path::new(THIEF));
    assert_eq!(
        report.took(),
        in_security_md("session, software keys"),
        "{report}"
    );
    he_tried_everything(&report);
}

#[test]
fn of_the_session_form_with_a_tpm_he_gets_what_security_md_says() {
    let report = heist::run(Form::Session, Keys::Tpm, Path::new(THIEF));
    assert_eq!(
        report.took(),
        in_security_md("session, TPM keys"),
        "{report}"
    );
    assert!(!report.took().contains(&Loot::PrivateKey), "{report}");
    he_tried_everything(&report);
}

fn nothing_but_what_the_policy_allows(keys: Keys) {
    let report = heist::run(Form::System, keys, Path::new(THIEF));
    assert!(report.is_held(), "{report}");
    let allowed = [Loot::AllowedToken, Loot::AskedToken].into();
    assert_eq!(report.took(), allowed, "{report}");
    let row = match keys {
        Keys::Software => "system, software keys",
        Keys::Tpm => "system, TPM keys",
    };
    assert_eq!(report.took(), in_security_md(row), "{report}");
    // What he had to be asked for, he got by answering as the person, and in no other way.
    let asked = |attempt: &&Judged| attempt.got.contains(&Loot::AskedToken);
    for attempt in report.attempts.iter().filter(asked) {
        assert!(
            attempt.outcome.contains("a question was answered with yes"),
            "{report}"
        );
    }
    he_tried_everything(&report);
}

/// Otherwise he gets nothing because he did nothing.
fn he_tried_everything(report: &Report) {
    let ways: BTreeSet<&str> = report.attempts.iter().map(|attempt| attempt.way).collect();
    assert_eq!(ways, keyward_e2e::thief::WAYS.into(), "{report}");
    let tokens = report
        .attempts
        .iter()
        .filter(|attempt| attempt.got.contains(&Loot::AllowedToken));
    assert!(
        tokens.count() >= 5,
        "what is allowed is found by every way that gives it: {report}"
    );
}

/// What the table of SECURITY.md says that he takes of this form.
fn in_security_md(row: &str) -> BTreeSet<Loot> {
    let file = keyward_e2e::programs::project_folder("SECURITY.md");
    let text = fs::read_to_string(file).unwrap();
    let begin = format!("| {row} |");
    let line = text.lines().find(|line| line.starts_with(&begin));
    let line = line.unwrap_or_else(|| panic!("SECURITY.md has no row {row:?}"));
    let all = [
        Loot::AllowedToken,
        Loot::AskedToken,
        Loot::DeniedToken,
        Loot::UseOfKey,
        Loot::VaultKey,
        Loot::RefreshToken,
        Loot::PrivateKey,
    ];
    let cell = line.split('|').nth(2).unwrap_or_default();
    let said: Vec<&str> = cell.split(',').map(str::trim).collect();
    let known = all.into_iter().filter(|loot| said.contains(&loot.as_str()));
    let known: BTreeSet<Loot> = known.collect();
    assert_eq!(known.len(), said.len(), "{line}");
    known
}
