//! The two channels of OAuth (RFC 6749 §1.2): the back channel between us and the authority, and
//! the front channel through a person's browser.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::question::{Answer, Question};

/// The back channel: one HTTP exchange with an authority.
///
/// Implementations never follow redirects, never retry, and bound the time and the size of an
/// answer; retrying is a decision of the flow, because codes and rotated refresh tokens are
/// single use.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When no complete answer arrived. Any HTTP status is an answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError>;
}

/// A request on the back channel. Its body may carry secrets, so `Debug` shows neither body nor
/// header values.
pub struct HttpRequest {
    /// GET or POST.
    pub method: http::Method,
    /// `https`, or `http` to a loopback address.
    pub url: Url,
    /// Header fields beside those the client adds itself (`Host`, `Content-Length`).
    pub headers: http::HeaderMap,
    /// The body; empty for GET.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .finish_non_exhaustive()
    }
}

/// An answer on the back channel. It may carry secrets; `Debug` shows only the status.
pub struct HttpResponse {
    /// The status code.
    pub status: http::StatusCode,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body, at most 1 MiB.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Why no complete answer arrived. Texts name the host, never a whole URL.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: name resolution, routing, refused.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// The authority's host and port.
        host: String,
        /// What the operating system said.
        reason: String,
    },
    /// TLS failed: unknown issuer, other name, expired.
    #[error("the TLS connection to {host} failed: {reason}")]
    Tls {
        /// The authority's host and port.
        host: String,
        /// What the TLS library said.
        reason: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// The authority's host and port.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke, or the answer is not HTTP, or is too large.
    #[error("the answer of {host} cannot be used: {reason}")]
    Broken {
        /// The authority's host and port.
        host: String,
        /// What was wrong.
        reason: String,
    },
    /// Plain http to something that is not this machine.
    #[error("refusing plain http to {host}: only loopback addresses may be reached without TLS")]
    Insecure {
        /// The authority's host and port.
        host: String,
    },
}

/// Whether a URL may be used on the back channel: `https`, or `http` to this machine.
pub fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether a URL names this machine: `localhost`, 127.0.0.0/8 or `[::1]` (RFC 8252 §7.3, §8.3).
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The front channel: something that can show a person an authorize URL.
#[async_trait]
pub trait UserAgent: Send + Sync {
    /// Gets ready for one sign-in: opens the redirect listener, or reserves the window.
    ///
    /// # Errors
    ///
    /// When nothing can be shown here.
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError>;

    /// Asks the person. Dropping the future takes the question away.
    ///
    /// # Errors
    ///
    /// [`UserAgentError::Canceled`] when the person did not answer, and
    /// [`UserAgentError::Unavailable`] where nobody can be asked: not every user agent can.
    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let _ = question;
        Err(UserAgentError::Unavailable(
            "this user agent shows sign-ins only".to_owned(),
        ))
    }
}

/// One prepared sign-in. Dropping it, or the future of [`show`](Self::show), closes the listener
/// or the window: that is how a sign-in is cancelled.
#[async_trait]
pub trait Sitting: Send + Sync {
    /// The redirect URI that will be seen by this user agent.
    fn redirect_uri(&self) -> &Url;

    /// Shows `url` and waits for the redirect.
    ///
    /// # Errors
    ///
    /// When the person refused, or nothing can be shown.
    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError>;
}

/// The first request that reached the redirect URI. Holds the authorization code: redacted.
pub struct Redirect {
    /// The redirect URI with its query, as requested.
    pub url: Url,
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redirect(redacted)")
    }
}

/// What the user agent should know about a sign-in.
#[derive(Clone, Debug, Default)]
pub struct ShowOptions {
    /// The redirect URI the application registered. A loopback URI is used as it is (with a free
    /// port if it names none); anything else is replaced by loopback, because only a window could
    /// intercept it.
    pub redirect_uri: Option<Url>,
    /// Who asks, to show to the person.
    pub caller: Option<String>,
    /// The parent window in the portal convention (`x11:HEX`, `wayland:TOKEN`).
    pub parent: Option<String>,
    /// The user name to sign in with, if known.
    pub login_hint: Option<String>,
}

/// Why a sign-in could not be shown, or ended without a redirect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UserAgentError {
    /// The person closed it or said no.
    #[error("the sign-in was cancelled")]
    Canceled,
    /// There is no display, no browser, or no user agent connected.
    #[error("nothing can show a sign-in or a question here: {0}")]
    Unavailable(String),
    /// The redirect listener cannot be opened.
    #[error("the redirect listener cannot be opened: {0}")]
    Listen(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let secure = |text: &str| is_secure(&Url::parse(text).unwrap());
        for good in [
            "https://a.example",
            "http://localhost:1",
            "http://127.0.0.9",
            "http://[::1]",
        ] {
            assert!(secure(good), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://localhost.evil.example",
            "http://128.0.0.1",
            "http://[::2]",
            "ftp://localhost",
            "file:///tmp",
            "data:text/plain,a",
        ] {
            assert!(!secure(bad), "{bad}");
        }
    }
}
