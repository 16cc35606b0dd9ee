//! The typed interface over the socket: our proxy against our server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fixtures::agent::{FakeAgent, Person};
use fixtures::{
    ASKING, ENDLESS, FAILING, PANIC, Socket, UID, UTID, alice, device, interactive, own_uid, silent,
};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::program::Program;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions, Starter};
use keyward_broker_ipc::secret_service::{Secret, SecretStore, SecretStoreError};
use keyward_broker_ipc::server::Limits;
use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::account::AccountSelector;
use keyward_client::error::{AcquireTokenError, ErrorKind, TABLE};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_client::oauth::question::Question;
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::{SignOutRequest, TokenBroker};
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, DpopProofRequest, ParentWindow, PopParameters, Prompt,
    ResourceRequest,
};
use keyward_client::result::TokenType;
use tokio::sync::{Notify, watch};

const ANY: &str = "https://idp.example/tenant";

#[tokio::test]
async fn a_silent_request_arrives_and_is_answered_whole() {
    let socket = Socket::new(Limits::default());
    let mut request = silent(ANY);
    request.account = AccountSelector::Home(HomeAccountId::new(UID, UTID));
    request.cache = CachePolicy::Renew(AccessToken::new("old".to_owned()));
    request.token.claims = Some("{}".to_owned());
    request.token.redirect_uri = Some("http://localhost".to_owned());
    request.token.scheme = AuthenticationScheme::Pop(PopParameters {
        method: "GET".to_owned(),
        host: "api.example".to_owned(),
        path: "/me".to_owned(),
        nonce: Some("n".to_owned()),
        client_claims: Some("c".to_owned()),
    });
    let result = socket
        .client()
        .acquire_token_silent(request.clone())
        .await
        .unwrap();

    assert_eq!(result.access_token.expose_secret(), "access-token-1");
    assert_eq!(result.token_type, TokenType::Pop);
    assert_eq!(result.scopes, request.token.scopes);
    assert_eq!(result.account, alice());
    assert_eq!(result.expires_on.as_secs(), 4_000_000_000);
    assert_eq!(result.ext_expires_on.unwrap().as_secs(), 4_000_003_600);
    assert_eq!(result.correlation_id, request.token.correlation_id);
    assert!(result.id_token.is_some());

    let arrived = socket.broker.silent.lock().unwrap().pop().unwrap();
    assert_eq!(
        format!("{:?}", arrived.token),
        format!("{:?}", request.token)
    );
    assert_eq!(arrived.account, request.account);
    let CachePolicy::Renew(token) = &arrived.cache else {
        panic!("{:?}", arrived.cache);
    };
    assert_eq!(token.expose_secret(), "old");
    let caller = socket.broker.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.pid, Some(std::process::id()));
    assert_eq!(caller.via, Via::Socket);
}

#[tokio::test]
async fn an_interactive_request_is_shown_by_the_callers_own_agent() {
    let socket = Socket::new(Limits::default());
    let everyones = FakeAgent::new(Person::SaysNo);
    let bystander = SocketBroker::new(
        socket
            .options()
            .with_agent(everyones.clone(), AgentScope::Everyone),
    );
    bystander.connect().await.unwrap();
    let own = FakeAgent::new(Person::SignsIn);
    let client = SocketBroker::new(
        socket
            .options()
            .with_agent(own.clone(), AgentScope::OwnRequests),
    );
    let mut request = interactive(ANY);
    request.prompt = Some(Prompt::SelectAccount);
    request.window = ParentWindow::Portal("wayland:x".to_owned());
    request.deadline = Some(Duration::from_millis(1234));
    request.token.scheme = AuthenticationScheme::Dpop(Some(ResourceRequest {
        method: "GET".to_owned(),
        uri: "https://api.example/me".to_owned(),
        nonce: None,
    }));
    let result = client
        .acquire_token_interactive(request.clone())
        .await
        .unwrap();
    assert_eq!(result.token_type, TokenType::Dpop);

    let arrived = socket.broker.interactive.lock().unwrap().pop().unwrap();
    assert_eq!(format!("{arrived:?}"), format!("{request:?}"));
    let shown = own.shown.lock().unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].0.login_hint.as_deref(), Some("alice@dev.test"));
    assert!(everyones.shown.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_broker_holds_can_be_asked_for() {
    let socket = Socket::new(Limits::default());
    let answer = socket.client().manage(ManageRequest::Device).await.unwrap();
    assert_eq!(answer, ManageAnswer::Device(device()));
    let caller = socket.broker.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.via, Via::Socket);
}

