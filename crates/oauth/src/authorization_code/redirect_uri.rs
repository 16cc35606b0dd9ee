//! Where the answer goes (RFC 6749 §3.1.2), and how that is spelled.

use url::Url;

/// The redirect URI of one sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    url: Url,
    spelled: String,
    replaced: Option<String>,
}

impl RedirectUri {
    /// The URI `seen` by the user agent, where the application registered `registered`.
    pub fn new(seen: Url, registered: Option<&Url>) -> Self {
        let replaced = registered.filter(|uri| !is_same_place(uri, &seen));
        Self {
            spelled: spelled(&seen),
            replaced: replaced.map(without_query),
            url: seen,
        }
    }

    /// As a URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// As the authority is told. It compares text (OpenID Connect Core §3.1.2.1).
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    /// The registered URI whose place this one takes, because only a window could have intercepted
    /// that one; without query.
    pub fn replaced(&self) -> Option<&str> {
        self.replaced.as_deref()
    }
}

/// Whether they differ in nothing but the port, which is free on loopback (RFC 8252 §7.3).
fn is_same_place(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && one.host() == other.host() && one.path() == other.path()
}

/// Without the slash a URL parser adds where there is no path: `http://localhost` is how people
/// register it and how Microsoft's libraries send it.
fn spelled(url: &Url) -> String {
    let text = url.as_str();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let text = text.strip_suffix('/').filter(|_| bare).unwrap_or(text);
    text.to_owned()
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str, registered: Option<&str>) -> RedirectUri {
        let registered = registered.map(|text| Url::parse(text).unwrap());
        RedirectUri::new(Url::parse(text).unwrap(), registered.as_ref())
    }

    #[test]
    fn a_uri_without_path_has_no_slash() {
        for (text, spelled) in [
            ("http://localhost:4711", "http://localhost:4711"),
            ("http://localhost:4711/", "http://localhost:4711"),
            ("http://127.0.0.1:4711/cb", "http://127.0.0.1:4711/cb"),
            ("http://127.0.0.1:4711/cb/", "http://127.0.0.1:4711/cb/"),
        ] {
            assert_eq!(seen(text, None).as_str(), spelled);
        }
    }

    #[test]
    fn what_only_a_window_could_intercept_is_named_as_replaced() {
        let loopback = "http://localhost:4711/";
        for kept in [None, Some("http://localhost"), Some("http://localhost:1/")] {
            assert_eq!(seen(loopback, kept).replaced(), None, "{kept:?}");
        }
        for (registered, named) in [
            (
                "https://login.example/nativeclient?a=b",
                "https://login.example/nativeclient",
            ),
            ("msauth://x/y", "msauth://x/y"),
            ("urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:oob"),
            ("http://localhost/cb", "http://localhost/cb"),
        ] {
            assert_eq!(seen(loopback, Some(registered)).replaced(), Some(named));
        }
    }
}
