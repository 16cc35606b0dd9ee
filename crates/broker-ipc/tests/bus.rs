//! Both faces on a real dbus-daemon.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;

use std::sync::Arc;

use fixtures::bus::TestBus;
use fixtures::{ENDLESS, FAILING, FakeBroker, PANIC, UID, UTID, alice, own_uid, silent};
use keyward_broker_ipc::faces::{Faces, Names, Ownership};
use keyward_broker_ipc::names;
use keyward_broker_ipc::proxy::{BusBroker, MicrosoftBroker};
use keyward_broker_ipc::server::Limits;
use keyward_broker_ipc::service::Via;
use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::error::{ErrorKind, TABLE};
use keyward_client::oauth::identifiers::{ClientId, HomeAccountId};
use keyward_client::ports::TokenBroker;
use keyward_client::request::{AuthenticationScheme, CachePolicy, PopParameters, Prompt};
use keyward_client::result::TokenType;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zbus::Connection;

const ANY: &str = "https://idp.example/tenant";
const CORRELATION_ID: &str = "11111111-2222-3333-4444-555555555555";

/// Both faces on a bus, for the life of a test.
struct Served {
    bus: TestBus,
    broker: Arc<FakeBroker>,
    names: Names,
    serving: JoinHandle<()>,
}

impl Served {
    async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    async fn with_limits(limits: Limits) -> Self {
        let bus = TestBus::start();
        let broker = Arc::new(FakeBroker::default());
        let (names, serving) = serve(&bus, Arc::clone(&broker), limits).await;
        Self {
            bus,
            broker,
            names,
            serving,
        }
    }

    async fn client(&self) -> Client {
        let builder = zbus::connection::Builder::address(self.bus.address.as_str());
        Client(builder.build().await.unwrap())
    }
}