#[tokio::test]
async fn secrets_are_kept_by_the_process_that_offered_to() {
    let socket = Socket::new(Limits::default());
    let agent = FakeAgent::new(Person::SignsIn);
    let plain = socket
        .options()
        .with_agent(agent.clone(), AgentScope::Everyone);
    SocketBroker::new(plain).connect().await.unwrap();
    assert!(socket.broker.secrets.lock().unwrap().is_none());

    let kept = Arc::new(KeptSecrets::default());
    let keeps = socket
        .options()
        .with_agent(agent, AgentScope::Everyone)
        .with_secrets(kept.clone());
    let session = SocketBroker::new(keeps);
    session.connect().await.unwrap();
    let secrets = socket.broker.secrets.lock().unwrap().clone().unwrap();
    assert_eq!(secrets.read("one").await.unwrap(), None);
    secrets.write("one", &[0, 255]).await.unwrap();
    assert_eq!(*secrets.read("one").await.unwrap().unwrap(), [0, 255]);
    assert_eq!(kept.0.lock().unwrap()["one"], [0, 255]);

    let error = secrets.write("locked", b"x").await.unwrap_err();
    assert_eq!(error, SecretStoreError("the keyring is locked".to_owned()));
    drop(session);
    let error = wait_for_error(&*secrets).await;
    assert!(error.to_string().contains("went away"), "{error}");
}

/// Secrets of a keyring in which one name is locked.
#[derive(Default)]
struct KeptSecrets(Mutex<HashMap<String, Vec<u8>>>);

#[async_trait]
impl SecretStore for KeptSecrets {
    async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        Ok(self.0.lock().unwrap().get(name).cloned().map(Secret::new))
    }

    async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError> {
        if name == "locked" {
            return Err(SecretStoreError("the keyring is locked".to_owned()));
        }
        let mut kept = self.0.lock().unwrap();
        kept.insert(name.to_owned(), secret.to_vec());
        Ok(())
    }
}

/// Until the other end has noticed that the connection is closed.
async fn wait_for_error(secrets: &dyn SecretStore) -> SecretStoreError {
    loop {
        match secrets.read("one").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn an_own_agent_with_nothing_to_show_gives_way_to_one_for_everyone() {
    let socket = Socket::new(Limits::default());
    let own = FakeAgent::new(Person::HasNoDisplay);
    let options = socket.options();
    let client = SocketBroker::new(options.with_agent(own.clone(), AgentScope::OwnRequests));
    let error = client.acquire_token_interactive(interactive(ANY)).await;
    let error = error.unwrap_err();
    assert!(error.message().contains("there is no display"), "{error}");

    let everyones = FakeAgent::new(Person::SignsIn);
    let options = socket.options();
    let session = SocketBroker::new(options.with_agent(everyones.clone(), AgentScope::Everyone));
    session.connect().await.unwrap();
    client
        .acquire_token_interactive(interactive(ANY))
        .await
        .unwrap();
    assert_eq!(own.shown.lock().unwrap().len(), 2);
    let shown = everyones.shown.lock().unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].0.login_hint.as_deref(), Some("alice@dev.test"));
}

