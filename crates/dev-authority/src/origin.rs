//! The origin a request came to. Every URL in an answer is on it.
//!
//! Only loopback names are served. A page on the internet can make its own name resolve to
//! 127.0.0.1 (DNS rebinding) and then talk to us as if we were its own server; its name in `Host`
//! gives it away.

use std::fmt;

use http::HeaderMap;
use http::header::HOST;
use http::uri::{Authority, Uri};
use url::Url;

/// The spellings of loopback we answer to.
pub(crate) const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// How a request came: both are spoken on the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port a URL need not name.
    const fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// Scheme, host and port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: Scheme,
    /// Host and port as a browser would write them.
    authority: String,
}

impl Origin {
    /// The origin a request names: in its target, if that is absolute, else in `Host`
    /// (RFC 9112 §3.2.2).
    pub(crate) fn of(scheme: Scheme, uri: &Uri, headers: &HeaderMap) -> Result<Self, BadHost> {
        if let Some(authority) = uri.authority() {
            return Self::at(scheme, authority);
        }
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(BadHost);
        };
        let host = host.to_str().map_err(|_| BadHost)?;
        Self::at(scheme, &host.parse().map_err(|_| BadHost)?)
    }

    fn at(scheme: Scheme, authority: &Authority) -> Result<Self, BadHost> {
        let host = authority.host().to_ascii_lowercase();
        if authority.as_str().contains('@') || !LOOPBACK.contains(&host.as_str()) {
            return Err(BadHost);
        }
        let rest = authority.as_str().get(host.len()..).unwrap_or_default();
        let authority = match rest.strip_prefix(':') {
            None if rest.is_empty() => host,
            Some(port) if port == scheme.default_port() => host,
            Some(port) => match port.parse::<u16>() {
                Ok(port) => format!("{host}:{port}"),
                Err(_) => return Err(BadHost),
            },
            None => return Err(BadHost),
        };
        Ok(Self { scheme, authority })
    }

    /// An origin of ours under one spelling of loopback.
    pub(crate) fn loopback(host: &str, port: u16) -> Self {
        Self {
            scheme: Scheme::Http,
            authority: format!("{host}:{port}"),
        }
    }

    /// Host and port, as `u` of a signed HTTP request has them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether `url` is `path` on some origin of ours. Tokens minted under one scheme and spelling
    /// of loopback are good under all.
    pub(crate) fn is_ours(url: &str, path: &str) -> bool {
        let on_loopback = |url: &Url| {
            let host = url.host_str().is_some_and(|host| LOOPBACK.contains(&host));
            host && matches!(url.scheme(), "http" | "https") && url.username().is_empty()
        };
        match url.strip_suffix(path) {
            Some(origin) => Url::parse(origin)
                .is_ok_and(|url| on_loopback(&url) && url.path() == "/" && url.query().is_none()),
            None => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

/// A request for a host that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str) -> Result<String, BadHost> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        Origin::of(Scheme::Http, &Uri::from_static("/"), &headers).map(|origin| origin.to_string())
    }

    #[test]
    fn loopback_names_are_served_under_the_name_used() {
        assert_eq!(origin("localhost:8080").unwrap(), "http://localhost:8080");
        assert_eq!(origin("LOCALHOST").unwrap(), "http://localhost");
        assert_eq!(origin("127.0.0.1:80").unwrap(), "http://127.0.0.1");
        assert_eq!(origin("[::1]:9").unwrap(), "http://[::1]:9");
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "127.0.0.2",
            "localhost@evil.example",
            "localhost:",
            "localhost:99999",
            "localhost:8a",
            "",
            "0.0.0.0:80",
            "[::]:80",
            "localhost:1:2",
        ] {
            assert_eq!(origin(bad), Err(BadHost), "{bad}");
        }
        assert_eq!(
            Origin::of(Scheme::Http, &Uri::from_static("/"), &HeaderMap::new()),
            Err(BadHost)
        );
        let absolute = Uri::from_static("http://evil.example/");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        assert_eq!(Origin::of(Scheme::Http, &absolute, &headers), Err(BadHost));
    }

    #[test]
    fn an_issuer_is_ours_under_every_spelling() {
        for host in ["localhost:1", "127.0.0.1:1", "[::1]:1", "localhost"] {
            for scheme in ["http", "https"] {
                let issuer = format!("{scheme}://{host}/oidc");
                assert!(Origin::is_ours(&issuer, "/oidc"), "{issuer}");
            }
        }
        for bad in [
            "http://evil.example/oidc",
            "ftp://localhost/oidc",
            "http://localhost/x/oidc",
            "http://localhost/other",
            "http://u@localhost/oidc",
            "http://localhost?/oidc",
            "/oidc",
        ] {
            assert!(!Origin::is_ours(bad, "/oidc"), "{bad}");
        }
    }
}