async fn serve(bus: &TestBus, broker: Arc<FakeBroker>, limits: Limits) -> (Names, JoinHandle<()>) {
    let faces = Faces::join(&bus.address()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let serving = tokio::spawn(faces.serve(broker, limits, |names| tell.send(names).unwrap()));
    (told.await.unwrap(), serving)
}

/// A program on the bus that speaks Microsoft's contract.
#[derive(Clone)]
struct Client(Connection);

impl Client {
    async fn call(&self, method: &str, json: &str) -> Value {
        let text: String = self
            .raw(method, &("0.0", CORRELATION_ID, json))
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A call without arguments of any method of any object.
    async fn call_on(
        &self,
        (name, path): (&str, &str),
        interface: &str,
        method: &str,
    ) -> zbus::Result<zbus::Message> {
        self.0
            .call_method(Some(name), path, Some(interface), method, &())
            .await
    }

    async fn raw<B>(&self, method: &str, body: &B) -> zbus::Result<String>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.0
            .call_method(
                Some(names::microsoft::BUS_NAME),
                names::microsoft::PATH,
                Some(names::microsoft::INTERFACE),
                method,
                body,
            )
            .await?
            .body()
            .deserialize()
    }
}

fn request(authority: &str) -> String {
    json!({"authParameters": {
        "account": null, "authority": authority, "clientId": "c",
        "requestedScopes": ["https://graph.microsoft.com/.default"], "username": "",
    }})
    .to_string()
}

#[tokio::test]
async fn a_silent_request_is_answered_as_clients_need_it() {
    let served = Served::new().await;
    let client = served.client().await;
    let reply = client.call("acquireTokenSilently", &request(ANY)).await;
    let response = &reply["brokerTokenResponse"];
    assert_eq!(response["accessToken"], "access-token-1");
    assert_eq!(response["accessTokenType"], 0);
    assert_eq!(response["expiresOn"], 4_000_000_000_000_u64);
    assert_eq!(response["extendedExpiresOn"], 4_000_003_600_000_u64);
    assert_eq!(
        response["grantedScopes"],
        "https://graph.microsoft.com/.default"
    );
    assert_eq!(
        response["account"]["homeAccountId"],
        format!("{UID}.{UTID}")
    );
    let caller = served.broker.callers.lock().unwrap().pop().unwrap();
    let unique_name = client.0.unique_name().unwrap().to_string();
    assert_eq!(caller.via, Via::Bus { unique_name });
    assert_eq!(caller.uid, own_uid());
    assert_eq!(caller.pid, Some(std::process::id()));
    let executable = caller.program.executable.as_ref().unwrap();
    let ours = std::env::current_exe().unwrap();
    assert_eq!(Some(executable.path.as_str()), ours.to_str());
    let seen = served.broker.silent.lock().unwrap().pop().unwrap();
    assert_eq!(seen.token.correlation_id.to_string(), CORRELATION_ID);
}

#[tokio::test]
async fn every_error_has_its_status_in_both_places_and_is_no_dbus_error() {
    let served = Served::new().await;
    let client = served.client().await;
    for row in TABLE {
        for method in ["acquireTokenSilently", "acquireTokenInteractively"] {
            let authority = format!("{FAILING}{}", row.name);
            let reply = client.call(method, &request(&authority)).await;
            let error = &reply["error"];
            assert_eq!(error, &reply["brokerTokenResponse"]["error"]);
            assert_eq!(error["status"], row.runtime_status, "{}", row.name);
            assert_eq!(error["errorCode"], 50_076);
            assert_eq!(error["subStatus"], 0);
            let context = error["context"].as_str().unwrap();
            assert!(context.contains("AADSTS50076"), "{context}");
        }
    }
}

#[tokio::test]
async fn whatever_comes_the_reply_is_a_normal_one() {
    let served = Served::new().await;
    let client = served.client().await;
    for json in [
        "",
        "[]",
        "null",
        "{}",
        "{\"authParameters\":[]}",
        "\u{fffd}",
    ] {
        let reply = client.call("acquireTokenSilently", json).await;
        assert_eq!(reply["error"]["status"], 6, "{json}");
    }
    for wrong in [
        client.raw("acquireTokenSilently", &()).await,
        client.raw("acquireTokenSilently", &("0.0", 5_u32)).await,
        client.raw("acquireTokenSilently", &vec![1_u8, 2, 3]).await,
        client
            .raw("acquireTokenSilently", &("0.0", "no GUID", "{}"))
            .await,
    ] {
        let reply: Value = serde_json::from_str(&wrong.unwrap()).unwrap();
        assert_eq!(reply["brokerTokenResponse"]["error"]["status"], 6);
    }
    let reply = client.call("acquireTokenSilently", &request(PANIC)).await;
    assert_eq!(reply["error"]["status"], 0);
    client.call("acquireTokenSilently", &request(ANY)).await;
}

#[tokio::test]
async fn accounts_are_listed_removed_and_never_an_error() {
    let served = Served::new().await;
    let client = served.client().await;
    let json = r#"{"clientId":"c","redirectUri":"c"}"#;
    let reply = client.call("getAccounts", json).await;
    let accounts = reply["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0]["username"], "alice@dev.test");
    for failing in [r#"{"clientId":"failing"}"#, "{}", "nonsense"] {
        let reply = client.call("getAccounts", failing).await;
        assert_eq!(reply, json!({"accounts": []}));
    }
    let empty: Value =
        serde_json::from_str(&client.raw("getAccounts", &()).await.unwrap()).unwrap();
    assert_eq!(empty, json!({"accounts": []}));

    let account = json!({"clientId": "c", "account": accounts[0]}).to_string();
    let reply = client.call("removeAccount", &account).await;
    assert!(reply.get("error").is_none(), "{reply}");
    let reply = client.call("getAccounts", json).await;
    assert_eq!(reply, json!({"accounts": []}));
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    let served = Served::new().await;
    let client = served.client().await;
    for method in ["acquirePrtSsoCookie", "generateSignedHttpRequest"] {
        let reply = client.call(method, "{}").await;
        assert_eq!(reply["error"]["status"], 6);
        let context = reply["error"]["context"].as_str().unwrap();
        assert!(context.contains("not support"), "{context}");
    }
    let reply = client
        .call("getLinuxBrokerVersion", r#"{"msalCppVersion":"1"}"#)
        .await;
    assert_eq!(reply["linuxBrokerVersion"], env!("CARGO_PKG_VERSION"));
    let reply = client.call("cancelInteractiveFlow", "{}").await;
    assert_eq!(reply, json!({}));
}

#[tokio::test]
async fn cancelling_ends_the_interactive_flow_of_that_caller_only() {
    let served = Served::new().await;
    let (one, other) = (served.client().await, served.client().await);
    let wait = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .call("acquireTokenInteractively", &request(ENDLESS))
                .await
        })
    };
    let (waiting, others) = (wait(&one), wait(&other));
    served.broker.wait_running(2).await;
    one.call("cancelInteractiveFlow", "{\"error\":{}}").await;
    let reply = waiting.await.unwrap();
    assert_eq!(reply["error"]["status"], 8);
    served.broker.wait_running(1).await;
    assert!(!others.is_finished());
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_requests_with_it() {
    let served = Served::new().await;
    let (one, other) = (served.client().await, served.client().await);
    for client in [&one, &other] {
        let client = client.clone();
        tokio::spawn(async move { client.call("acquireTokenSilently", &request(ENDLESS)).await });
    }
    served.broker.wait_running(2).await;
    one.0.close().await.unwrap();
    served.broker.wait_cancelled(1).await;
    served.broker.wait_running(1).await;
}

#[tokio::test]
async fn large_requests_are_refused_in_bounded_memory_and_the_names_stay() {
    let served = Served::new().await;
    let client = served.client().await;
    let large = "x".repeat(2 * 1024 * 1024);
    let reply = client.call("acquireTokenSilently", &large).await;
    assert_eq!(reply["error"]["status"], 6);
    let context = reply["error"]["context"].as_str().unwrap();
    assert!(context.contains("larger than 1 MiB"), "{context}");
    let reply = client.call("getAccounts", &large).await;
    assert_eq!(reply, json!({"accounts": []}));
    let just_above = "x".repeat(1024 * 1024 + 1);
    let reply = client.call("acquireTokenSilently", &just_above).await;
    assert!(
        reply["error"]["context"]
            .as_str()
            .unwrap()
            .contains("larger than 1 MiB")
    );
    client.call("acquireTokenSilently", &request(ANY)).await;
}

#[tokio::test]
async fn a_flood_of_one_caller_is_refused_and_others_are_served() {
    let limits = Limits {
        per_caller: 8,
        ..Limits::default()
    };
    let served = Served::with_limits(limits).await;
    let (flooding, other) = (served.client().await, served.client().await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = flooding.clone();
        calls.spawn(async move { client.call("acquireTokenSilently", &request(ENDLESS)).await });
    }
    served.broker.wait_running(8).await;
    let mut refused = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let client = flooding.clone();
        refused.spawn(async move { client.call("acquireTokenSilently", &request(ENDLESS)).await });
    }
    while let Some(reply) = refused.join_next().await {
        assert_eq!(reply.unwrap()["error"]["status"], 15);
    }
    let reply = other.call("acquireTokenSilently", &request(ANY)).await;
    assert!(reply.get("error").is_none());
}

