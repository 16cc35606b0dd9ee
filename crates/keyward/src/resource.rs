//! The HTTP request a proof is made for.

use keyward_client::error::AcquireTokenError;
use keyward_client::request::{PopParameters, ResourceRequest};
use url::Url;

use crate::conversion::invalid;

/// `m`, `u` and `p` of a signed HTTP request (draft-ietf-oauth-signed-http-request §3): the
/// method, `host[:port]` and the path, without the query.
pub(crate) fn pop_parameters(
    method: &str,
    uri: &str,
    nonce: Option<&str>,
    client_claims: Option<&str>,
) -> Result<PopParameters, AcquireTokenError> {
    let uri = absolute(uri)?;
    Ok(PopParameters {
        method: upper_case(method)?,
        host: host_and_port(&uri),
        path: uri.path().to_owned(),
        nonce: nonce.map(str::to_owned),
        client_claims: client_claims.map(str::to_owned),
    })
}

/// `htm` and `htu` of a DPoP proof (RFC 9449 §4.2): the method, and the URI without query and
/// fragment.
pub(crate) fn resource_request(
    method: &str,
    uri: &str,
    nonce: Option<&str>,
) -> Result<ResourceRequest, AcquireTokenError> {
    let mut uri = absolute(uri)?;
    uri.set_query(None);
    uri.set_fragment(None);
    Ok(ResourceRequest {
        method: upper_case(method)?,
        uri: uri.into(),
        nonce: nonce.map(str::to_owned),
    })
}

fn absolute(uri: &str) -> Result<Url, AcquireTokenError> {
    let parsed = Url::parse(uri)
        .map_err(|error| invalid(format!("resource_request_uri is not a URL: {error}")))?;
    if !matches!(parsed.scheme(), "https" | "http") || !parsed.has_host() {
        return Err(invalid(
            "resource_request_uri is not an absolute http or https URL",
        ));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(invalid(
            "resource_request_uri holds a user name or password, which no proof may name",
        ));
    }
    Ok(parsed)
}

/// A port that is the scheme's own is not written, as in a `Host` header.
fn host_and_port(uri: &Url) -> String {
    let host = uri.host_str().unwrap_or_default();
    match uri.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Methods are tokens (RFC 9110 §9.1). Resources compare them with upper-case names.
fn upper_case(method: &str) -> Result<String, AcquireTokenError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method.is_empty() || !method.bytes().all(token) {
        return Err(invalid("resource_request_method is not an HTTP method"));
    }
    Ok(method.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_names_host_port_and_path_without_the_query() {
        let pop = pop_parameters(
            "get",
            "https://API.example.com:8443/v1/me?x=1#y",
            Some("n"),
            Some("{}"),
        )
        .unwrap();
        assert_eq!(
            pop,
            PopParameters {
                method: "GET".to_owned(),
                host: "api.example.com:8443".to_owned(),
                path: "/v1/me".to_owned(),
                nonce: Some("n".to_owned()),
                client_claims: Some("{}".to_owned()),
            }
        );
    }

    #[test]
    fn a_default_port_and_an_empty_path_are_those_on_the_wire() {
        let pop = pop_parameters("POST", "https://api.example.com:443", None, None).unwrap();
        assert_eq!(
            (pop.host.as_str(), pop.path.as_str()),
            ("api.example.com", "/")
        );
    }

    #[test]
    fn a_literal_address_keeps_its_brackets() {
        let pop = pop_parameters("GET", "http://[::1]:8080/a", None, None).unwrap();
        assert_eq!(pop.host, "[::1]:8080");
    }

    #[test]
    fn a_dpop_target_has_no_query() {
        let resource = resource_request("Get", "https://api.example.com/a?b#c", None).unwrap();
        assert_eq!(resource.method, "GET");
        assert_eq!(resource.uri, "https://api.example.com/a");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for uri in [
            "",
            "/v1/me",
            "mailto:a@b.c",
            "file:///x",
            "https://u:p@a.example/",
        ] {
            assert!(pop_parameters("GET", uri, None, None).is_err(), "{uri}");
            assert!(resource_request("GET", uri, None).is_err(), "{uri}");
        }
        for method in ["", "GE T", "GET\r\nX: y"] {
            assert!(resource_request(method, "https://a.example/", None).is_err());
        }
    }
}
