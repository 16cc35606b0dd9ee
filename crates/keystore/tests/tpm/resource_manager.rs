//! A resource manager between us and the TPM: the one of TCG's own software, over a private bus.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use keyward_jose::Algorithm;
use keyward_keystore::{KeyKind, KeyStore as _};
use keyward_testkit::{Login, Process, SessionBus, SoftwareTpm};

use crate::other_process::{OtherProcess, input, say, store};

const NAME: &str = "com.intel.tss2.Tabrmd";
const READY_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_restart_of_the_resource_manager_is_survived() {
    assert!(
        Path::new("/usr/sbin/tpm2-abrmd").exists(),
        "the resource manager is missing: sudo apt install tpm2-abrmd libtss2-tcti-tabrmd0"
    );
    let tpm = SoftwareTpm::start();
    let login = Login::new();
    let bus = SessionBus::start(&login, &[]);
    let mut manager = start(&login, &bus, &tpm);
    let mut signer = OtherProcess::start(
        "resource_manager::signer",
        "tabrmd:bus_type=session",
        &login.path("state/keys"),
        &[("DBUS_SESSION_BUS_ADDRESS", bus.address())],
    );
    let mut sign = || {
        signer.send(b"?");
        signer.hear()
    };
    assert_eq!(sign(), b's');
    for _ in 0..2 {
        manager.kill();
        assert_eq!(sign(), b'e', "nobody is there");
        manager = start(&login, &bus, &tpm);
        assert_eq!(sign(), b's');
        // This time nobody asked in between.
        manager.kill();
        manager = start(&login, &bus, &tpm);
        assert_eq!(sign(), b's');
    }
}

fn start(login: &Login, bus: &SessionBus, tpm: &SoftwareTpm) -> Process {
    let mut command = login.command("/usr/sbin/tpm2-abrmd");
    command
        .args(["--session", "--allow-root"])
        .arg(format!("--tcti={}", tpm.tcti()))
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    let process = Process::start("tpm2-abrmd", &mut command, &login.logs());
    bus.connect().wait_for_owner(NAME, READY_WITHIN);
    process
}

/// Signs whenever it is asked; says `s` when it did, and `e` when it could not.
#[test]
#[ignore = "it is the other process of a_restart_of_the_resource_manager_is_survived"]
fn signer() {
    let store = store();
    let id = store.create(KeyKind::Sign, None).unwrap();
    let key = store.open(&id).unwrap();
    let mut input = input();
    let mut question = [0];
    while input.read(&mut question).unwrap() == 1 {
        let signature = key.sign(b"message");
        let good =
            signature.is_ok_and(|it| key.public_jwk().verifies(Algorithm::Es256, b"message", &it));
        say(if good { b's' } else { b'e' });
    }
}