#[tokio::test]
async fn ping_and_introspection_work_on_every_object() {
    let served = Served::new().await;
    let client = served.client().await;
    for (name, path, xml) in [
        (
            names::microsoft::BUS_NAME,
            names::microsoft::PATH,
            include_str!("../interfaces/com.microsoft.identity.Broker1.xml"),
        ),
        (
            names::keyward::BUS_NAME,
            names::keyward::PATH,
            include_str!("../interfaces/dev.keyward.Broker1.xml"),
        ),
    ] {
        let object = (name, path);
        let ping = client.call_on(object, "org.freedesktop.DBus.Peer", "Ping");
        ping.await.unwrap();
        let reply = client
            .call_on(object, "org.freedesktop.DBus.Introspectable", "Introspect")
            .await;
        let introspected: String = reply.unwrap().body().deserialize().unwrap();
        assert_eq!(introspected, xml);
        // Every method that is described exists, with that signature.
        for method in methods(xml) {
            let error = client.call_on(object, "com.example.Other", &method).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("UnknownMethod"), "{error}");
            let interface = if name == names::keyward::BUS_NAME {
                names::keyward::INTERFACE
            } else {
                names::microsoft::INTERFACE
            };
            if let Err(error) = client.call_on(object, interface, &method).await {
                assert!(!error.to_string().contains("UnknownMethod"), "{method}");
            }
        }
    }
    let root = client
        .call_on(
            (names::keyward::BUS_NAME, "/"),
            "org.freedesktop.DBus.Introspectable",
            "Introspect",
        )
        .await
        .unwrap();
    let root: String = root.body().deserialize().unwrap();
    assert!(root.contains(r#"name="com""#) && root.contains(r#"name="dev""#));
}

/// The methods of the first interface in introspection data.
fn methods(xml: &str) -> Vec<String> {
    let interface = &xml[..xml.find("</interface>").unwrap()];
    interface
        .split("<method name=\"")
        .skip(1)
        .map(|rest| rest[..rest.find('"').unwrap()].to_owned())
        .collect()
}

#[tokio::test]
async fn the_typed_interface_works_over_the_bus() {
    let served = Served::new().await;
    let client = BusBroker::new(served.bus.address());
    let result = client.acquire_token_silent(silent(ANY)).await.unwrap();
    assert_eq!(result.account, alice());
    for row in TABLE {
        let request = silent(&format!("{FAILING}{}", row.name));
        let error = client.acquire_token_silent(request).await.unwrap_err();
        assert_eq!(error.kind(), row.kind);
        assert_eq!(error.retry_after().unwrap().as_secs(), 17);
    }
    assert_eq!(client.status().await.unwrap().version, "9.9");

    let client = Arc::new(client);
    let waiting = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.acquire_token_silent(silent(ENDLESS)).await })
    };
    served.broker.wait_running(1).await;
    waiting.abort();
    served.broker.wait_cancelled(1).await;
}

