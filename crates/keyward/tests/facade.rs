//! The facade in front of a broker that behaves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_broker;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fake_broker::{FakeBroker, account, correlation_id};
use keyward::{AcquireTokenError, AuthenticationScheme, Configuration, ErrorKind};
use keyward::{Binding, KeyProtection, RequiredBinding};
use keyward::{InteractiveRequest, NativeBrokerPlugin, PublicClientApplication, ResourceRequest};
use keyward::{SignOutRequest, SilentFlowRequest, TokenSource, TokenType, WhichBroker};

fn application(broker: &Arc<FakeBroker>) -> PublicClientApplication {
    let plugin = NativeBrokerPlugin::with_broker(Arc::clone(broker) as _);
    let config = Configuration::builder("client-1").native_broker_plugin(plugin);
    PublicClientApplication::new(config.build()).unwrap()
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, AcquireTokenError>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn signing_in_makes_the_silent_call_succeed() {
    let pca = application(&FakeBroker::with_accounts(&[]));
    let silent = SilentFlowRequest::builder(["User.Read"]).build();

    let error = pca.acquire_token_silent(silent.clone()).await.unwrap_err();
    assert!(error.interaction_required());

    let interactive = InteractiveRequest {
        scopes: ["User.Read"].into(),
        claims: error.claims().map(str::to_owned),
        correlation_id: Some(correlation_id()),
        ..Default::default()
    };
    let signed_in = pca.acquire_token_interactive(interactive).await.unwrap();
    assert_eq!(signed_in.correlation_id, correlation_id());

    let cached = pca.acquire_token_silent(silent).await.unwrap();
    assert_eq!(cached.token_source, TokenSource::Cache);
    assert_eq!(
        cached.access_token.expose_secret(),
        signed_in.access_token.expose_secret()
    );
}

#[tokio::test]
async fn what_the_application_demands_holds_whatever_the_broker_makes_of_it() {
    let plugin = NativeBrokerPlugin::with_broker(FakeBroker::with_accounts(&["alice"]) as _);
    let application = |config: keyward::ConfigurationBuilder| {
        let config = config.native_broker_plugin(plugin.clone());
        PublicClientApplication::new(config.build()).unwrap()
    };
    let config = || Configuration::builder("client-1");
    let usual = || SilentFlowRequest::builder(["User.Read"]);
    let bound = application(config().require_binding(RequiredBinding::SenderConstrained));
    let binding = bound.acquire_token_silent(usual().build()).await;
    assert_eq!(binding.unwrap().binding, Some(Binding::Dpop));

    // The fake knows of no demands: its keys are in software.
    let in_tpm = application(config().require_key_protection(KeyProtection::Tpm));
    let weaker = usual().require_key_protection(KeyProtection::Software);
    for request in [usual(), weaker] {
        let error = in_tpm.acquire_token_silent(request.build()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
        assert!(error.message().contains("demands keys in a TPM"), "{error}");
    }
    let anything = application(config());
    let request = usual().require_key_protection(KeyProtection::Tpm);
    let error = anything.acquire_token_silent(request.build()).await;
    assert_eq!(kind_of(error), ErrorKind::IncorrectConfiguration);
}

#[tokio::test]
async fn force_refresh_brings_another_token() {
    let pca = application(&FakeBroker::with_accounts(&["alice"]));
    let usual = SilentFlowRequest::builder(["User.Read"]);
    let first = pca
        .acquire_token_silent(usual.clone().build())
        .await
        .unwrap();
    let forced = usual.force_refresh(true).build();
    let second = pca.acquire_token_silent(forced).await.unwrap();
    assert_eq!(second.token_source, TokenSource::IdentityProvider);
    assert_ne!(
        first.access_token.expose_secret(),
        second.access_token.expose_secret()
    );
}

#[tokio::test]
async fn an_answer_for_another_account_is_refused() {
    let broker = FakeBroker::with_accounts(&["alice", "bob"]);
    *broker.answers_as.lock().unwrap() = Some(account("bob"));
    let pca = application(&broker);

    let by_account = SilentFlowRequest::builder(["a"]).account(account("alice"));
    let by_name = SilentFlowRequest::builder(["a"]).login_hint("alice@dev.test");
    let interactive = InteractiveRequest::builder(["a"]).account(account("alice"));

    for result in [
        pca.acquire_token_silent(by_account.build()).await,
        pca.acquire_token_silent(by_name.build()).await,
        pca.acquire_token_interactive(interactive.build()).await,
    ] {
        assert_eq!(kind_of(result), ErrorKind::AccountSwitch);
    }
}

#[tokio::test]
async fn a_hint_is_only_a_hint_when_a_person_signs_in() {
    let broker = FakeBroker::with_accounts(&[]);
    *broker.answers_as.lock().unwrap() = Some(account("bob"));
    let request = InteractiveRequest::builder(["a"]).login_hint("alice@dev.test");
    let result = application(&broker)
        .acquire_token_interactive(request.build())
        .await
        .unwrap();
    assert_eq!(result.account, account("bob"));
}

#[tokio::test]
async fn accounts_are_found_and_signed_out() {
    let pca = application(&FakeBroker::with_accounts(&["alice", "bob"]));
    assert_eq!(pca.get_all_accounts().await.unwrap().len(), 2);
    let alice = pca.account("alice.dev").await.unwrap();
    assert_eq!(alice, Some(account("alice")));
    assert_eq!(pca.account("carol.dev").await.unwrap(), None);
    assert_eq!(
        kind_of(pca.account("no id").await),
        ErrorKind::InvalidRequest
    );

    let request = SignOutRequest {
        account: alice,
        ..Default::default()
    };
    pca.sign_out(request).await.unwrap();
    assert_eq!(pca.accounts().await.unwrap(), [account("bob")]);
    assert_eq!(
        kind_of(pca.sign_out(SignOutRequest::default()).await),
        ErrorKind::InvalidRequest
    );
}

#[tokio::test]
async fn proofs_are_made_for_one_request_each() {
    let pca = application(&FakeBroker::with_accounts(&["alice"]));
    let request = SilentFlowRequest::builder(["a"])
        .authentication_scheme(AuthenticationScheme::Dpop)
        .resource_request_method("get")
        .resource_request_uri("https://api.example.com/me?page=2")
        .build();
    let result = pca.acquire_token_silent(request).await.unwrap();
    assert_eq!(result.token_type, TokenType::Dpop);
    assert_eq!(
        result.dpop_proof.as_deref(),
        Some("GET https://api.example.com/me")
    );

    let next = ResourceRequest {
        method: "post".to_owned(),
        uri: "https://api.example.com/me?x".to_owned(),
        nonce: None,
    };
    let proof = pca.dpop_proof(&result.access_token, &next).await.unwrap();
    assert_eq!(proof, "POST https://api.example.com/me");
}

#[tokio::test]
async fn without_a_plugin_every_request_says_what_to_do() {
    let pca = PublicClientApplication::new(Configuration::builder("c").build()).unwrap();
    let errors = [
        pca.acquire_token_silent(SilentFlowRequest::default())
            .await
            .unwrap_err(),
        pca.acquire_token_interactive(InteractiveRequest::default())
            .await
            .unwrap_err(),
        pca.accounts().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        assert!(error.message().contains("native_broker_plugin"));
    }
}

#[tokio::test]
async fn a_broker_that_fails_is_an_error_and_nothing_else_is_tried() {
    let broker = FakeBroker::with_accounts(&["alice"]);
    *broker.broken.lock().unwrap() = Some(ErrorKind::BrokerUnavailable);
    let pca = application(&broker);
    let silent = pca.acquire_token_silent(SilentFlowRequest::default()).await;
    assert_eq!(kind_of(silent), ErrorKind::BrokerUnavailable);
    let interactive = InteractiveRequest::default();
    assert_eq!(
        kind_of(pca.acquire_token_interactive(interactive).await),
        ErrorKind::BrokerUnavailable
    );
}

#[tokio::test]
async fn dropping_the_future_closes_the_sign_in() {
    let broker = FakeBroker::with_accounts(&[]);
    broker.nobody_signs_in.store(true, Ordering::SeqCst);
    let pca = application(&broker);
    let sign_in = tokio::spawn(async move {
        pca.acquire_token_interactive(InteractiveRequest::default())
            .await
    });
    broker.showing.notified().await;
    sign_in.abort();
    broker.closed.notified().await;
}

#[tokio::test]
async fn a_given_broker_is_available_and_named() {
    let plugin = NativeBrokerPlugin::with_broker(FakeBroker::with_accounts(&[]));
    let availability = plugin.is_broker_available().await;
    assert!(availability.available);
    assert_eq!(availability.which, Some(WhichBroker::Given));
    assert_eq!(
        format!("{plugin:?}"),
        "NativeBrokerPlugin { which: Some(Given), .. }"
    );
}

#[test]
fn futures_may_move_between_threads() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let pca = application(&FakeBroker::with_accounts(&[]));
    drop(is_send(
        pca.acquire_token_silent(SilentFlowRequest::default()),
    ));
    drop(is_send(
        pca.acquire_token_interactive(InteractiveRequest::default()),
    ));
    drop(is_send(pca.accounts()));
    drop(is_send(pca.sign_out(SignOutRequest::default())));
    drop(is_send(NativeBrokerPlugin::new().is_broker_available()));
}

#[tokio::test]
async fn what_is_printed_for_debugging_holds_no_token() {
    let pca = application(&FakeBroker::with_accounts(&["alice"]));
    let request = SilentFlowRequest::builder(["a"]).build();
    let result = pca.acquire_token_silent(request).await.unwrap();
    let printed = format!("{result:?} {pca:?}");
    assert!(!printed.contains(result.access_token.expose_secret()));
    assert!(printed.contains("redacted"));
}
