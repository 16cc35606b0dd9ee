//! What somebody sees who listens between us and the TPM.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use keyward_jose::Algorithm;
use keyward_keystore::tpm::TpmKeyStore;
use keyward_keystore::{KeyKind, KeyStore as _, Pin, PublicKey};
use keyward_testkit::SoftwareTpm;
use zeroize::Zeroizing;

#[test]
fn no_secret_is_to_be_seen_between_us_and_the_tpm() {
    let tpm = SoftwareTpm::start();
    let wire = Wire::to(&tpm);
    let dir = tempfile::tempdir().unwrap();
    let store = TpmKeyStore::open(&dir.path().join("keys"), &wire.tcti()).unwrap();

    let secret: Vec<u8> = (0..32).map(|number| 0x5a ^ number).collect();
    let mac = store.import_mac(Zeroizing::new(secret.clone())).unwrap();
    let derived = store.derive(&mac, b"label", b"context").unwrap();
    let agree = store.create(KeyKind::Agree, None).unwrap();
    let PublicKey::P256(peer) = store.public(&agree).unwrap() else {
        panic!("a P-256 key is no RSA key");
    };
    let z = store.agree(&agree, &peer).unwrap();
    let mut random = [0; 32];
    store.random(&mut random).unwrap();
    let pin = Pin::new("a PIN that is long enough").unwrap();
    let sign = store.create(KeyKind::Sign, Some(&pin)).unwrap();
    store.unlock(Pin::new("a PIN that is long enough").unwrap());
    let key = store.open(&sign).unwrap();
    let signature = key.sign(b"message").unwrap();
    assert!(
        key.public_jwk()
            .verifies(Algorithm::Es256, b"message", &signature)
    );

    // Public halves are seen, so what is sent is looked at. (Leading zeros may be left away.)
    let point = peer.p256_point().unwrap();
    assert!(wire.carried(&point[17..33]) && wire.carried(&point[49..]));
    assert!(wire.carried(&signature[16..32]));
    for (name, bytes) in [
        ("imported secret", secret.as_slice()),
        ("derived key", derived.as_slice()),
        ("agreed secret", z.as_slice()),
        ("random bytes", &random),
        ("PIN", pin.expose_secret()),
    ] {
        assert!(!wire.carried(bytes), "the {name} was to be seen");
    }
    every_command_is_in_a_salted_session(&wire.commands());
}

/// Codes of commands that carry neither secret nor authorization: GetCapability, FlushContext,
/// ReadPublic, NV_ReadPublic.
const PLAIN: [u32; 4] = [0x17a, 0x165, 0x173, 0x169];
const START_AUTH_SESSION: u32 = 0x176;
const CREATE_PRIMARY: u32 = 0x131;
/// With no secret but the owner's empty authorization value.
const PASSWORD: u32 = 0x4000_0009;

fn every_command_is_in_a_salted_session(commands: &[Vec<u8>]) {
    let (mut started, mut in_session) = (0, 0);
    for command in commands {
        let word = |at: usize| u32::from_be_bytes(command[at..at + 4].try_into().unwrap());
        let has_sessions = command[..2] == [0x80, 0x02];
        match word(6) {
            START_AUTH_SESSION => {
                // Encrypted to a key in the TPM: transient or persistent, not "none".
                assert!(matches!(word(10) >> 24, 0x80 | 0x81), "{command:02x?}");
                started += 1;
            }
            CREATE_PRIMARY => assert_eq!(word(18), PASSWORD),
            code if PLAIN.contains(&code) => assert!(!has_sessions, "{code:#x}"),
            code => {
                assert!(has_sessions, "{code:#x}");
                // One handle or none before the size of the area and the session's handle.
                let session = [14, 18]
                    .map(word)
                    .into_iter()
                    .find(|handle| handle >> 24 == 2);
                assert!(session.is_some(), "{command:02x?}");
                in_session += 1;
            }
        }
    }
    assert!(started > 0 && in_session > 10, "{started}, {in_session}");
}

/// A listener in the middle.
struct Wire {
    port: u16,
    seen: Record,
    /// What was sent to the TPM itself.
    sent: Record,
}

impl Wire {
    /// Passes everything on to the TPM and its control channel, and remembers it.
    fn to(tpm: &SoftwareTpm) -> Self {
        let tcti = tpm.tcti();
        let (_, port) = tcti.rsplit_once('=').unwrap();
        let behind: u16 = port.parse().unwrap();
        let (data, control) = pair();
        let wire = Self {
            port: data.local_addr().unwrap().port(),
            seen: Arc::default(),
            sent: Arc::default(),
        };
        let aside = Arc::default();
        for (listener, port, sent) in [
            (data, behind, Arc::clone(&wire.sent)),
            (control, behind + 1, aside),
        ] {
            let seen = Arc::clone(&wire.seen);
            thread::spawn(move || {
                for client in listener.incoming() {
                    pass_on(client.unwrap(), port, &seen, &sent);
                }
            });
        }
        wire
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The commands, one by one: tag, size, and what the size says.
    fn commands(&self) -> Vec<Vec<u8>> {
        let sent = self.sent.lock().unwrap();
        let mut rest = sent.as_slice();
        let mut commands = Vec::new();
        while let Some(size) = rest.get(2..6) {
            let size = u32::from_be_bytes(size.try_into().unwrap());
            let (command, after) = rest.split_at(usize::try_from(size).unwrap());
            commands.push(command.to_vec());
            rest = after;
        }
        commands
    }

    fn carried(&self, bytes: &[u8]) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// Listeners at two ports that follow each other.
fn pair() -> (TcpListener, TcpListener) {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let next = first.local_addr().unwrap().port().checked_add(1);
        if let Some(Ok(second)) = next.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))) {
            return (first, second);
        }
    }
}

type Record = Arc<Mutex<Vec<u8>>>;

fn pass_on(client: TcpStream, port: u16, seen: &Record, sent: &Record) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (back, there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let ways = [
        (client, there, Arc::clone(sent)),
        (server, back, Arc::default()),
    ];
    for (mut from, mut to, kept) in ways {
        let seen = Arc::clone(seen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                seen.lock().unwrap().extend(&buffer[..length]);
                kept.lock().unwrap().extend(&buffer[..length]);
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            // Whichever end is closed closes the other.
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}
