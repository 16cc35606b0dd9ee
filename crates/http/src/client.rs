//! The client: one exchange per call.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyward_oauth::transport::{HttpClient, HttpRequest, HttpResponse, TransportError};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::failure;
use crate::route::{Route, host_of};

/// How long an exchange may take, from the first packet to the last byte of the answer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The largest body an answer may have, in bytes.
pub const LARGEST_ANSWER: usize = 1024 * 1024;

/// Shorter than any server keeps an idle connection (Node.js: 5 s), so that a request is hardly
/// ever sent into one that is being closed. A single-use code could not be sent again.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// An [`HttpClient`] over reqwest and rustls.
///
/// Making one costs nothing: connections and the platform's root certificates are set up by the
/// first request that needs them, and plain http to loopback never loads roots.
#[derive(Debug, Default)]
pub struct Client {
    loopback_plain: OnceCell<reqwest::Client>,
    loopback_tls: OnceCell<reqwest::Client>,
    world: OnceCell<reqwest::Client>,
}

impl Client {
    /// A client that has done nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn for_route(&self, route: Route) -> Result<&reqwest::Client, reqwest::Error> {
        match route {
            Route::LoopbackPlain => {
                self.loopback_plain
                    .get_or_try_init(|| async { loopback_plain() })
                    .await
            }
            Route::LoopbackTls => {
                self.loopback_tls
                    .get_or_try_init(|| off_thread(loopback_tls))
                    .await
            }
            Route::World => self.world.get_or_try_init(|| off_thread(world)).await,
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let started = Instant::now();
        let route = Route::to(&request.url)?;
        let host = host_of(&request.url);
        let path = request.url.path().to_owned();
        let answer = self.exchange(route, request, &host).await;
        let elapsed_ms = started.elapsed().as_millis();
        match &answer {
            Ok(answer) => {
                let status = answer.status.as_u16();
                tracing::debug!(%host, %path, status, elapsed_ms, "exchange done");
            }
            Err(error) => tracing::debug!(%host, %path, %error, elapsed_ms, "exchange failed"),
        }
        answer
    }
}

impl Client {
    async fn exchange(
        &self,
        route: Route,
        request: HttpRequest,
        host: &str,
    ) -> Result<HttpResponse, TransportError> {
        let failed = |error: reqwest::Error| failure::classify(&error, host);
        let client = self.for_route(route).await.map_err(|error| {
            // Nothing was sent: the platform's roots cannot be read.
            TransportError::Tls {
                host: host.to_owned(),
                reason: failure::innermost(&error),
            }
        })?;
        let mut answer = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body.to_vec())
            .send()
            .await
            .map_err(failed)?;
        let body = read_body(&mut answer, host).await?;
        Ok(HttpResponse {
            status: answer.status(),
            headers: std::mem::take(answer.headers_mut()),
            body,
        })
    }
}

/// Reads the body as it arrives, and stops at the first byte too many.
async fn read_body(
    answer: &mut reqwest::Response,
    host: &str,
) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let too_large = || TransportError::Broken {
        host: host.to_owned(),
        reason: "it is larger than 1 MiB".to_owned(),
    };
    let announced = answer.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).map_err(|_| too_large())?;
    if announced > LARGEST_ANSWER {
        return Err(too_large());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| failure::classify(&error, host))?
    {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What all clients have in common.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("keyward/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .timeout(DEADLINE)
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(4)
}

/// `localhost` is this machine whatever a resolver says, and no proxy stands between.
fn loopback() -> reqwest::ClientBuilder {
    builder().no_proxy().resolve_to_addrs(
        "localhost",
        &[
            // The port of the URL takes the place of 0.
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ],
    )
}

fn loopback_plain() -> Result<reqwest::Client, reqwest::Error> {
    // Without roots of its own reqwest would load the platform's, which takes milliseconds.
    loopback().tls_certs_only([]).build()
}

fn loopback_tls() -> Result<reqwest::Client, reqwest::Error> {
    loopback().https_only(true).build()
}

fn world() -> Result<reqwest::Client, reqwest::Error> {
    builder().https_only(true).build()
}

/// Builds a client away from the thread that answers callers: reading the platform's roots takes
/// milliseconds.
async fn off_thread(
    build: fn() -> Result<reqwest::Client, reqwest::Error>,
) -> Result<reqwest::Client, reqwest::Error> {
    match tokio::task::spawn_blocking(build).await {
        Ok(client) => client,
        // The runtime is shutting down and takes no more work; this request ends with it.
        Err(_) => build(),
    }
}
