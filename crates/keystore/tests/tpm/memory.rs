//! What is left in memory of a secret that was handed over to the TPM.
//!
//! Looking for a secret needs somebody who knows it, so the one who hands it over is another
//! process.

use std::io::Read as _;

use keyward_keystore::KeyStore as _;
use keyward_testkit::{Secrets, SoftwareTpm};
use zeroize::Zeroizing;

use crate::other_process::{OtherProcess, input, say, store};

#[test]
fn an_imported_secret_is_gone_from_memory() {
    let tpm = SoftwareTpm::start();
    let dir = tempfile::tempdir().unwrap();
    let mut secret = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let secrets = Secrets::new([secret.to_vec()]);

    let folder = dir.path().join("keys");
    let mut holder = OtherProcess::start("memory::holder_of_a_secret", &tpm.tcti(), &folder, &[]);
    holder.send(&secret);
    assert_eq!(holder.hear(), b'h');
    let found = secrets.in_memory(holder.id()).unwrap();
    assert!(!found.is_empty(), "the search finds what is there");

    holder.send(b"!");
    assert_eq!(holder.hear(), b'i');
    let found = secrets.in_memory(holder.id()).unwrap();
    assert!(found.is_empty(), "{found:?}");
}

/// Says `h` when it holds the secret, and `i` when it has imported and used it.
#[test]
#[ignore = "it is the other process of an_imported_secret_is_gone_from_memory"]
fn holder_of_a_secret() {
    let mut input = input();
    let mut secret = Zeroizing::new(vec![0; 32]);
    input.read_exact(&mut secret).unwrap();
    say(b'h');
    let mut go = [0];
    input.read_exact(&mut go).unwrap();

    let store = store();
    let id = store.import_mac(secret).unwrap();
    store.derive(&id, b"label", b"context").unwrap();
    say(b'i');
    // Until the other end is closed.
    let _ = input.read(&mut go).unwrap();
}
