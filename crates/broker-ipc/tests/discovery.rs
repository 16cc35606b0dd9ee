//! Which broker is found, and what doctor sees.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;

use std::sync::Arc;

use fixtures::bus::TestBus;
use fixtures::{FakeBroker, Socket, private_folder, silent};
use futures_util::StreamExt as _;
use keyward_broker_ipc::diagnostics::{self, Secrets};
use keyward_broker_ipc::discovery::{self, Kind, Options};
use keyward_broker_ipc::faces::Faces;
use keyward_broker_ipc::names;
use keyward_broker_ipc::server::Limits;
use keyward_client::error::ErrorKind;
use tokio::sync::oneshot;
use zbus::message::Type;
use zbus::{Connection, MessageStream, Variant};

const ANY: &str = "https://idp.example/tenant";

/// Serves both names until the test ends.
async fn serve(bus: &TestBus) {
    let faces = Faces::join(&bus.address()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let broker = Arc::new(FakeBroker::default());
    tokio::spawn(faces.serve(broker, Limits::default(), |_| tell.send(()).unwrap()));
    told.await.unwrap();
}

/// Somebody else who owns a name and answers every call in the same way.
async fn own<B>(bus: &TestBus, name: &'static str, reply: B) -> Connection
where
    B: serde::Serialize + zbus::DynamicType + Send + Sync + 'static,
{
    let builder = zbus::connection::Builder::address(bus.address.as_str());
    let connection = builder.build().await.unwrap();
    let mut calls = MessageStream::from(&connection);
    let replying = connection.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = calls.next().await {
            if message.message_type() == Type::MethodCall {
                replying.reply(&message.header(), &reply).await.unwrap();
            }
        }
    });
    let arguments = (name, 0_u32);
    let daemon = "org.freedesktop.DBus";
    connection
        .call_method(
            Some(daemon),
            "/org/freedesktop/DBus",
            Some(daemon),
            "RequestName",
            &arguments,
        )
        .await
        .unwrap();
    connection
}

#[tokio::test]
async fn the_socket_is_the_first_choice() {
    let socket = Socket::new(Limits::default());
    let bus = TestBus::start();
    serve(&bus).await;
    let options = Options {
        socket: Some(socket.path()),
        bus: Some(bus.address()),
        ..Options::default()
    };
    let connected = discovery::connect(&options).await.unwrap();
    assert_eq!(connected.kind, Kind::Socket);
    connected
        .broker
        .acquire_token_silent(silent(ANY))
        .await
        .unwrap();
    assert_eq!(socket.broker.silent.lock().unwrap().len(), 1);
    let availability = discovery::availability(&options).await;
    assert_eq!(availability.kind, Some(Kind::Socket));
}

#[tokio::test]
async fn our_name_on_the_bus_is_the_second() {
    let bus = TestBus::start();
    serve(&bus).await;
    let folder = private_folder();
    let options = Options {
        socket: Some(folder.path().join("none")),
        bus: Some(bus.address()),
        ..Options::default()
    };
    let connected = discovery::connect(&options).await.unwrap();
    assert_eq!(connected.kind, Kind::KeywardBus);
    connected
        .broker
        .acquire_token_silent(silent(ANY))
        .await
        .unwrap();
}

#[tokio::test]
async fn microsofts_name_is_the_last_whoever_owns_it() {
    let bus = TestBus::start();
    let options = Options {
        bus: Some(bus.address()),
        ..Options::default()
    };
    let _owner = own(&bus, names::microsoft::BUS_NAME, ()).await;
    let connected = discovery::connect(&options).await.unwrap();
    assert_eq!(connected.kind, Kind::Microsoft);
}

#[tokio::test]
async fn without_a_broker_the_reason_names_every_place() {
    let bus = TestBus::start();
    let folder = private_folder();
    let options = Options {
        socket: Some(folder.path().join("none")),
        bus: Some(bus.address()),
        ..Options::default()
    };
    let availability = discovery::availability(&options).await;
    assert_eq!(availability.kind, None);
    for place in [
        "none",
        names::keyward::BUS_NAME,
        names::microsoft::BUS_NAME,
        "keyward-session",
    ] {
        assert!(
            availability.reason.contains(place),
            "{}",
            availability.reason
        );
    }
    let nowhere = discovery::connect(&Options::default()).await;
    let error = nowhere.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BrokerUnavailable);
}

#[tokio::test]
async fn a_broker_that_fails_is_not_passed_over() {
    use std::os::unix::fs::PermissionsExt as _;

    let socket = Socket::new(Limits::default());
    let folder = socket.path().parent().unwrap().to_owned();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bus = TestBus::start();
    serve(&bus).await;
    let options = Options {
        socket: Some(socket.path()),
        bus: Some(bus.address()),
        ..Options::default()
    };
    let error = discovery::connect(&options).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
}

#[tokio::test]
async fn a_broker_of_the_system_form_that_does_not_run_is_not_passed_over() {
    let bus = TestBus::start();
    serve(&bus).await;
    let folder = private_folder();
    let options = Options {
        socket: Some(folder.path().join("none")),
        decided: true,
        bus: Some(bus.address()),
        ..Options::default()
    };
    let error = discovery::connect(&options).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BrokerUnavailable);
    assert!(error.message().contains("none"), "{error}");
}

#[tokio::test]
async fn doctor_sees_who_owns_the_names() {
    let bus = TestBus::start();
    let report = diagnostics::inspect(&bus.address()).await.unwrap();
    assert_eq!(report.microsoft.owner, None);
    assert!(!report.microsoft.activatable);
    assert_eq!(report.secrets, Secrets::Missing);

    let _owner = own(&bus, names::microsoft::BUS_NAME, ()).await;
    let _secrets = own(&bus, "org.freedesktop.secrets", Variant::Bool(true)).await;
    serve(&bus).await;
    let report = diagnostics::inspect(&bus.address()).await.unwrap();
    let owner = report.microsoft.owner.unwrap();
    assert_eq!(owner.pid, Some(std::process::id()));
    assert!(report.microsoft.ping.is_some());
    assert_eq!(report.secrets, Secrets::Locked);
    // The other name is ours all the same.
    assert!(report.keyward.ping.is_some());

    let activatable = TestBus::with_services(&[(names::keyward::BUS_NAME, "/bin/false")]);
    let report = diagnostics::inspect(&activatable.address()).await.unwrap();
    assert!(report.keyward.activatable);
    assert_eq!(report.keyward.owner, None);
}
