//! What a hostile program of the same user can do to the broker's socket: cost it little.
//!
//! One test, because it measures the memory of the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;

use fixtures::{ENDLESS, Socket, own_uid, silent};
use keyward_broker_ipc::names::keyward;
use keyward_broker_ipc::server::Limits;
use keyward_client::ports::TokenBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zbus::message::Message;

const ANY: &str = "https://idp.example/tenant";
const MIB: u64 = 1024 * 1024;

/// A connection that writes whatever it likes.
struct Raw(UnixStream);

impl Raw {
    async fn connect(socket: &Socket) -> Self {
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        let digits: Vec<_> = own_uid().to_string().bytes().collect();
        let id = digits
            .iter()
            .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        let hello = format!("\0AUTH EXTERNAL {id}\r\n");
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut answer = [0; 37];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"OK "));
        stream.write_all(b"BEGIN\r\n").await.unwrap();
        Self(stream)
    }

    /// The next message that comes in, as text with everything unprintable left out.
    async fn answer(&mut self) -> String {
        let mut start = [0; 16];
        self.0.read_exact(&mut start).await.unwrap();
        let number = |at: usize| {
            usize::try_from(u32::from_le_bytes(start[at..at + 4].try_into().unwrap())).unwrap()
        };
        let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
        self.0.read_exact(&mut rest).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Waits until the other end closes.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

fn call(member: &'static str, interface: &'static str) -> Vec<u8> {
    Message::method_call(keyward::PATH, member)
        .interface(interface)
        .build(&())
        .unwrap()
        .data()
        .to_vec()
}

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test]
async fn a_hostile_program_costs_little_and_harms_nobody_else() {
    let limits = Limits {
        connections: 40,
        ..Limits::default()
    };
    let socket = Socket::new(limits);
    let honest = socket.client();
    honest.acquire_token_silent(silent(ANY)).await.unwrap();
    let before = peak();

    a_message_of_100_mib(&socket).await;
    honest.acquire_token_silent(silent(ANY)).await.unwrap();
    garbage(&socket).await;
    honest.acquire_token_silent(silent(ANY)).await.unwrap();
    answers_that_are_never_read(&socket).await;
    honest.acquire_token_silent(silent(ANY)).await.unwrap();
    connections_that_say_nothing(&socket).await;
    honest.acquire_token_silent(silent(ANY)).await.unwrap();

    let grown = (peak() - before) / MIB;
    assert!(grown < 16, "{grown} MiB");
}

async fn a_message_of_100_mib(socket: &Socket) {
    let mut raw = Raw::connect(socket).await;
    let mut start = call("AcquireTokenSilent", keyward::INTERFACE);
    let size = 100 * 1024 * 1024_u32;
    start[4..8].copy_from_slice(&size.to_le_bytes());
    raw.0.write_all(&start).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        raw.0.write_all(&piece).await.unwrap();
    }
    let answer = raw.answer().await;
    assert!(
        answer.contains("dev.keyward.Error.InvalidRequest"),
        "{answer}"
    );
    assert!(answer.contains("larger than 1 MiB"), "{answer}");
    // The connection goes on.
    raw.0
        .write_all(&call("Version", keyward::INTERFACE))
        .await
        .unwrap();
    let answer = raw.answer().await;
    assert!(answer.contains(env!("CARGO_PKG_VERSION")), "{answer}");
}

async fn garbage(socket: &Socket) {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        b"l\x01\x00\x01\xff\xff\xff\xff\x01\0\0\0\xff\xff\xff\xff",
    ] {
        let mut raw = Raw::connect(socket).await;
        raw.0.write_all(garbage).await.unwrap();
        raw.closed().await;
    }
}

async fn answers_that_are_never_read(socket: &Socket) {
    let mut raw = Raw::connect(socket).await;
    let mut flood = Vec::new();
    for _ in 0..1000 {
        flood.extend(call("Introspect", "org.freedesktop.DBus.Introspectable"));
    }
    // Written until nothing more is taken: the server stops reading, and keeps what it has.
    loop {
        let writing = raw.0.write_all(&flood);
        let stalled = tokio::time::timeout(std::time::Duration::from_millis(500), writing).await;
        if stalled.is_err() {
            break;
        }
    }
    let client = socket.client();
    let waiting = tokio::spawn(async move { client.acquire_token_silent(silent(ENDLESS)).await });
    socket.broker.wait_running(1).await;
    waiting.abort();
    socket.broker.wait_running(0).await;
}

async fn connections_that_say_nothing(socket: &Socket) {
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(UnixStream::connect(socket.path()).await.unwrap());
    }
    // Beyond the limit they are closed at once.
    let mut refused = idle.pop().unwrap();
    let mut rest = Vec::new();
    assert_eq!(refused.read_to_end(&mut rest).await.unwrap(), 0);
}
