//! Which redirect URI this user agent can see.

use url::{Host, Url};

/// A loopback redirect URI (RFC 8252 §7.3): what to listen on, and what to put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoopbackUri {
    host: &'static str,
    port: Option<u16>,
    path: String,
}

impl LoopbackUri {
    /// The registered URI if it is loopback; else `http://localhost/`, because only a window could
    /// intercept anything else.
    pub(crate) fn choose(registered: Option<&Url>) -> Self {
        registered.and_then(Self::of).unwrap_or(Self {
            host: "localhost",
            port: None,
            path: "/".to_owned(),
        })
    }

    fn of(uri: &Url) -> Option<Self> {
        let host = match uri.host()? {
            Host::Domain(name) if name.eq_ignore_ascii_case("localhost") => "localhost",
            Host::Ipv4(address) if address.is_loopback() => "127.0.0.1",
            Host::Ipv6(address) if address.is_loopback() => "[::1]",
            _ => return None,
        };
        (uri.scheme() == "http").then(|| Self {
            host,
            port: uri.port(),
            path: uri.path().to_owned(),
        })
    }

    /// The port the application registered, if it named one.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether a browser may reach it over IPv6, and over IPv4.
    pub(crate) fn families(&self) -> (bool, bool) {
        (self.host != "127.0.0.1", self.host != "[::1]")
    }

    /// The URI with the port that is listened on.
    pub(crate) fn at(&self, port: u16) -> Result<Url, url::ParseError> {
        Url::parse(&format!("http://{}:{port}{}", self.host, self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(registered: &str) -> String {
        let registered = Url::parse(registered).unwrap();
        LoopbackUri::choose(Some(&registered))
            .at(4711)
            .unwrap()
            .to_string()
    }

    #[test]
    fn loopback_uris_are_kept_and_get_a_port() {
        assert_eq!(chosen("http://localhost"), "http://localhost:4711/");
        assert_eq!(
            chosen("http://127.0.0.1/callback"),
            "http://127.0.0.1:4711/callback"
        );
        assert_eq!(chosen("http://[::1]/a/b"), "http://[::1]:4711/a/b");
    }

    #[test]
    fn whatever_only_a_window_could_intercept_becomes_loopback() {
        for uri in [
            "https://login.microsoftonline.com/common/oauth2/nativeclient",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/7a1d3e5f",
            "msauth://x",
            "https://localhost/secure",
            "http://example.com/",
        ] {
            assert_eq!(chosen(uri), "http://localhost:4711/", "{uri}");
        }
    }
}
