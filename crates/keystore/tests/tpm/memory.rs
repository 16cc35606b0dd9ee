//! What is left in memory of a secret that was handed over to the TPM.
//!
//! Looking for a secret needs somebody who knows it, so the one who handed it over is another
//! process: this program, started once more.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use keyward_keystore::KeyStore;
use keyward_keystore::tpm::TpmKeyStore;
use keyward_testkit::{Secrets, SoftwareTpm};
use zeroize::Zeroizing;

const TCTI: &str = "KEYWARD_TEST_TCTI";
const FOLDER: &str = "KEYWARD_TEST_FOLDER";

#[test]
fn an_imported_secret_is_gone_from_memory() {
    let tpm = SoftwareTpm::start();
    let dir = tempfile::tempdir().unwrap();
    let mut secret = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let secrets = Secrets::new([secret.to_vec()]);

    let mut holder = Holder::start(&tpm, dir.path());
    holder.input.write_all(&secret).unwrap();
    holder.wait_for(b'h');
    let found = secrets.in_memory(holder.child.id()).unwrap();
    assert!(!found.is_empty(), "the search finds what is there");

    holder.input.write_all(b"!").unwrap();
    holder.wait_for(b'i');
    let found = secrets.in_memory(holder.child.id()).unwrap();
    assert!(found.is_empty(), "{found:?}");
}

/// Says `h` when it holds the secret, and `i` when it has imported and used it.
#[test]
#[ignore = "it is the other process of an_imported_secret_is_gone_from_memory"]
fn holder_of_a_secret() {
    let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut input = File::from(input);
    let mut secret = Zeroizing::new(vec![0; 32]);
    input.read_exact(&mut secret).unwrap();
    say(b'h');
    let mut go = [0];
    input.read_exact(&mut go).unwrap();

    let tcti = std::env::var(TCTI).unwrap();
    let folder = std::env::var_os(FOLDER).unwrap();
    let store = TpmKeyStore::open(Path::new(&folder), &tcti).unwrap();
    let id = store.import_mac(secret).unwrap();
    store.derive(&id, b"label", b"context").unwrap();
    say(b'i');
    // Until the other end is closed.
    let _ = input.read(&mut go).unwrap();
}

/// One octet that the test harness does not write.
fn say(word: u8) {
    let output = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    File::from(output).write_all(&[0xff, word]).unwrap();
}

struct Holder {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Holder {
    fn start(tpm: &SoftwareTpm, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "memory::holder_of_a_secret",
            ])
            .env(TCTI, tpm.tcti())
            .env(FOLDER, folder.join("keys"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    fn wait_for(&mut self, word: u8) {
        let mut last = [0; 2];
        while last != [0xff, word] {
            let mut octet = [0];
            self.output.read_exact(&mut octet).unwrap();
            last = [last[1], octet[0]];
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
