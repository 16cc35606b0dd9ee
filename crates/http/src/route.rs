//! Which way a request takes: decided by its URL alone.

use keyward_oauth::transport::TransportError;
use url::{Host, Url};

/// Which way a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Plain http to this machine: no TLS, no proxy.
    LoopbackPlain,
    /// TLS to this machine: no proxy.
    LoopbackTls,
    /// TLS to the world, through the environment's proxy if there is one.
    World,
}

impl Route {
    /// The way to `url`.
    ///
    /// # Errors
    ///
    /// When it would carry secrets in clear beyond this machine.
    pub(crate) fn to(url: &Url) -> Result<Self, TransportError> {
        match (url.scheme(), is_loopback(url)) {
            ("https", false) => Ok(Self::World),
            ("https", true) => Ok(Self::LoopbackTls),
            ("http", true) => Ok(Self::LoopbackPlain),
            _ => Err(TransportError::Insecure { host: host_of(url) }),
        }
    }
}

/// Host and port, for messages.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whether the host is this machine by its spelling (RFC 6761 §6.3 for `localhost`).
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str) -> Option<Route> {
        Route::to(&Url::parse(url).unwrap()).ok()
    }

    #[test]
    fn plain_http_reaches_loopback_only() {
        for url in [
            "http://127.0.0.1:1/",
            "http://127.8.8.8/",
            "http://[::1]:8/x",
            "http://localhost:4/",
            "http://LOCALHOST/",
        ] {
            assert_eq!(route(url), Some(Route::LoopbackPlain), "{url}");
        }
        for url in [
            "http://login.example/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "http://0.0.0.0/",
            "ftp://127.0.0.1/",
        ] {
            assert_eq!(route(url), None, "{url}");
        }
    }

    #[test]
    fn tls_goes_through_a_proxy_only_beyond_this_machine() {
        assert_eq!(route("https://login.example/"), Some(Route::World));
        assert_eq!(route("https://localhost:8443/"), Some(Route::LoopbackTls));
        assert_eq!(route("https://127.0.0.1/"), Some(Route::LoopbackTls));
    }

    #[test]
    fn messages_name_the_host_and_nothing_else() {
        let url = Url::parse("https://user:pw@login.example:444/a?code=x#f").unwrap();
        assert_eq!(host_of(&url), "login.example:444");
    }
}
