//! Which broker is used, with real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../broker-ipc/tests/fixtures/mod.rs"]
mod fixtures;

use fixtures::Socket;
use keyward::{AcquireTokenError, Configuration, Environment, ErrorKind};
use keyward::{NativeBrokerPlugin, PublicClientApplication, SilentFlowRequest, WhichBroker};
use keyward_broker_ipc::server::Limits;

fn application(plugin: &NativeBrokerPlugin) -> PublicClientApplication {
    let config = Configuration::builder("client-1").native_broker_plugin(plugin.clone());
    PublicClientApplication::new(config.build()).unwrap()
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, AcquireTokenError>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn the_broker_at_the_socket_is_decided_on_and_kept() {
    let mut socket = Socket::new(Limits::default());
    let environment = Environment::empty().with_variable("KEYWARD_SOCKET", socket.path());
    let plugin = NativeBrokerPlugin::in_environment(environment);
    let availability = plugin.is_broker_available().await;
    assert!(availability.available, "{}", availability.reason);
    assert_eq!(availability.which, Some(WhichBroker::Socket(socket.path())));

    let pca = application(&plugin);
    assert_eq!(pca.accounts().await.unwrap().len(), 1);

    // It fails: that is an error, and the decision stands.
    socket.stop().await;
    let failed = pca.acquire_token_silent(SilentFlowRequest::default()).await;
    assert_eq!(kind_of(failed), ErrorKind::BrokerUnavailable);
    assert!(plugin.is_broker_available().await.available);

    // It comes back: so do answers.
    socket.start_again();
    assert_eq!(pca.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn absence_is_no_decision() {
    let mut socket = Socket::new(Limits::default());
    socket.stop().await;
    let plugin = NativeBrokerPlugin::at_socket(socket.path());
    let availability = plugin.is_broker_available().await;
    assert!(!availability.available);
    assert_eq!(availability.which, None);
    let path = socket.path();
    assert!(
        availability.reason.contains(path.to_str().unwrap()),
        "{}",
        availability.reason
    );
    let request = SilentFlowRequest::default();
    let failed = application(&plugin).acquire_token_silent(request).await;
    assert_eq!(kind_of(failed), ErrorKind::BrokerUnavailable);

    socket.start_again();
    assert!(plugin.is_broker_available().await.available);
}

#[tokio::test]
async fn a_socket_that_cannot_be_one_is_a_configuration_error() {
    let environment = Environment::empty().with_variable("KEYWARD_SOCKET", "broker.sock");
    let plugin = NativeBrokerPlugin::in_environment(environment);
    let failed = application(&plugin).accounts().await;
    assert_eq!(kind_of(failed), ErrorKind::IncorrectConfiguration);
}

#[tokio::test]
async fn without_anything_the_reason_says_what_to_do() {
    let plugin = NativeBrokerPlugin::in_environment(Environment::empty());
    let availability = plugin.is_broker_available().await;
    assert!(!availability.available);
    assert!(
        availability.reason.contains("keyward-session"),
        "{}",
        availability.reason
    );
}
