//! What the environment decides: trusted roots and proxies. Each case runs in a process of its
//! own, because the environment is one per process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use http::{HeaderMap, Method};
use keyward_http::Client;
use keyward_oauth::transport::{HttpClient, HttpRequest, HttpResponse, TransportError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use server::Server;
use zeroize::Zeroizing;

/// Names the URL the child is to fetch; its answer goes to its standard output.
const URL: &str = "KEYWARD_TEST_URL";

/// What the tests below run in a child.
#[tokio::test]
#[ignore = "run by the tests below, with an environment of its own"]
async fn child() {
    let url = std::env::var(URL).unwrap();
    println!("{}", describe(fetch(&url).await));
}

fn describe(answer: Result<HttpResponse, TransportError>) -> String {
    match answer {
        Ok(answer) => format!("answer {}", answer.status.as_u16()),
        Err(TransportError::Tls { reason, .. }) => format!("tls {reason}"),
        Err(error) => format!("error {error}"),
    }
}

async fn fetch(url: &str) -> Result<HttpResponse, TransportError> {
    let request = HttpRequest {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Zeroizing::default(),
    };
    Client::new().send(request).await
}

fn in_child(url: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env_clear()
        .env(URL, url)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A server with a certificate for `localhost`; answers every request with 204. Gives its port.
fn tls_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from_pem_file(fixture("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture("localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // A client that does not trust us hangs up.
            let _ = server::answer_one(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    port
}

#[test]
fn a_root_of_the_platform_is_trusted() {
    let url = format!("https://localhost:{}/", tls_server());
    let root = fixture("root.pem");
    let said = in_child(&url, &[("SSL_CERT_FILE", root.to_str().unwrap())]);
    assert!(said.contains("answer 204"), "{said}");
}

#[test]
fn an_unknown_root_is_a_tls_error() {
    let url = format!("https://localhost:{}/", tls_server());
    let said = in_child(&url, &[]);
    assert!(
        said.contains("tls invalid peer certificate: UnknownIssuer"),
        "{said}"
    );
}

#[test]
fn a_certificate_for_another_name_is_a_tls_error() {
    let url = format!("https://127.0.0.1:{}/", tls_server());
    let root = fixture("root.pem");
    let said = in_child(&url, &[("SSL_CERT_FILE", root.to_str().unwrap())]);
    assert!(said.contains("tls invalid peer certificate"), "{said}");
}

#[test]
fn no_proxy_stands_before_loopback() {
    let proxy = Server::saying("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let server = Server::saying("HTTP/1.1 204 No Content\r\n\r\n");
    let address = format!("http://{}", proxy.address);
    let environment = ["http_proxy", "https_proxy", "all_proxy"].map(|name| (name, &*address));
    let said = in_child(server.url("/").as_str(), &environment);
    assert!(said.contains("answer 204"), "{said}");
    assert_eq!(proxy.requests.try_iter().count(), 0);

    let root = fixture("root.pem");
    let url = format!("https://localhost:{}/", tls_server());
    let said = in_child(
        &url,
        &[environment[1], ("SSL_CERT_FILE", root.to_str().unwrap())],
    );
    assert!(said.contains("answer 204"), "{said}");
    assert_eq!(proxy.requests.try_iter().count(), 0);
}

#[test]
fn the_world_is_reached_through_the_environments_proxy() {
    let proxy = Server::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let address = format!("http://user:s3cret@{}", proxy.address);
    let said = in_child(
        "https://login.example/token?code=x",
        &[("HTTPS_PROXY", &address)],
    );
    assert!(
        said.contains("error cannot connect to login.example: "),
        "{said}"
    );
    assert!(
        !said.contains("s3cret") && !said.contains("code="),
        "{said}"
    );
    let request = proxy.requests.recv().unwrap();
    assert!(
        request.starts_with("CONNECT login.example:443 "),
        "{request}"
    );
}

#[test]
fn a_proxy_that_is_told_to_stay_out_does() {
    let proxy = Server::saying("HTTP/1.1 403 Forbidden\r\n\r\n");
    let address = format!("http://{}", proxy.address);
    let said = in_child(
        "https://nowhere.invalid/",
        &[("HTTPS_PROXY", &address), ("NO_PROXY", "invalid")],
    );
    assert!(
        said.contains("error cannot connect to nowhere.invalid"),
        "{said}"
    );
    assert_eq!(proxy.requests.try_iter().count(), 0);
}
