//! One exchange over plain http on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use keyward_http::{Client, DEADLINE, LARGEST_ANSWER};
use keyward_oauth::transport::{HttpClient, HttpRequest, HttpResponse, TransportError};
use server::Server;
use url::Url;
use zeroize::Zeroizing;

fn get(url: Url) -> HttpRequest {
    HttpRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Zeroizing::default(),
    }
}

async fn get_from(server: &Server) -> Result<HttpResponse, TransportError> {
    Client::new()
        .send(get(server.url("/path?secret=in-query")))
        .await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let server =
        Server::saying("HTTP/1.1 400 Bad\r\nDPoP-Nonce: n-1\r\nContent-Length: 2\r\n\r\n{}");
    let mut headers = HeaderMap::new();
    headers.insert("dpop", HeaderValue::from_static("proof"));
    let answer = Client::new()
        .send(HttpRequest {
            method: Method::POST,
            url: server.url("/token"),
            headers,
            body: Zeroizing::new(b"grant_type=x".to_vec()),
        })
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers["dpop-nonce"], "n-1");
    assert_eq!(answer.body.as_slice(), b"{}");

    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\ngrant_type=x"), "{request}");
    assert!(request.contains("dpop: proof\r\n"), "{request}");
    let agent = format!("user-agent: keyward/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(request.contains(&agent), "{request}");
    assert!(
        !request.to_lowercase().contains("accept-encoding"),
        "{request}"
    );
}

#[tokio::test]
async fn localhost_is_this_machine() {
    let server = Server::saying("HTTP/1.1 204 No Content\r\n\r\n");
    let url = format!("http://localhost:{}/", server.address.port());
    let answer = Client::new().send(get(url.parse().unwrap())).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server =
        Server::saying("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
    let answer = get_from(&server).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(server.requests.try_iter().count(), 1);
}

#[tokio::test]
async fn a_cut_connection_is_not_tried_again() {
    let server = Server::saying("");
    let error = get_from(&server).await.unwrap_err();
    assert!(matches!(error, TransportError::Broken { .. }), "{error:?}");
    assert_eq!(server.requests.try_iter().count(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_http_or_is_cut_short_is_broken() {
    for text in [
        "garbage garbage garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let error = get_from(&Server::saying(text)).await.unwrap_err();
        assert!(matches!(error, TransportError::Broken { .. }), "{error:?}");
        assert!(!error.to_string().contains("in-query"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_of_one_mebibyte_is_read_and_a_larger_one_is_not() {
    let announced = |size: usize| {
        let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        text.resize(text.len() + size, b'x');
        text
    };
    let answer = get_from(&Server::saying(announced(LARGEST_ANSWER)))
        .await
        .unwrap();
    assert_eq!(answer.body.len(), LARGEST_ANSWER);
    let error = get_from(&Server::saying(announced(LARGEST_ANSWER + 1))).await;
    assert!(error.unwrap_err().to_string().contains("larger than 1 MiB"));
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_one_mebibyte() {
    let server = Server::start(|stream| {
        let mut said = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while said.is_ok() {
            said = stream.write_all(&[b'x'; 4096]);
        }
    });
    let error = get_from(&server).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error_that_names_the_host_only() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}/path?secret=in-query");
    let error = Client::new()
        .send(get(url.parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {free}: Connection refused (os error 111)")
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let started = tokio::time::Instant::now();
    let error = Client::new()
        .send(get(url.parse().unwrap()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::TimedOut {
                after: DEADLINE,
                ..
            }
        ),
        "{error:?}"
    );
    let waited = started.elapsed();
    assert!(
        waited >= DEADLINE && waited < DEADLINE + Duration::from_secs(1),
        "{waited:?}"
    );
}

#[tokio::test]
async fn plain_http_beyond_this_machine_is_refused_before_anything_is_sent() {
    let url = "http://login.example:8080/token?x".parse().unwrap();
    let error = Client::new().send(get(url)).await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Insecure { host } if host == "login.example:8080"),
        "{error:?}"
    );
}