#[tokio::test]
async fn without_an_own_agent_the_newest_one_for_everyone_shows_it() {
    let socket = Socket::new(Limits::default());
    let client = socket.client();
    let error = client
        .acquire_token_interactive(interactive(ANY))
        .await
        .unwrap_err();
    assert!(
        error.message().contains("no user agent is connected"),
        "{error}"
    );

    let mut agents = Vec::new();
    for person in [Person::SaysNo, Person::SignsIn] {
        let agent = FakeAgent::new(person);
        let options = socket.options().with_agent(agent, AgentScope::Everyone);
        let broker = SocketBroker::new(options);
        broker.connect().await.unwrap();
        agents.push(broker);
    }
    client
        .acquire_token_interactive(interactive(ANY))
        .await
        .unwrap();

    // When the newest one leaves, the one before it is asked again.
    let newest = agents.pop().unwrap();
    drop(newest);
    let mut kind = None;
    while kind != Some(ErrorKind::UserCanceled) {
        let outcome = client.acquire_token_interactive(interactive(ANY)).await;
        kind = outcome.err().map(|error| error.kind());
    }
}

#[tokio::test]
async fn what_an_agent_says_arrives() {
    let socket = Socket::new(Limits::default());
    for (person, kind, text) in [
        (Person::SaysNo, ErrorKind::UserCanceled, "said no"),
        (
            Person::HasNoDisplay,
            ErrorKind::IncorrectConfiguration,
            "there is no display",
        ),
    ] {
        let options = socket
            .options()
            .with_agent(FakeAgent::new(person), AgentScope::OwnRequests);
        let error = SocketBroker::new(options)
            .acquire_token_interactive(interactive(ANY))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test]
async fn dropping_a_request_cancels_it_and_closes_its_window() {
    let socket = Socket::new(Limits::default());
    let agent = FakeAgent::new(Person::NeverComes);
    let options = socket
        .options()
        .with_agent(agent.clone(), AgentScope::OwnRequests);
    let client = SocketBroker::new(options);
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.acquire_token_interactive(interactive(ANY)).await })
    };
    agent.wait_showing(1).await;
    waiting.abort();
    socket.broker.wait_cancelled(1).await;
    agent.wait_open(0).await;
    // The connection goes on.
    client.acquire_token_silent(silent(ANY)).await.unwrap();
}

#[tokio::test]
async fn closing_the_connection_cancels_everything_on_it() {
    let socket = Socket::new(Limits::default());
    let other = socket.client();
    let others = tokio::spawn(async move { other.acquire_token_silent(silent(ENDLESS)).await });
    socket.broker.wait_running(1).await;
    let client = socket.client();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = client.clone();
        calls.spawn(async move { client.acquire_token_silent(silent(ENDLESS)).await });
    }
    socket.broker.wait_running(4).await;
    // Without a runtime no cancellation can be sent: what is left is the closed connection.
    calls.shutdown().await;
    drop(client);
    socket.broker.wait_cancelled(3).await;
    socket.broker.wait_running(1).await;
    others.abort();
}

#[tokio::test]
async fn every_kind_of_error_arrives_whole() {
    let socket = Socket::new(Limits::default());
    let client = socket.client();
    for row in TABLE {
        let request = silent(&format!("{FAILING}{}", row.name));
        let error = client.acquire_token_silent(request).await.unwrap_err();
        let sent = fixtures::failure(row.kind);
        assert_eq!(error.kind(), row.kind);
        assert_eq!(error.message(), sent.message());
        assert_eq!(error.claims(), sent.claims());
        assert_eq!(error.retry_after(), sent.retry_after());
        assert_eq!(error.authority(), sent.authority());
    }
}

