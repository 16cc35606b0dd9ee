//! Listening, stopping, starting again; requests that are no business of ours.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use keyward_dev_authority::{Authority, Endpoint, Fault, FaultRule};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{App, SCOPE, alice, authority};
use crate::browser::http;

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0", "::", "127.0.0.2", "10.0.0.1", "::ffff:127.0.0.1"] {
        let builder = Authority::builder().address(address.parse().unwrap());
        let Err(error) = builder.start().await else {
            panic!("listens on {address}")
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let running = Authority::builder()
        .address("127.0.0.1".parse().unwrap())
        .start()
        .await
        .unwrap();
    assert!(running.http().starts_with("http://127.0.0.1:") && !running.http().ends_with('/'));
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let running = authority().await;
    for (host, status) in [
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("localhost.evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("127.0.0.1.nip.io", StatusCode::MISDIRECTED_REQUEST),
        ("localhost", StatusCode::OK),
    ] {
        let request = http()
            .get(format!("{}/", running.http()))
            .header("Host", host);
        assert_eq!(request.send().await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_there_is_refused() {
    let running = authority().await;
    let app = App::oidc(&running);
    let large = app
        .http
        .post(format!("{}/token", app.base))
        .body("x".repeat(65 * 1024));
    assert_eq!(
        large.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let status = |method: Method, path: &str| {
        let request = http().request(method, format!("{}{path}", running.http()));
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(status(Method::GET, "/nowhere").await, StatusCode::NOT_FOUND);
    assert_eq!(
        status(Method::GET, "/oidc/token").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        status(Method::DELETE, "/oidc/authorize").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        status(Method::PATCH, "/api/me").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(status(Method::HEAD, "/oidc/jwks").await, StatusCode::OK);
    assert_eq!(status(Method::GET, "/").await, StatusCode::OK);
}

#[tokio::test]
async fn nonsense_on_the_wire_breaks_nothing() {
    let running = authority().await;
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a".repeat(100_000)
    );
    for nonsense in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /oidc/authorize?%=%&%zz=%f0%9f HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /oidc/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nshort",
        &long,
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", running.port()))
            .await
            .unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{nonsense:?}");
    }
    App::oidc(&running).sign_in(&alice(), SCOPE).await;
}

#[tokio::test]
async fn a_restart_keeps_port_keys_and_tokens() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    let origin = running.http().to_owned();

    let stopped = running.shutdown().await;
    assert!(app.http.get(format!("{origin}/")).send().await.is_err());
    let running = stopped.start().await.unwrap();

    assert_eq!(running.http(), origin);
    let next = app.refresh(tokens.text("refresh_token"), &[]).await.ok();
    let me = app
        .http
        .get(format!("{origin}/api/me"))
        .bearer_auth(tokens.text("access_token"));
    assert_eq!(me.send().await.unwrap().status(), StatusCode::OK);
    app.refresh(next.text("refresh_token"), &[]).await.ok();
}

#[tokio::test]
async fn stopping_does_not_wait_for_scripted_delays() {
    let running = authority().await;
    let slow = FaultRule::once(Endpoint::Token, Fault::Slow { ms: 600_000 });
    running.fault(slow).unwrap();
    let app = App::oidc(&running);
    let stalled = tokio::spawn(app.http.post(format!("{}/token", app.base)).send());
    while !running.faults().is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    running.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(stalled.await.unwrap().is_err());
}
