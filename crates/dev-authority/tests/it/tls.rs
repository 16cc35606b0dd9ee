//! TLS on the port that speaks plain HTTP as well.

use keyward_dev_authority::{ENTRA_TENANT, Running, Tenant};
use reqwest::{Certificate, Client};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{App, SCOPE, alice, authority, get};
use crate::browser::http;
use crate::key::claims;

/// A client that trusts this authority's certificate and no other.
fn trusting(running: &Running) -> Client {
    let certificate = Certificate::from_pem(running.certificate().as_bytes()).unwrap();
    let builder = Client::builder()
        .no_proxy()
        .tls_certs_only([certificate])
        .resolve("other.test", ([127, 0, 0, 1], running.port()).into());
    builder.build().unwrap()
}

#[tokio::test]
async fn metadata_over_tls_leads_to_tls_under_every_spelling_of_loopback() {
    let running = authority().await;
    let http = trusting(&running);
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let origin = format!("https://{host}:{}", running.port());
        for path in ["oidc".to_owned(), format!("{ENTRA_TENANT}/v2.0")] {
            let url = format!("{origin}/{path}/.well-known/openid-configuration");
            let metadata = get(&http, &url).await.ok().json;
            let members = metadata.as_object().unwrap().values();
            let urls: Vec<_> = members
                .filter_map(Value::as_str)
                .filter(|text| text.contains("://"))
                .collect();
            assert!(urls.len() >= 6, "{urls:?}");
            assert!(urls.iter().all(|url| url.starts_with(&origin)), "{urls:?}");
        }
    }
}

#[tokio::test]
async fn a_token_minted_over_tls_is_good_over_plain_http_and_the_other_way_round() {
    let running = authority().await;
    let app = App::oidc(&running);
    let plain = app.sign_in(&alice(), SCOPE).await;
    let origin = format!("https://localhost:{}", running.port());
    let secure = App {
        http: trusting(&running),
        base: format!("{origin}/oidc"),
        ..app
    };

    let tls = secure.refresh(plain.text("refresh_token"), &[]).await.ok();

    assert_eq!(
        claims(tls.text("access_token"))["iss"],
        format!("{origin}/oidc")
    );
    for answer in [&plain, &tls] {
        for (http, origin) in [(http(), running.http()), (secure.http.clone(), &origin)] {
            let request = http
                .get(format!("{origin}/api/me"))
                .bearer_auth(answer.text("access_token"));
            let status = request.send().await.unwrap().status();
            assert!(status.is_success(), "{origin}: {status}");
        }
    }
}

#[tokio::test]
async fn the_certificate_is_for_loopback_and_nobody_else() {
    let running = authority().await;
    let url = |host: &str| format!("https://{host}:{}/", running.port());
    let http = trusting(&running);
    assert!(http.get(url("localhost")).send().await.is_ok());
    let refused = http.get(url("other.test")).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");

    let other = authority().await;
    let stranger = trusting(&other);
    let refused = stranger.get(url("localhost")).send().await.unwrap_err();
    assert!(
        refused.is_connect(),
        "each authority has its own: {refused:?}"
    );
}

#[tokio::test]
async fn nobody_waits_for_those_who_connect_and_say_nothing() {
    let running = authority().await;
    let address = ("127.0.0.1", running.port());
    let silent = TcpStream::connect(address).await.unwrap();
    let mut halfway = TcpStream::connect(address).await.unwrap();
    // The head of a TLS record, and nothing of what it announces.
    halfway.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let mut broken = TcpStream::connect(address).await.unwrap();
    broken.write_all(&[22, 0, 0, 0, 0, 0]).await.unwrap();
    let mut answer = Vec::new();
    let _ = broken.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "no TLS, no answer");

    let url = format!(
        "{}/.well-known/openid-configuration",
        running.issuer(Tenant::Oidc)
    );
    get(&http(), &url).await.ok();
    let secure = url.replace("http://127.0.0.1", "https://localhost");
    get(&trusting(&running), &secure).await.ok();
    drop((silent, halfway));
}

#[tokio::test]
async fn a_restart_keeps_the_certificate() {
    let running = authority().await;
    let certificate = running.certificate().to_owned();
    let running = running.shutdown().await.start().await.unwrap();
    assert_eq!(running.certificate(), certificate);
}