#[tokio::test]
async fn the_other_requests_work_too() {
    let socket = Socket::new(Limits::default());
    let client = socket.client();
    let client_id = ClientId::parse("c").unwrap();
    assert_eq!(client.accounts(&client_id).await.unwrap(), [alice()]);
    let status = client.status().await.unwrap();
    assert_eq!(status.problems, ["one", "two"]);
    assert_eq!(status.accounts[0].account, alice());
    let proof = client
        .dpop_proof(DpopProofRequest {
            client_id: client_id.clone(),
            access_token: AccessToken::new("at".to_owned()),
            resource: ResourceRequest {
                method: "GET".to_owned(),
                uri: "https://api.example".to_owned(),
                nonce: Some("n".to_owned()),
            },
        })
        .await
        .unwrap();
    assert_eq!(
        proof,
        "proof for GET https://api.example Some(\"n\") with at"
    );
    let request = SignOutRequest {
        client_id: client_id.clone(),
        account: alice().home_account_id,
        correlation_id: CorrelationId::from_random([0; 16]),
    };
    client.sign_out(request).await.unwrap();
    assert!(client.accounts(&client_id).await.unwrap().is_empty());
    assert!(client.status().await.unwrap().accounts.is_empty());
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let socket = Socket::new(Limits::default());
    let client = socket.client();
    let error = client
        .acquire_token_silent(silent(PANIC))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    client.acquire_token_silent(silent(ANY)).await.unwrap();
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_the_rest_goes_on() {
    let limits = Limits {
        per_caller: 4,
        ..Limits::default()
    };
    let socket = Socket::new(limits);
    let client = socket.client();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        calls.spawn(async move { client.acquire_token_silent(silent(ENDLESS)).await });
    }
    socket.broker.wait_running(4).await;
    for _ in 0..1000 {
        let error = client.acquire_token_silent(silent(ANY)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRequests);
    }
    // Another caller, and another name on whose behalf requests come, have a share of their own.
    socket
        .client()
        .acquire_token_silent(silent(ANY))
        .await
        .unwrap();
    let caller = on_bus(own_uid());
    client
        .on_behalf_of(&caller)
        .acquire_token_silent(silent(ANY))
        .await
        .unwrap();
    let seen = socket.broker.callers.lock().unwrap().pop().unwrap();
    assert_eq!((seen.pid, &seen.via), (caller.pid, &caller.via));
    // What it runs is the word of whoever passes it on, who is named as well.
    assert_eq!(seen.program, caller.program);
    assert_eq!(executable(&seen.forwarder.unwrap()), this_program());
    calls.shutdown().await;
    socket.broker.wait_running(0).await;
    client.acquire_token_silent(silent(ANY)).await.unwrap();
}

fn on_bus(uid: u32) -> Caller {
    let unique_name = ":1.7".to_owned();
    Caller {
        pid: Some(42),
        program: Arc::new(Program::unknown_because("nobody knows")),
        ..Caller::new(uid, None, Via::Bus { unique_name })
    }
}

fn executable(program: &Program) -> &str {
    &program.executable.as_ref().unwrap().path
}

fn this_program() -> String {
    let path = std::env::current_exe().unwrap();
    path.into_os_string().into_string().unwrap()
}

#[tokio::test]
async fn the_kernel_names_the_program_at_the_other_end_and_it_is_looked_up_once() {
    let socket = Socket::new(Limits::default());
    let client = socket.client();
    for _ in 0..2 {
        client.acquire_token_silent(silent(ANY)).await.unwrap();
    }
    let callers = socket.broker.callers.lock().unwrap();
    assert_eq!(executable(&callers[0].program), this_program());
    assert!(callers[0].program.parent.is_some());
    assert_eq!(callers[0].forwarder, None);
    assert!(Arc::ptr_eq(&callers[0].program, &callers[1].program));
}

#[tokio::test]
async fn questions_reach_the_person_and_their_answers_come_back() {
    for (person, outcome) in [
        (Person::SignsIn, None),
        (Person::SaysNo, Some(ErrorKind::UserCanceled)),
        (Person::Denies, Some(ErrorKind::Rejected)),
    ] {
        let socket = Socket::new(Limits::default());
        let agent = FakeAgent::new(person);
        let client = socket.client_with(agent.clone(), AgentScope::OwnRequests);
        let answer = client.acquire_token_interactive(interactive(ASKING)).await;
        assert_eq!(answer.err().map(|error| error.kind()), outcome);
        let asked = agent.asked.lock().unwrap();
        let Some(Question::Consent(consent)) = asked.first() else {
            panic!("{asked:?}");
        };
        assert_eq!(consent.account.as_deref(), Some("alice@dev.test"));
        assert_eq!(consent.waiting, 3);
    }
}

