use proptest::prelude::*;
use zbus::connection::socket::ReadHalf as _;

use keyward_client::account::AccountSelector;
use keyward_client::binding::KeyProtection;
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::request::{AuthenticationScheme, CachePolicy, Demands, PopParameters};

use super::*;
use crate::guard::GuardedRead;
use crate::names::keyward::PATH;
use crate::program::Program;
use crate::service::Via;

fn peer() -> Caller {
    Caller::new(1000, None, Via::Socket)
}

fn on_bus() -> Caller {
    let unique_name = ":1.7".to_owned();
    Caller::new(1000, None, Via::Bus { unique_name })
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
    let caller = on_bus();
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
    let mut guard = GuardedRead::new(std::io::Cursor::new(bytes.to_vec()), Vec::new(), 2048);
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
    let envelope = Envelope::open(
        Method::AcquireTokenSilent,
        &call,
        &peer(),
        &Encoded::default(),
    )
    .unwrap();
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
        let opened = Envelope::open(
            Method::AcquireTokenSilent,
            &Call::new(message),
            &peer(),
            &Encoded::default(),
        );
        let error = opened.err().unwrap().in_request();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.message().contains(wanted), "{error}");
    }
}

/// The short form of a request.
fn bearer(request: &SilentRequest) -> Vec<u8> {
    let caller = Caller {
        pid: Some(17),
        program: Arc::new(Program::unknown_because("a reason")),
        ..on_bus()
    };
    let text = wire::bearer::write(request, "17", Some(&caller)).unwrap();
    Message::method_call(PATH, "AcquireBearerTokenSilent")
        .interface(INTERFACE)
        .build(&text)
        .unwrap()
        .data()
        .to_vec()
}

fn plain() -> SilentRequest {
    let mut request = wire::request::sample();
    request.token.claims = None;
    request.token.extra_parameters.clear();
    request.token.demands = Demands::default();
    request.account = AccountSelector::Home(HomeAccountId::new("u", "t"));
    request.cache = CachePolicy::UseCache;
    request
}

#[test]
fn everything_in_a_short_request_arrives() {
    let call = receive(&bearer(&plain())).unwrap();
    let envelope = Envelope::open(
        Method::AcquireBearerTokenSilent,
        &call,
        &peer(),
        &Encoded::default(),
    )
    .unwrap();
    assert_eq!(envelope.id.as_deref(), Some("17"));
    let caller = envelope.on_behalf_of.unwrap();
    assert_eq!(caller.pid, Some(17));
    let Some(Request::Bearer(read)) = envelope.request else {
        panic!("another request");
    };
    let mut written = plain();
    written.token.redirect_uri = None;
    assert_eq!(format!("{read:?}"), format!("{written:?}"));
}

#[test]
fn what_the_short_form_cannot_say_is_not_said_in_it() {
    let mut claims = plain();
    claims.token.claims = Some("{}".to_owned());
    let mut parameters = plain();
    let parameter = ("x".to_owned(), "1".to_owned());
    parameters.token.extra_parameters.extend([parameter]);
    let mut scheme = plain();
    scheme.token.scheme = AuthenticationScheme::Dpop(None);
    let by_name = SilentRequest {
        account: AccountSelector::Username("alice".to_owned()),
        ..plain()
    };
    let forced = SilentRequest {
        cache: CachePolicy::ForceRefresh,
        ..plain()
    };
    for request in [claims, parameters, scheme, by_name, forced] {
        let written = wire::bearer::write(&request, "1", None);
        assert_eq!(written, None, "{request:?}");
    }
}

#[test]
fn a_short_request_that_cannot_be_understood_says_why() {
    const ID: &str = "2ca47dbe-0b3c-4a1e-9a68-5d2b7b1f6c11";
    let request = |change: &[(&str, serde_json::Value)]| {
        let mut request = serde_json::json!({
            "client_id": "c", "authority": "a", "scopes": "s", "home_account_id": "u.t",
            "correlation_id": ID, "something": "new",
        });
        for (name, value) in change {
            request[name] = value.clone();
        }
        request.to_string()
    };
    let refused = |text: &str| {
        let message = Message::method_call(PATH, "AcquireBearerTokenSilent");
        let call = Call::new(message.build(&text).unwrap());
        let opened = Envelope::open(
            Method::AcquireBearerTokenSilent,
            &call,
            &peer(),
            &Encoded::default(),
        );
        opened.err().map(|error| error.in_request().to_string())
    };
    assert_eq!(refused(&request(&[])), None);
    let other_user = serde_json::json!({"uid": 1, "bus_name": ":1.7"});
    for (text, wanted) in [
        ("", "request is not JSON"),
        ("{}", "request lacks a member"),
        (&request(&[("scopes", 1.into())]), "another type"),
        (&request(&[("client_id", "".into())]), "client_id is empty"),
        (&request(&[("home_account_id", "u".into())]), "UID.UTID"),
        (&request(&[("correlation_id", "x".into())]), "is no GUID"),
        (&request(&[("on_behalf_of", other_user)]), "another user"),
    ] {
        let why = refused(text).unwrap();
        assert!(why.contains(wanted), "{why}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_damage_to_a_request_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = request();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let mut short = bearer(&plain());
        for (at, byte) in &changes {
            let at = at.index(short.len());
            short[at] = *byte;
        }
        for call in [receive(&bytes), receive(&short)].into_iter().flatten() {
            for (_, method) in Method::ALL {
                let _ = Envelope::open(method, &call, &peer(), &Encoded::default());
            }
            let _ = cancelled_id(&call);
        }
    }
}

#[test]
fn an_unknown_request_about_the_broker_is_told_so() {
    for text in ["", "{}", r#"{"request":"make-coffee"}"#, "[[["] {
        let mut dict = Entries::new();
        dict.text("request", text);
        let message = Message::method_call(PATH, "Manage").build(&dict).unwrap();
        let opened = Envelope::open(
            Method::Manage,
            &Call::new(message),
            &peer(),
            &Encoded::default(),
        );
        let error = opened.err().unwrap().in_request();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(
            error.message().contains("no request this broker knows"),
            "{error}"
        );
    }
}

#[test]
fn a_request_that_demands_something_has_no_short_form() {
    let mut request = plain();
    assert!(wire::bearer::write(&request, "17", None).is_some());
    request.token.demands.key_protection = Some(KeyProtection::Tpm);
    assert!(wire::bearer::write(&request, "17", None).is_none());
}
