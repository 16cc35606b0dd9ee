use proptest::prelude::*;
use zbus::connection::socket::ReadHalf as _;

use keyward_client::request::{AuthenticationScheme, PopParameters};

use super::*;
use crate::guard::GuardedRead;
use crate::names::keyward::PATH;
use crate::service::Via;

fn peer() -> Caller {
    Caller {
        uid: 1000,
        pid: None,
        via: Via::Socket,
    }
}

/// A request with everything in it, as it goes over the wire.
fn request() -> Vec<u8> {
    let mut request = wire::request::sample();
    request.token.scheme = AuthenticationScheme::Pop(PopParameters {
        method: "GET".to_owned(),
        host: "api.example".to_owned(),
        path: "/me".to_owned(),
        nonce: Some("n".to_owned()),
        client_claims: None,
    });
    let caller = Caller {
        via: Via::Bus {
            unique_name: ":1.7".to_owned(),
        },
        ..peer()
    };
    let mut entries = wire::request::write_silent(&request);
    entries.owned_text("request_id", "17".to_owned());
    wire::caller::write(&caller, &mut entries);
    Message::method_call(PATH, "AcquireTokenSilent")
        .interface(INTERFACE)
        .build(&entries)
        .unwrap()
        .data()
        .to_vec()
}

/// Reads a message as the server does. `None`: its connection ended.
fn receive(bytes: &[u8]) -> Option<Call> {
    let mut guard = GuardedRead::new(std::io::Cursor::new(bytes.to_vec()), Vec::new());
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(guard.receive_message(0, &mut Vec::new(), &mut Vec::new()))
        .ok()
        .map(Call::new)
}

#[test]
fn everything_in_a_request_arrives() {
    let call = receive(&request()).unwrap();
    let envelope = Envelope::open(Method::AcquireTokenSilent, &call, &peer()).unwrap();
    assert_eq!(envelope.id.as_deref(), Some("17"));
    assert_eq!(
        envelope.on_behalf_of.unwrap().via,
        Via::Bus {
            unique_name: ":1.7".to_owned()
        }
    );
    let Some(Request::Silent(request)) = envelope.request else {
        panic!("another request");
    };
    assert!(matches!(request.token.scheme, AuthenticationScheme::Pop(_)));
}

#[test]
fn every_missing_or_mistyped_key_is_named() {
    for (entries, wanted) in [
        (vec![], "client_id is missing"),
        (vec![("client_id", "")], "client_id is empty"),
        (vec![("client_id", "c")], "authority is missing"),
        (
            vec![("client_id", "c"), ("authority", "a")],
            "scopes is missing",
        ),
        (
            vec![
                ("client_id", "c"),
                ("authority", "a"),
                ("scopes", "s"),
                ("home_account_id", "x"),
            ],
            "home_account_id is not UID.UTID",
        ),
        (
            vec![
                ("client_id", "c"),
                ("authority", "a"),
                ("scopes", "s"),
                ("force_refresh", "yes"),
            ],
            "force_refresh has another type than b",
        ),
    ] {
        let mut dict = Entries::new();
        for (key, value) in entries {
            dict.text(key, value);
        }
        let message = Message::method_call(PATH, "AcquireTokenSilent")
            .build(&dict)
            .unwrap();
        let opened = Envelope::open(Method::AcquireTokenSilent, &Call::new(message), &peer());
        let error = opened.err().unwrap().in_request();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.message().contains(wanted), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_damage_to_a_request_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = request();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(call) = receive(&bytes) {
            for (_, method) in Method::ALL {
                let _ = Envelope::open(method, &call, &peer());
            }
            let _ = cancelled_id(&call);
        }
    }
}