#[tokio::test]
async fn who_cannot_ask_leaves_it_to_whoever_asks_for_everyone() {
    let socket = Socket::new(Limits::default());
    let own = FakeAgent::new(Person::HasNoDisplay);
    let client = socket.client_with(own.clone(), AgentScope::OwnRequests);
    let nobody = client.acquire_token_interactive(interactive(ASKING)).await;
    assert!(nobody.unwrap_err().message().contains("no display"));
    let everyones = FakeAgent::new(Person::SignsIn);
    let session = socket.client_with(everyones.clone(), AgentScope::Everyone);
    session.connect().await.unwrap();
    client
        .acquire_token_interactive(interactive(ASKING))
        .await
        .unwrap();
    assert_eq!(own.asked.lock().unwrap().len(), 3);
    assert_eq!(everyones.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_question_nobody_waits_for_any_more_is_taken_away() {
    let socket = Socket::new(Limits::default());
    let agent = FakeAgent::new(Person::NeverComes);
    let client = socket.client_with(agent.clone(), AgentScope::OwnRequests);
    let asking = tokio::spawn(async move {
        client
            .acquire_token_interactive(interactive(ASKING))
            .await
            .map(drop)
    });
    agent.wait_open(1).await;
    asking.abort();
    agent.wait_open(0).await;
}

#[tokio::test]
async fn nobody_speaks_for_another_user() {
    let socket = Socket::new(Limits::default());
    let caller = on_bus(own_uid() + 1);
    let error = socket
        .client()
        .on_behalf_of(&caller)
        .acquire_token_silent(silent(ANY))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(socket.broker.callers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_broker_that_comes_back_is_used_again() {
    let mut socket = Socket::new(Limits::default());
    let client = socket.client();
    client.acquire_token_silent(silent(ANY)).await.unwrap();
    socket.stop().await;
    let error = client.acquire_token_silent(silent(ANY)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokerUnavailable);
    socket.start_again();
    client.acquire_token_silent(silent(ANY)).await.unwrap();
}

#[tokio::test]
async fn a_socket_others_could_have_put_there_is_not_used() {
    let socket = Socket::new(Limits::default());
    let folder = socket.path().parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = socket.client().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("chmod 700"), "{error}");

    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = folder.join("file");
    std::fs::write(&file, "").unwrap();
    let error = SocketBroker::new(SocketOptions::new(&file))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    let error = SocketBroker::new(SocketOptions::new(folder.join("none")))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokerUnavailable);
}

/// Starts the broker when it is told to.
struct SlowStarter {
    socket: std::sync::Mutex<Socket>,
    started: watch::Sender<usize>,
    go_on: Notify,
}

#[async_trait]
impl Starter for SlowStarter {
    async fn start(&self) -> Result<(), AcquireTokenError> {
        self.started.send_modify(|started| *started += 1);
        self.go_on.notified().await;
        self.socket.lock().unwrap().start_again();
        Ok(())
    }
}

#[tokio::test]
async fn a_broker_is_started_once_however_many_need_it_and_give_up() {
    let mut socket = Socket::new(Limits::default());
    socket.stop().await;
    let options = socket.options();
    let starter = Arc::new(SlowStarter {
        socket: std::sync::Mutex::new(socket),
        started: watch::Sender::new(0),
        go_on: Notify::new(),
    });
    let client = SocketBroker::new(options.with_starter(starter.clone()));
    let impatient = {
        let client = client.clone();
        tokio::spawn(async move { client.acquire_token_silent(silent(ANY)).await })
    };
    fixtures::wait_for(&starter.started, 1).await;
    impatient.abort();
    let both = async {
        tokio::join!(
            client.acquire_token_silent(silent(ANY)),
            client.acquire_token_silent(silent(ANY)),
        )
    };
    let (both, ()) = tokio::join!(both, async { starter.go_on.notify_one() });
    assert!(both.0.is_ok() && both.1.is_ok());
    fixtures::wait_for(&starter.started, 1).await;
}