#[tokio::test]
async fn our_own_microsoft_face_is_a_broker_like_any_other() {
    let served = Served::new().await;
    let client = MicrosoftBroker::new(served.bus.address());
    let client_id = ClientId::parse("c").unwrap();
    assert_eq!(client.accounts(&client_id).await.unwrap(), [alice()]);

    let mut request = silent(ANY);
    request.account = AccountSelector::Home(HomeAccountId::new(UID, UTID));
    let result = client.acquire_token_silent(request.clone()).await.unwrap();
    assert_eq!(result.account, alice());
    assert_eq!(result.access_token.expose_secret(), "access-token-1");
    assert_eq!(result.scopes, request.token.scopes);

    // A forced refresh is two requests: one for the cached token, one that names it.
    request.cache = CachePolicy::ForceRefresh;
    let result = client.acquire_token_silent(request.clone()).await.unwrap();
    assert_eq!(result.access_token.expose_secret(), "access-token-3");
    let seen = served.broker.silent.lock().unwrap().pop().unwrap();
    let CachePolicy::Renew(renewed) = &seen.cache else {
        panic!("{:?}", seen.cache);
    };
    assert_eq!(renewed.expose_secret(), "access-token-2");

    request.token.scheme = AuthenticationScheme::Pop(PopParameters {
        method: "GET".to_owned(),
        host: "api.example".to_owned(),
        path: "/me".to_owned(),
        nonce: None,
        client_claims: None,
    });
    request.cache = CachePolicy::UseCache;
    let result = client.acquire_token_silent(request.clone()).await.unwrap();
    assert_eq!(result.token_type, TokenType::Pop);

    request.token.scheme = AuthenticationScheme::Dpop(None);
    let error = client.acquire_token_silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let mut prompted = fixtures::interactive(ANY);
    prompted.prompt = Some(Prompt::Login);
    let error = client
        .acquire_token_interactive(prompted)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let status = client.status().await.unwrap();
    assert_eq!(status.form, "foreign");
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn errors_cross_the_microsoft_contract_as_their_status_says() {
    let served = Served::new().await;
    let client = MicrosoftBroker::new(served.bus.address());
    for row in TABLE {
        let request = silent(&format!("{FAILING}{}", row.name));
        let error = client.acquire_token_silent(request).await.unwrap_err();
        let expected = ErrorKind::from_runtime_status(i64::from(row.runtime_status));
        assert_eq!(error.kind(), expected, "{}", row.name);
        assert!(error.message().contains(row.name), "{error}");
    }
}

#[tokio::test]
async fn an_answer_for_somebody_else_is_refused() {
    let served = Served::new().await;
    let client = MicrosoftBroker::new(served.bus.address());
    let mut request = fixtures::interactive(&format!("{FAILING}AccountSwitch"));
    request.login_hint = None;
    let error = client.acquire_token_interactive(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccountSwitch);

    // A broker that mixes its accounts up.
    let bob = AccountInfo {
        home_account_id: HomeAccountId::new("33333333-3333-3333-3333-333333333333", UTID),
        username: "bob@dev.test".to_owned(),
        ..alice()
    };
    *served.broker.answers_as.lock().unwrap() = Some(bob);
    for selector in [
        AccountSelector::Home(alice().home_account_id),
        AccountSelector::Username(alice().username),
        AccountSelector::Only,
    ] {
        let mut request = silent(ANY);
        request.account = selector;
        let error = client.acquire_token_silent(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccountSwitch, "{error}");
    }

    let mut request = silent(ANY);
    request.account = AccountSelector::Username("nobody@dev.test".to_owned());
    let error = client.acquire_token_silent(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
}

#[tokio::test]
async fn dropping_an_interactive_request_cancels_it_at_a_foreign_broker() {
    let served = Served::new().await;
    let client = MicrosoftBroker::new(served.bus.address());
    let waiting = tokio::spawn(async move {
        let request = fixtures::interactive(ENDLESS);
        let outcome = client.acquire_token_interactive(request).await;
        drop(client);
        outcome
    });
    served.broker.wait_running(1).await;
    waiting.abort();
    served.broker.wait_cancelled(1).await;
}

#[tokio::test]
async fn names_of_others_are_left_to_them() {
    let served = Served::new().await;
    assert_eq!(served.names.microsoft, Ownership::Ours);
    assert_eq!(served.names.keyward, Ownership::Ours);
    let second = Arc::new(FakeBroker::default());
    let (names, _second) = serve(&served.bus, second, Limits::default()).await;
    let Ownership::Theirs(Some(owner)) = &names.microsoft else {
        panic!("{names:?}");
    };
    assert_eq!(owner.pid, Some(std::process::id()));
    assert_eq!(owner.uid, Some(own_uid()));
    // The first one goes on.
    let client = served.client().await;
    let reply = client.call("acquireTokenSilently", &request(ANY)).await;
    assert!(reply.get("error").is_none());
    assert_eq!(served.broker.silent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_faces_end_with_their_bus() {
    let mut served = Served::new().await;
    served.bus.stop();
    (&mut served.serving).await.unwrap();
}
