//! What can be had on the session bus.

use std::io;

use keyward_testkit::bus::{Caller, DRIVER, Destination};
use keyward_testkit::process::Signal;
use serde_json::{Value, json};

use super::{Attempt, Target};
use crate::face::{Face, token_request};
use crate::stack::{KEYWARD_NAME, MICROSOFT_NAME};

/// RequestName's flags REPLACE_EXISTING and DO_NOT_QUEUE.
const TAKE_OVER: u32 = 2 | 4;

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    vec![
        Attempt::of("bus", "take over the broker's names", |_| take_names()),
        Attempt::of(
            "bus",
            "ask Microsoft's interface for what the policy denies",
            |bag| {
                for client in [&target.denied, &target.allowed] {
                    let answer = ask_microsoft(target, client)?;
                    bag.keep(answer);
                }
                Ok("answered".to_owned())
            },
        ),
        Attempt::of("bus", "record the bus while another program asks", |bag| {
            let recorded = record(target)?;
            let length = recorded.len();
            bag.keep(recorded);
            Ok(format!("{length} bytes recorded"))
        }),
        Attempt::of("bus", "ask both faces for refresh tokens and keys", |bag| {
            let bus = connect()?;
            let mut refused = 0;
            for (name, path) in [
                (MICROSOFT_NAME, "/com/microsoft/identity/broker1"),
                (KEYWARD_NAME, "/dev/keyward/Broker1"),
            ] {
                for method in ["getRefreshToken", "Export", "getKeys", "Manage"] {
                    let interface = if name == KEYWARD_NAME {
                        "dev.keyward.Broker1"
                    } else {
                        "com.microsoft.identity.Broker1"
                    };
                    let to = Destination {
                        name: Some(name),
                        path,
                        interface,
                    };
                    match bus.call(to, method, &("0.0", "", "{}")) {
                        Ok(answer) => bag.keep(answer.data().to_vec()),
                        Err(_) => refused += 1,
                    }
                }
            }
            Ok(format!("{refused} of 8 refused"))
        }),
    ]
}

/// Ends keyward-session, as code of the same user may, and stands in its place.
pub(super) fn pose_as_the_session() -> Attempt {
    Attempt::of("bus", "end keyward-session and take its place", |_| {
        let bus = connect()?;
        if let Some(process) = bus.owner_process(MICROSOFT_NAME) {
            keyward_testkit::process::signal(process, Signal::KILL);
            let gone = || (!keyward_testkit::process::runs(process)).then_some(());
            keyward_testkit::wait::within(crate::SOON, gone);
        }
        take_names()
    })
}

fn connect() -> io::Result<Caller> {
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").map_err(io::Error::other)?;
    Caller::try_bus(&address).map_err(io::Error::other)
}

fn take_names() -> io::Result<String> {
    let bus = connect()?;
    let mut said = Vec::new();
    for name in [MICROSOFT_NAME, KEYWARD_NAME] {
        let answer = bus.call(DRIVER, "RequestName", &(name, TAKE_OVER));
        let code: u32 = answer
            .map_err(io::Error::other)?
            .body()
            .deserialize()
            .map_err(io::Error::other)?;
        said.push(match code {
            1 | 4 => format!("{name} taken"),
            _ => format!("{name} kept by its owner"),
        });
        // Not kept, so that others find the broker.
        let _ = bus.call(DRIVER, "ReleaseName", &(name,));
    }
    Ok(said.join(", "))
}

/// Asks as an unmodified client of Microsoft's does.
fn ask_microsoft(target: &Target, client: &str) -> io::Result<String> {
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").map_err(io::Error::other)?;
    let face = Face::at(&address).ok_or_else(|| io::Error::other("there is no bus"))?;
    let ask = |method: &str, request: &Value| -> io::Result<Value> {
        let text = face
            .raw(method, &request.to_string())
            .map_err(io::Error::other)?;
        serde_json::from_str(&text).map_err(io::Error::other)
    };
    let who = json!({"clientId": client, "redirectUri": "http://localhost"});
    let accounts = ask("getAccounts", &who)?;
    let account = &accounts["accounts"][0];
    let asked = token_request(client, &target.authority, account, 1);
    Ok(ask("acquireTokenSilently", &asked)?.to_string())
}

/// A monitor sees everything everybody says on this bus.
fn record(target: &Target) -> io::Result<Vec<u8>> {
    use std::process::{Command, Stdio};
    let file = std::fs::File::create(target.den.join("recording"))?;
    let mut monitor = Command::new("dbus-monitor")
        .args(["--session", "--binary"])
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()?;
    let path = target.den.join("recording");
    let began = || (std::fs::metadata(&path).ok()?.len() > 0).then_some(());
    let began = keyward_testkit::wait::within(crate::SOON, began);
    let asked = ask_microsoft(target, &target.allowed);
    let token = token_in(asked.unwrap_or_default().as_bytes());
    let heard = || {
        let recorded = std::fs::read(&path).ok()?;
        let found = recorded.windows(token.len()).any(|part| part == token);
        (!token.is_empty() && found).then_some(())
    };
    if began.is_some() && !token.is_empty() {
        keyward_testkit::wait::within(crate::SOON, heard);
    }
    let _ = monitor.kill();
    let _ = monitor.wait();
    std::fs::read(path)
}

/// The longest run of characters of a JWT.
fn token_in(bytes: &[u8]) -> Vec<u8> {
    let of_a_jwt = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes
        .split(|byte| !of_a_jwt(byte))
        .max_by_key(|run| run.len())
        .unwrap_or_default()
        .to_vec()
}
