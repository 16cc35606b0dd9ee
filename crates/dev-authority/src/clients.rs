//! Which clients there are and where their answers may go.

use keyward_oauth::scope::Scopes;
use url::Url;
use uuid::Uuid;

/// A client that was configured. See [`Builder::strict_clients`](crate::Builder::strict_clients).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictClient {
    /// The client id, of any form.
    pub client_id: String,
    /// Where answers may go. The port of a loopback URI is free (RFC 8252 §7.3). If empty,
    /// everything an unregistered client may use.
    pub redirect_uris: Vec<String>,
    /// The scopes it may have; `None` for any.
    pub scopes: Option<Scopes>,
}

/// A client with any native redirect URI and any scope.
impl From<String> for StrictClient {
    fn from(client_id: String) -> Self {
        Self {
            client_id,
            redirect_uris: Vec::new(),
            scopes: None,
        }
    }
}

/// A client with any native redirect URI and any scope.
impl From<&str> for StrictClient {
    fn from(client_id: &str) -> Self {
        Self::from(client_id.to_owned())
    }
}

/// The clients known: any GUID, or only configured ones.
pub(crate) struct Clients(Vec<StrictClient>);

impl Clients {
    /// An empty list knows every GUID.
    pub(crate) fn new(strict: Vec<StrictClient>) -> Self {
        Self(strict)
    }

    /// The client of that id.
    pub(crate) fn find(&self, client_id: &str) -> Option<Client<'_>> {
        if self.0.is_empty() {
            // Only the hyphenated spelling, as registrations have it.
            let guid = client_id.len() == 36 && Uuid::parse_str(client_id).is_ok();
            return guid.then_some(Client(None));
        }
        let known = self
            .0
            .iter()
            .find(|known| known.client_id.eq_ignore_ascii_case(client_id));
        known.map(|known| Client(Some(known)))
    }
}

/// A client that is known.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a>(Option<&'a StrictClient>);

impl Client<'_> {
    /// Whether an answer may go to `redirect_uri`.
    pub(crate) fn may_redirect_to(self, redirect_uri: &str) -> bool {
        // What a URL parser drops or rewrites must not make two readings of one text.
        if !redirect_uri
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        {
            return false;
        }
        match self.0 {
            Some(client) if !client.redirect_uris.is_empty() => client
                .redirect_uris
                .iter()
                .any(|known| is_registered(known, redirect_uri)),
            _ => is_native(redirect_uri),
        }
    }

    /// The first scope the client may not have.
    pub(crate) fn refused_scope(self, scopes: &Scopes) -> Option<&str> {
        let allowed = self.0?.scopes.as_ref()?;
        scopes.iter().find(|scope| !allowed.contains(scope))
    }
}

/// Equal to the registered one, but for the port of loopback (RFC 8252 §7.3).
fn is_registered(registered: &str, given: &str) -> bool {
    if registered == given {
        return true;
    }
    let (Ok(mut registered), Ok(mut given)) = (Url::parse(registered), Url::parse(given)) else {
        return false;
    };
    is_loopback(&registered)
        && is_loopback(&given)
        && registered.set_port(None).is_ok()
        && given.set_port(None).is_ok()
        && registered == given
}

/// What a native application without registration may use: loopback, the out-of-band page, and
/// private-use schemes (RFC 8252 §7.1) as Microsoft's libraries spell them.
fn is_native(redirect_uri: &str) -> bool {
    if redirect_uri == "urn:ietf:wg:oauth:2.0:oob" {
        return true;
    }
    let Ok(url) = Url::parse(redirect_uri) else {
        return false;
    };
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match url.scheme() {
        "http" | "https" => is_loopback(&url) || is_native_client_page(&url),
        scheme => is_private_use(scheme),
    }
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
        && matches!(url.scheme(), "http" | "https")
}

fn is_native_client_page(url: &Url) -> bool {
    url.scheme() == "https"
        && url
            .path()
            .eq_ignore_ascii_case("/common/oauth2/nativeclient")
        && matches!(
            url.host_str(),
            Some("login.microsoftonline.com" | "login.live.com")
        )
}

fn is_private_use(scheme: &str) -> bool {
    const KNOWN: [&str; 6] = [
        "ms-appx-web",
        "ms-aadj-redir",
        "companyportal",
        "himmelblau",
        "msauth",
        "x-msauth",
    ];
    KNOWN.contains(&scheme)
        || scheme.contains('.')
        || scheme
            .strip_prefix("msal")
            .is_some_and(|id| Uuid::parse_str(id).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Client<'_> = Client(None);

    #[test]
    fn native_redirects_need_no_registration() {
        for uri in [
            "http://localhost",
            "http://localhost:1234",
            "http://127.0.0.1:9/callback?x=1",
            "http://[::1]:9/",
            "https://login.microsoftonline.com/common/oauth2/nativeclient",
            "ms-appx-web://Microsoft.AAD.BrokerPlugin/7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6",
            "msauth.com.example.app://auth",
            "msauth://com.example/abc%3D",
            "com.example.app:/cb",
            "msal7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6://auth",
            "urn:ietf:wg:oauth:2.0:oob",
        ] {
            assert!(ANY.may_redirect_to(uri), "{uri}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for uri in [
            "",
            "https://app.example/cb",
            "http://localhost.evil.example",
            "http://127.0.0.2/",
            "http://evil@localhost/",
            "http://localhost/#x",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://evil.example/common/oauth2/nativeclient",
            "ftp://localhost/",
            "msalx://auth",
            "http://local\nhost/",
            "http://localhost\\@evil.example/",
        ] {
            assert!(!ANY.may_redirect_to(uri), "{uri}");
        }
    }

    #[test]
    fn a_registered_loopback_uri_has_a_free_port_and_a_fixed_path() {
        let clients = Clients::new(vec![StrictClient {
            client_id: "app".to_owned(),
            redirect_uris: vec![
                "http://localhost/cb".to_owned(),
                "https://a.example/".to_owned(),
            ],
            scopes: Some(Scopes::parse("openid api.read")),
        }]);
        let client = clients.find("app").unwrap();
        assert!(client.may_redirect_to("http://localhost:4711/cb"));
        assert!(client.may_redirect_to("https://a.example/"));
        for bad in [
            "http://localhost:1/other",
            "http://127.0.0.1/cb",
            "https://a.example:1/",
        ] {
            assert!(!client.may_redirect_to(bad), "{bad}");
        }
        assert_eq!(
            client.refused_scope(&Scopes::parse("openid api.write")),
            Some("api.write")
        );
        assert!(
            clients
                .find("7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6")
                .is_none()
        );
    }

    #[test]
    fn without_configuration_every_guid_is_a_client() {
        let clients = Clients::new(Vec::new());
        assert!(
            clients
                .find("7A1D3E5F-2b4c-4d6e-8f90-a1b2c3d4e5f6")
                .is_some()
        );
        for bad in ["", "app", "7a1d3e5f2b4c4d6e8f90a1b2c3d4e5f6"] {
            assert!(clients.find(bad).is_none(), "{bad}");
        }
    }
}
