//! Sending the browser back to the client (OAuth 2.0 Multiple Response Type Encoding Practices
//! §2.1, OAuth 2.0 Form Post Response Mode).

use axum::response::Response;
use url::form_urlencoded::Serializer;
use url::{Host, Url};

use crate::pages;
use crate::reply;

/// Where an answer goes, and how.
#[derive(Clone, Debug)]
pub(crate) struct RedirectTarget {
    /// As the client wrote it.
    pub(crate) redirect_uri: String,
    pub(crate) response_mode: ResponseMode,
    pub(crate) state: Option<String>,
}

/// How the parameters travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    #[default]
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    /// Reads `response_mode`; absent means `query`, the default for a code.
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("query") => Some(Self::Query),
            Some("fragment") => Some(Self::Fragment),
            Some("form_post") => Some(Self::FormPost),
            Some(_) => None,
        }
    }
}

impl RedirectTarget {
    /// The answer that carries these parameters, and `state`, to the client.
    pub(crate) fn send(&self, mut parameters: Vec<(&'static str, String)>) -> Response {
        if let Some(state) = &self.state {
            parameters.push(("state", state.clone()));
        }
        match self.response_mode {
            ResponseMode::Query => reply::redirect(&self.with_query(&parameters)),
            ResponseMode::Fragment => {
                reply::redirect(&format!("{}#{}", self.redirect_uri, encoded(&parameters)))
            }
            ResponseMode::FormPost => {
                pages::form_post(&self.redirect_uri, &self.form_action(), &parameters)
            }
        }
    }

    /// The source a page's `form-action` must allow, as a browser holds the redirect that follows
    /// a form to it as well (Content Security Policy 3 §6.4.1).
    pub(crate) fn form_action(&self) -> String {
        match Url::parse(&self.redirect_uri) {
            // The policy's grammar has no IPv6 addresses.
            Ok(url) if matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_))) => {
                match url.origin() {
                    origin if origin.is_tuple() => origin.ascii_serialization(),
                    _ => format!("{}:", url.scheme()),
                }
            }
            Ok(url) => format!("{}:", url.scheme()),
            Err(_) => String::new(),
        }
    }

    /// What the client wrote stays as it is; the parameters follow its own.
    fn with_query(&self, parameters: &[(&'static str, String)]) -> String {
        let separator = match self.redirect_uri.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{separator}{}", self.redirect_uri, encoded(parameters))
    }
}

fn encoded(parameters: &[(&'static str, String)]) -> String {
    Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(redirect_uri: &str, response_mode: ResponseMode) -> String {
        let redirect_uri = redirect_uri.to_owned();
        let target = RedirectTarget {
            redirect_uri,
            response_mode,
            state: Some("s&=".to_owned()),
        };
        let response = target.send(vec![("code", "c".to_owned())]);
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_answer_follows_what_the_client_wrote() {
        let query = |uri| location(uri, ResponseMode::Query);
        assert_eq!(
            query("http://localhost:1"),
            "http://localhost:1?code=c&state=s%26%3D"
        );
        assert_eq!(
            query("http://localhost/?a=b"),
            "http://localhost/?a=b&code=c&state=s%26%3D"
        );
        assert_eq!(
            query("msauth://x/y%3D"),
            "msauth://x/y%3D?code=c&state=s%26%3D"
        );
        let fragment = location("http://localhost/", ResponseMode::Fragment);
        assert_eq!(fragment, "http://localhost/#code=c&state=s%26%3D");
    }

    #[test]
    fn a_form_may_lead_to_the_client() {
        let form_action = |uri: &str| {
            let response_mode = ResponseMode::Query;
            RedirectTarget {
                redirect_uri: uri.to_owned(),
                response_mode,
                state: None,
            }
            .form_action()
        };
        assert_eq!(form_action("http://localhost:99/cb"), "http://localhost:99");
        assert_eq!(
            form_action("ms-appx-web://Microsoft.AAD.BrokerPlugin/x"),
            "ms-appx-web:"
        );
        assert_eq!(form_action("http://[::1]:99/cb"), "http:");
    }
}
