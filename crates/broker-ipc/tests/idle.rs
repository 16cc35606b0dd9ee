//! A broker that ends when nobody asks, while somebody asks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::agent::{FakeAgent, Person};
use fixtures::{FakeBroker, Socket, device, private_folder};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_broker_ipc::server::{self, Ended, Idle, Limits, Terms};
use keyward_client::manage::{ManageAnswer, ManageRequest};
use keyward_client::ports::TokenBroker as _;
use tokio::task::JoinHandle;

/// How long nobody may ask.
const AFTER: Duration = Duration::from_millis(3);

/// A service manager: it listens, and lets one broker after the other serve.
struct Manager {
    listener: UnixListener,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = private_folder();
        let path = folder.path().join("broker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, folder }
    }

    fn client(&self) -> SocketBroker {
        SocketBroker::new(SocketOptions::new(self.path()))
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("broker.sock")
    }

    /// One broker, until nobody asks it any more.
    fn broker(&self) -> JoinHandle<Ended> {
        let listener = self.listener.try_clone().unwrap();
        tokio::spawn(serve_until_idle(listener, true))
    }
}

async fn serve_until_idle(listener: UnixListener, socket_stays: bool) -> Ended {
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    let terms = Terms {
        idle: Some(Idle {
            after: AFTER,
            socket_stays,
        }),
        ..Terms::default()
    };
    let broker = Arc::new(FakeBroker::default());
    let never = std::future::pending::<()>();
    server::serve_with(listener, broker, terms, never)
        .await
        .unwrap()
}

#[tokio::test]
async fn nobody_who_asks_while_a_broker_ends_is_forgotten() {
    const ROUNDS: u32 = 150;
    let manager = Manager::new();
    // This request is made once and not again: whatever became of it would show.
    let asking = (0..4).map(|number| {
        let client = manager.client();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                // Each pause ends a little nearer to the moment in which a broker ends.
                let pause = AFTER + Duration::from_micros(u64::from(round * 19 + number * 1500));
                tokio::time::sleep(pause).await;
                let answer = client.manage(ManageRequest::Device).await;
                assert_eq!(answer.unwrap(), ManageAnswer::Device(device()));
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    let all = async {
        for asks in asking {
            asks.await.unwrap();
        }
    };
    let mut all = std::pin::pin!(all);
    let mut brokers = 0;
    loop {
        let broker = manager.broker();
        brokers += 1;
        tokio::select! {
            ended = broker => assert_eq!(ended.unwrap(), Ended::Idle),
            () = &mut all => break,
        }
    }
    assert!(brokers > 10, "{brokers} brokers had their end");
}

#[tokio::test]
async fn a_request_that_is_worked_on_is_no_idleness() {
    let manager = Manager::new();
    let broker = manager.broker();
    let client = manager.client();
    let endless = tokio::spawn(async move {
        let request = fixtures::silent(fixtures::ENDLESS);
        client.acquire_token_silent(request).await
    });
    let started = Instant::now();
    let ended = tokio::time::timeout(AFTER * 40, broker).await;
    assert!(ended.is_err() && started.elapsed() >= AFTER * 40);
    endless.abort();
}

#[tokio::test]
async fn a_socket_of_ones_own_refuses_callers_from_the_moment_it_ends() {
    let folder = private_folder();
    let path = folder.path().join("broker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    // Somebody else has it open as well, so that closing it alone would not do.
    let _other = listener.try_clone().unwrap();
    assert_eq!(serve_until_idle(listener, false).await, Ended::Idle);
    assert!(refuses(&path));
}

fn refuses(path: &Path) -> bool {
    let error = std::os::unix::net::UnixStream::connect(path).err();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn a_user_agent_that_comes_a_moment_after_the_broker_is_not_missed() {
    let socket = Socket::new(Limits::default());
    let asking = tokio::spawn({
        let client = socket.client();
        async move {
            let request = fixtures::interactive("https://idp.example");
            client.acquire_token_interactive(request).await
        }
    });
    socket.broker.wait_running(1).await;
    let agent = FakeAgent::new(Person::SignsIn);
    let session = socket.client_with(agent, AgentScope::Everyone);
    session.connect().await.unwrap();
    asking.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lock_tells_a_broker_that_runs_from_a_socket_that_would_start_one() {
    use rustix::fs::{FlockOperation, flock};
    let manager = Manager::new();
    let client = manager.client();
    let lock = std::fs::File::create(keyward_broker_ipc::lock_of(&manager.path())).unwrap();
    assert!(!client.is_running().await);
    // Nobody has knocked.
    assert!(manager.listener.accept().is_err());
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    assert!(client.is_running().await);
}
