//! The loopback listener: one redirect is accepted, then it is closed (RFC 8252 §7.3).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use keyward_oauth::transport::{Redirect, UserAgentError};

use crate::page;
use crate::redirect_uri::LoopbackUri;
use crate::request::{self, Awaited, Incoming};

/// How long one connection may take.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Connections served at the same time; browsers open spare ones.
const MOST_CONNECTIONS: usize = 16;
/// Free ports tried until one is free in both address families.
const PORT_ATTEMPTS: usize = 16;

/// A listener on loopback, in each address family a browser may choose.
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
    redirect_uri: Url,
}

impl Listener {
    /// Listens for the registered redirect URI, or for the one that takes its place.
    pub(crate) async fn open(registered: Option<&Url>) -> Result<Self, UserAgentError> {
        let uri = LoopbackUri::choose(registered);
        let failed = |error: io::Error| UserAgentError::Listen(error.to_string());
        let sockets = bind(&uri).await.map_err(failed)?;
        let port = sockets[0].local_addr().map_err(failed)?.port();
        let redirect_uri = uri
            .at(port)
            .map_err(|error| UserAgentError::Listen(error.to_string()))?;
        Ok(Self {
            sockets,
            redirect_uri,
        })
    }

    /// The redirect URI that reaches this listener.
    pub(crate) fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// Waits for the answer to the authorize request with this `state`; every other request is
    /// answered with 404.
    pub(crate) async fn redirect(self, state: Option<String>) -> Result<Redirect, UserAgentError> {
        let awaited = Arc::new(Awaited {
            redirect_uri: self.redirect_uri,
            state,
        });
        let (found, mut redirects) = mpsc::channel(1);
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut acceptors = JoinSet::new();
        for socket in self.sockets {
            acceptors.spawn(accept(
                socket,
                Arc::clone(&awaited),
                found.clone(),
                Arc::clone(&slots),
            ));
        }
        drop(found);
        tokio::select! {
            redirect = redirects.recv() => redirect.ok_or(UserAgentError::Canceled),
            ended = acceptors.join_next() => Err(UserAgentError::Listen(match ended {
                Some(Ok(error)) => error.to_string(),
                _ => "the listener ended".to_owned(),
            })),
        }
        // Dropping the acceptors closes the listener and what connections are left.
    }
}

/// Binds loopback in the families the URI's host can mean. For `localhost` the same port in both,
/// so that nobody else can sit on the other one.
async fn bind(uri: &LoopbackUri) -> io::Result<Vec<TcpListener>> {
    let (ipv6, ipv4) = uri.families();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let wanted = uri.port().unwrap_or(0);
        let mut sockets = Vec::new();
        if ipv4 {
            sockets.push(TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await?);
        }
        let port = match sockets.first() {
            Some(socket) => socket.local_addr()?.port(),
            None => wanted,
        };
        if !ipv6 {
            return Ok(sockets);
        }
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && uri.port().is_none() => {
                last = error;
                continue;
            }
            // No IPv6 on this machine: nobody can take it either.
            Err(error) if sockets.is_empty() || error.kind() == io::ErrorKind::AddrInUse => {
                return Err(error);
            }
            Err(_) => {}
        }
        return Ok(sockets);
    }
    Err(last)
}

/// Serves connections until the listener fails.
async fn accept(
    socket: TcpListener,
    awaited: Arc<Awaited>,
    found: mpsc::Sender<Redirect>,
    slots: Arc<Semaphore>,
) -> io::Error {
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return io::ErrorKind::Other.into();
        };
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            // It hung up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return error,
        };
        let (awaited, found) = (Arc::clone(&awaited), found.clone());
        connections.spawn(async move {
            let _slot = slot;
            let served = timeout(CONNECTION_DEADLINE, serve(stream, &awaited, &found)).await;
            if !matches!(served, Ok(Ok(()))) {
                tracing::debug!("a connection to the redirect listener was no use");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request; the redirect is passed on only after the page was sent.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    awaited: &Awaited,
    found: &mpsc::Sender<Redirect>,
) -> io::Result<()> {
    match request::read(&mut stream, awaited).await {
        Ok(Incoming::Redirect(url)) => {
            let failed = url.query_pairs().any(|(name, _)| name == "error");
            let page = if failed { page::FAILURE } else { page::SUCCESS };
            let sent = answer(&mut stream, "200 OK", page).await;
            // The first one counts; a browser that asks twice gets the page again.
            let _ = found.try_send(Redirect { url });
            sent
        }
        Ok(Incoming::Other) => answer(&mut stream, "404 Not Found", "").await,
        Err(_) => answer(&mut stream, "400 Bad Request", "").await,
    }
}

async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    page: &str,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    async fn get(uri: &Url, target: &str) -> String {
        let address = (Ipv4Addr::LOCALHOST, uri.port().unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let host = format!("localhost:{}", uri.port().unwrap());
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_first_redirect_is_taken_and_the_listener_closed() {
        let listener = Listener::open(None).await.unwrap();
        let uri = listener.redirect_uri().clone();
        let waiting = tokio::spawn(listener.redirect(None));
        assert!(get(&uri, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
        assert!(
            get(&uri, "/?code=c&state=s")
                .await
                .contains("You are signed in")
        );
        let redirect = waiting.await.unwrap().unwrap();
        assert_eq!(redirect.url.query(), Some("code=c&state=s"));
        let address = (Ipv4Addr::LOCALHOST, uri.port().unwrap());
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_error_shows_another_page() {
        let listener = Listener::open(None).await.unwrap();
        let uri = listener.redirect_uri().clone();
        let waiting = tokio::spawn(listener.redirect(None));
        assert!(
            get(&uri, "/?error=access_denied")
                .await
                .contains("did not work")
        );
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn connections_that_say_nothing_do_not_hold_up_the_redirect() {
        let listener = Listener::open(None).await.unwrap();
        let uri = listener.redirect_uri().clone();
        let waiting = tokio::spawn(listener.redirect(None));
        let address = (Ipv4Addr::LOCALHOST, uri.port().unwrap());
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS / 2 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        get(&uri, "/?code=c").await;
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_registered_port_that_is_taken_is_an_error() {
        let first = Listener::open(None).await.unwrap();
        let error = Listener::open(Some(first.redirect_uri()))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, UserAgentError::Listen(_)), "{error}");
    }
}
