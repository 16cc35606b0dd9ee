//! The commands with somebody else's broker, which has no words for what Keyward's says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;

use keyward_config::Environment;
use keyward_testkit::{Login, OtherBroker, SessionBus};
use serde_json::{Value, json};

const ALICE: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const TENANT: &str = "cccccccc-0000-4000-8000-000000000001";

struct Desk {
    environment: Environment,
    broker: OtherBroker,
    _bus: SessionBus,
    _login: Login,
}

impl Desk {
    fn new() -> Self {
        let login = Login::new();
        let bus = SessionBus::start(&login, &[]);
        Self {
            environment: Environment::empty()
                .with_variable("DBUS_SESSION_BUS_ADDRESS", bus.address())
                .with_variable("KEYWARD_CLIENT_ID", "client-1"),
            broker: OtherBroker::start(&bus, answer),
            _bus: bus,
            _login: login,
        }
    }

    fn keyward(&self, arguments: &[&str]) -> String {
        let arguments = ["keyward"].iter().chain(arguments).map(OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = keyward_cli::execute(arguments, &self.environment, &mut out, &mut err);
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&err));
        String::from_utf8(out).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.keyward(arguments)).unwrap()
    }
}

/// What such a broker answers: alice, whatever is asked.
fn answer(method: &str) -> String {
    let account = json!({
        "environment": "login.windows.net", "homeAccountId": format!("{ALICE}.{TENANT}"),
        "localAccountId": ALICE, "realm": TENANT, "username": "alice@x",
    });
    match method {
        "getLinuxBrokerVersion" => json!({"linuxBrokerVersion": "2.0.1"}),
        "getAccounts" => json!({"accounts": [account]}),
        _ => json!({"brokerTokenResponse": {
            "accessToken": "at", "accessTokenType": 0, "expiresOn": 4_102_444_800_000_i64,
            "grantedScopes": "User.Read", "account": account,
        }}),
    }
    .to_string()
}

#[test]
fn what_binds_its_tokens_is_not_made_up() {
    let desk = Desk::new();
    for arguments in [&["login", "--json"][..], &["token", "--json"]] {
        let result = desk.json(arguments);
        assert_eq!(result["account"]["username"], "alice@x");
        for field in ["binding", "key_protection"] {
            assert_eq!(
                result.get(field),
                Some(&Value::Null),
                "{arguments:?} {field}"
            );
        }
    }
    assert_eq!(
        desk.keyward(&["login"]),
        "signed in as alice@x (binding: not said by this broker)\n"
    );
    assert!(
        desk.broker
            .asked()
            .iter()
            .any(|method| method == "acquireTokenInteractively")
    );
}

#[test]
fn nobody_is_said_to_be_signed_out() {
    let desk = Desk::new();
    assert!(desk.keyward(&["accounts"]).contains("alice@x"));

    let shown = desk.keyward(&["status"]);
    assert!(
        shown.starts_with("another broker than Keyward's, version 2.0.1"),
        "{shown}"
    );
    assert!(shown.contains("does not say who is signed in"), "{shown}");
    assert!(!shown.contains("nobody"), "{shown}");
    let status = desk.json(&["status", "--json"]);
    assert_eq!(status["form"], "foreign");
    for field in ["accounts", "key_protection"] {
        assert_eq!(status.get(field), Some(&Value::Null), "{field}");
    }
}
