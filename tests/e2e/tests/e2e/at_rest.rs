//! What is left on the disk: vault, key files, logs, and everything else in the login. Nothing of it
//! is a token or a key, whatever happened to the processes.

use std::fs;
use std::path::{Path, PathBuf};

use keyward_e2e::{ALICE, Msal, SOON, Stack, Tenant, Typed, cli};
use keyward_testkit::private_key::PublicPoint;
use keyward_testkit::process::{Signal, runs, signal};
use keyward_testkit::{Secrets, wait};

use crate::memory::{dpop_key, pop_key};

#[test]
fn no_secret_is_on_the_disk_with_keys_in_a_tpm() {
    let mut stack = Stack::without_broker(Tenant::Oidc);
    stack.keep_keys_in_tpm();
    nothing_is_on_the_disk(stack, &[]);
}

#[test]
fn no_secret_but_the_wrapping_key_is_on_the_disk_with_keys_in_files() {
    nothing_is_on_the_disk(Stack::without_broker(Tenant::Oidc), &["wrapping.key"]);
}

/// Everything is logged, used, and killed in a way that leaves a core where one is left; the
/// private keys of software are in the files named, and in no other form.
fn nothing_is_on_the_disk(mut stack: Stack, sealing: &[&str]) {
    stack.log_everything();
    stack.start_keywardd();
    stack.start_session();
    let typed = Typed::over_socket(&stack);
    let keys = [dpop_key(&stack, &typed), pop_key(&stack, &typed)];
    let handed_out = use_it(&stack);
    let secrets = [stack.authority.refresh_tokens(), handed_out].concat();
    assert!(secrets.len() >= 8, "{} secrets", secrets.len());
    let secrets = Secrets::new(secrets);
    nothing_is_found(&stack, &secrets, &keys);

    let keywardd = stack.keywardd_process().unwrap();
    signal(keywardd, Signal::ABORT);
    wait::until("an aborted keywardd", SOON, || {
        (!runs(keywardd)).then_some(())
    });
    let cores = cores(stack.login.root());
    assert!(cores.is_empty(), "{cores:?}");
    nothing_is_found(&stack, &secrets, &keys);

    let there: Vec<_> = files(stack.login.root())
        .into_iter()
        .filter(|file| file.ends_with("wrapping.key"))
        .collect();
    assert_eq!(there.len(), sealing.len(), "{there:?}");
    if let [file] = &there[..] {
        // What the file is, then the key: it is there once, and nowhere else.
        let key = Secrets::new([&fs::read(file).unwrap()[8..40]]);
        let found = key.in_folder(stack.login.root());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].place.ends_with("wrapping.key"), "{found:?}");
    }
}

/// The access tokens that were handed out through the faces and the command line. Nothing that a
/// client itself keeps or prints is the broker's doing, so its output is dropped.
fn use_it(stack: &Stack) -> Vec<String> {
    let mut msal = Msal::start(stack);
    let mut tokens = vec![msal.sign_in()["accessToken"].clone()];
    tokens.push(msal.renew(ALICE, "again").unwrap()["accessToken"].clone());
    drop(msal);
    let run = cli::keyward_logging_everything(
        stack,
        &["token", "--username", ALICE, "--force-refresh", "--json"],
    );
    tokens.push(run.ok().json()["access_token"].clone());
    forget_what_clients_printed(stack);
    let texts = tokens.iter().map(|token| token.as_str().unwrap());
    texts.map(str::to_owned).collect()
}

/// Standard output of clients is where their tokens belong.
fn forget_what_clients_printed(stack: &Stack) {
    for file in files(&stack.login.logs()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if ["node.out", "keyward.out"].contains(&&*name) {
            fs::remove_file(file).unwrap();
        }
    }
}

fn nothing_is_found(stack: &Stack, secrets: &Secrets, keys: &[PublicPoint]) {
    let root = stack.login.root();
    assert_eq!(secrets.in_folder(root), [], "a token");
    // Of the programs there are links only; what is written while it runs is all below the login.
    for folder in ["state", "logs", "run", "home", "config", "data", "tmp"] {
        for key in keys {
            let searched = key.search_folder(&root.join(folder)).unwrap();
            assert_eq!(searched.found, [], "a private key in {folder}");
            assert!(folder != "state" || searched.tried > 1_000, "{searched:?}");
        }
    }
}

/// Files as the kernel names cores where it writes files at all (core(5)).
fn cores(folder: &Path) -> Vec<PathBuf> {
    let is_core = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name == "core" || name.starts_with("core.")
    };
    files(folder).into_iter().filter(is_core).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
