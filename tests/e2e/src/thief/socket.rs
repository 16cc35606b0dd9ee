//! What the broker's socket answers, to every method there is and to nonsense.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Attempt, Bag, Target};
use crate::typed::Typed;

/// How long an answer to nonsense is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    let mut attempts = vec![
        ask(
            target,
            "ask for a token the policy allows",
            "AcquireTokenSilent",
            &target.allowed,
        ),
        ask(
            target,
            "ask for a token the policy denies",
            "AcquireTokenSilent",
            &target.denied,
        ),
        ask(
            target,
            "ask for a token the policy asks the person about",
            "AcquireTokenSilent",
            &target.asked,
        ),
        for_somebody_else(target),
        cancel_others(target),
        nonsense(target),
        somebody_elses_proof(target),
    ];
    for request in managements() {
        let name = request["request"].as_str().unwrap_or_default().to_owned();
        attempts.push(Attempt::of("socket", format!("Manage: {name}"), |bag| {
            let text = json!({"request": request.to_string()});
            answered(bag, Typed::at_socket(&target.socket)?.ask("Manage", &text))
        }));
    }
    for method in [
        "Status",
        "Version",
        "Accounts",
        "Export",
        "GetRefreshToken",
        "Introspect",
    ] {
        attempts.push(Attempt::of("socket", format!("call {method}"), |bag| {
            let asked = json!({"client_id": target.denied});
            answered(bag, Typed::at_socket(&target.socket)?.ask(method, &asked))
        }));
    }
    attempts
}

fn request(target: &Target, client: &str) -> Value {
    json!({
        "client_id": client, "authority": target.authority, "scopes": "User.Read",
        "username": crate::ALICE,
    })
}

fn ask(target: &Target, tried: &'static str, method: &'static str, client: &str) -> Attempt {
    Attempt::of("socket", tried, |bag| {
        let typed = Typed::at_socket(&target.socket)?;
        answered(bag, typed.ask(method, &request(target, client)))
    })
}

/// Lies about who asks: another caller on a bus, in the name of another user.
fn for_somebody_else(target: &Target) -> Attempt {
    Attempt::of("socket", "ask on behalf of others", |bag| {
        use keyward_testkit::bus::Variant;
        use std::collections::HashMap;
        let typed = Typed::at_socket(&target.socket)?;
        let mut said = Vec::new();
        let own = u64::from(nix::unistd::getuid().as_raw());
        for uid in [own, 0, 1000, u64::from(u32::MAX)] {
            for client in [&target.denied, &target.allowed] {
                let mut body: HashMap<&str, Variant<'_>> = HashMap::new();
                for (key, value) in [
                    ("client_id", client.as_str()),
                    ("authority", target.authority.as_str()),
                    ("scopes", "User.Read"),
                    ("username", crate::ALICE),
                ] {
                    body.insert(key, Variant::from(value));
                }
                let mut caller: HashMap<&str, Variant<'_>> = HashMap::new();
                caller.insert("uid", Variant::from(uid));
                caller.insert("pid", Variant::from(1_u64));
                caller.insert("bus_name", Variant::from(":1.1"));
                body.insert("on_behalf_of", Variant::from(caller));
                let answer = typed.call("AcquireTokenSilent", &(body,));
                said.push(answered(bag, answer)?);
            }
        }
        said.dedup();
        Ok(said.join("; "))
    })
}

/// Everything a person may ask of the broker itself, and what nobody may.
fn managements() -> Vec<Value> {
    vec![
        json!({"request": "device"}),
        json!({"request": "export"}),
        json!({"request": "import", "records": []}),
        json!({"request": "vault-check"}),
        json!({"request": "vault-repair", "dry_run": true}),
        json!({"request": "apps"}),
        json!({"request": "audit"}),
        json!({"request": "refresh-tokens"}),
        json!({"request": "unseal", "sealed": "AAAA"}),
    ]
}

/// Ends requests under names others may have given theirs.
fn cancel_others(target: &Target) -> Attempt {
    Attempt::of("socket", "cancel the requests of others", |bag| {
        let typed = Typed::at_socket(&target.socket)?;
        for id in 0..32_u32 {
            let _ = typed.call("Cancel", &(id.to_string(),));
        }
        answered(bag, typed.ask("Version", &json!({})))
    })
}

/// A proof for an access token that was not issued to the thief.
fn somebody_elses_proof(target: &Target) -> Attempt {
    Attempt::of(
        "socket",
        "have a proof made for the token of another client",
        |bag| {
            let typed = Typed::at_socket(&target.socket)?;
            let asked = json!({
                "client_id": target.denied, "access_token": "a.b.c", "method": "GET",
                "uri": "https://api.example/", "authority": target.authority,
            });
            answered(bag, typed.ask("DpopProof", &asked))
        },
    )
}

fn nonsense(target: &Target) -> Attempt {
    Attempt::of(
        "socket",
        "send what is no message, and messages too large",
        |bag| {
            let mut length = 0;
            let header = [b"l\x01\0\x01".as_slice(), &[0xff; 12], &[0; 64]].concat();
            let flood = vec![b'A'; 1 << 20];
            let shake = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".to_vec();
            let anonymous = b"\0AUTH ANONYMOUS\r\nBEGIN\r\n".to_vec();
            let root = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n".to_vec();
            for bytes in [
                [shake.clone(), header].concat(),
                flood,
                shake,
                anonymous,
                root,
            ] {
                let mut stream = UnixStream::connect(&target.socket)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let _ = stream.write_all(&bytes);
                let mut answer = vec![0; 65536];
                while let Ok(read @ 1..) = stream.read(&mut answer) {
                    length += read;
                    bag.keep(&answer[..read]);
                }
            }
            Ok(format!("{length} bytes came back"))
        },
    )
}

/// Keeps an answer whole, and says in a word what it was.
fn answered(bag: &mut Bag, reply: crate::typed::Reply) -> io::Result<String> {
    match reply {
        Ok(answer) => {
            bag.keep(answer.to_string());
            Ok("answered".to_owned())
        }
        Err(error) => {
            bag.keep(error.message.clone());
            Err(io::Error::other(format!("refused: {}", error.kind)))
        }
    }
}
