//! Asking a question on a page: on a loopback address with a path nobody can guess, answered once.
//!
//! The page needs no script and loads nothing. Its form carries a second secret, comes from its own
//! origin, and may not be shown inside of another page.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use keyward_oauth::question::{Answer, Question};
use keyward_oauth::transport::UserAgentError;

use crate::request::{Page, read_for_page};

mod form;
mod html;

use form::Filled;

/// How long one connection may take.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Connections served at the same time; browsers open spare ones.
const MOST_CONNECTIONS: usize = 16;

/// A question whose page is listened for.
pub(crate) struct Asking {
    socket: TcpListener,
    shown: Shown,
}

/// What is shown, and where.
struct Shown {
    address: Url,
    /// The secret in the form.
    token: String,
    question: Question,
}

/// What came of a page.
type Outcome = Result<Answer, UserAgentError>;

impl Asking {
    /// Listens for the page of a question.
    pub(crate) async fn open(question: Question) -> Result<Self, UserAgentError> {
        let failed = |error: io::Error| UserAgentError::Listen(error.to_string());
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let socket = bound.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let address = format!("http://{}:{port}/{}", Ipv4Addr::LOCALHOST, secret());
        let address = Url::parse(&address).map_err(|e| UserAgentError::Listen(e.to_string()))?;
        Ok(Self {
            socket,
            shown: Shown {
                address,
                token: secret(),
                question,
            },
        })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> &Url {
        &self.shown.address
    }

    /// Waits for the answer; the page is gone afterwards.
    pub(crate) async fn answer(self) -> Outcome {
        let shown = Arc::new(self.shown);
        let (found, mut outcomes) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                outcome = outcomes.recv() => return outcome.unwrap_or(Err(UserAgentError::Canceled)),
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.socket.accept(), if connections.len() < MOST_CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(connection(stream, Arc::clone(&shown), found.clone()));
                        }
                        // It hung up before we came to it.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                        Err(error) => return Err(UserAgentError::Listen(error.to_string())),
                    }
                }
            }
        }
    }
}

/// 244 random bits.
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shown: Arc<Shown>,
    found: mpsc::Sender<Outcome>,
) {
    let served = timeout(CONNECTION_DEADLINE, serve(stream, &shown, &found)).await;
    if !matches!(served, Ok(Ok(()))) {
        tracing::debug!("a connection to the page of a question was no use");
    }
}

/// Answers one request; the outcome is passed on only after the last page was sent.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    shown: &Shown,
    found: &mpsc::Sender<Outcome>,
) -> io::Result<()> {
    let page = match read_for_page(&mut stream, &shown.address).await {
        Ok(Some(page)) => page,
        Ok(None) => return send(&mut stream, "404 Not Found", "").await,
        Err(_) => return send(&mut stream, "400 Bad Request", "").await,
    };
    let Page::Post(body) = page else {
        let page = html::question(&shown.question, &shown.token, None);
        return send(&mut stream, "200 OK", &page).await;
    };
    let Some(filled) = form::read(&body, &shown.token, &shown.question) else {
        return send(&mut stream, "400 Bad Request", "").await;
    };
    let (outcome, said) = match filled {
        Filled::Again(why) => {
            let page = html::question(&shown.question, &shown.token, Some(why));
            return send(&mut stream, "200 OK", &page).await;
        }
        Filled::Answer(answer) => (Ok(answer), "Thank you"),
        Filled::Dismissed => (Err(UserAgentError::Canceled), "Nothing was allowed"),
    };
    let sent = send(&mut stream, "200 OK", &html::done(said)).await;
    // The first one counts.
    let _ = found.try_send(outcome);
    sent
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), status: &str, page: &str) -> io::Result<()> {
    // The referrer stays within the page's own origin, so that browsers send `Origin` with its form.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n\
         X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: same-origin\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
