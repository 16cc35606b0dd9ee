//! What an authority says about itself: OpenID Connect Discovery 1.0 §3 and §4, RFC 8414.

use http::header::{ACCEPT, HeaderMap, HeaderValue};
use keyward_jose::jwk::InvalidJwk;
use keyward_jose::{Algorithm, JwkSet};
use url::Url;
use zeroize::Zeroizing;

use crate::answer::{Answer, InvalidAnswer};
use crate::issuer::{Issuer, IssuerRule};
use crate::transport::{HttpRequest, HttpResponse, is_secure};

/// A metadata document whose issuer is the one asked for, and whose endpoints may be used.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// `issuer`, exactly as received; Entra's `{tenantid}` template where the tenant is open.
    pub issuer: Issuer,
    /// `authorization_endpoint`.
    pub authorization_endpoint: Url,
    /// `token_endpoint`.
    pub token_endpoint: Url,
    /// `jwks_uri`.
    pub jwks_uri: Url,
    /// `device_authorization_endpoint` (RFC 8628 §4).
    pub device_authorization_endpoint: Option<Url>,
    /// `revocation_endpoint` (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// `userinfo_endpoint`.
    pub userinfo_endpoint: Option<Url>,
    /// `end_session_endpoint` (OpenID Connect RP-Initiated Logout).
    pub end_session_endpoint: Option<Url>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 §3): `iss` must then be in
    /// every authorization response.
    pub authorization_response_iss_parameter_supported: bool,
    /// `dpop_signing_alg_values_supported` (RFC 9449 §5.1), those we know.
    pub dpop_signing_alg_values_supported: Vec<Algorithm>,
    /// `code_challenge_methods_supported` (RFC 8414 §2). `None`: not said, as Entra does.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// `scopes_supported`. `None`: not said.
    pub scopes_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Reads the answer to [`request`].
    ///
    /// # Errors
    ///
    /// When the status is not 200, or as for [`parse`](Self::parse).
    pub fn read(response: &HttpResponse, expected: &IssuerRule) -> Result<Self, MetadataError> {
        if response.status != http::StatusCode::OK {
            return Err(MetadataError::Status(response.status.as_u16()));
        }
        Self::parse(&response.body, expected)
    }

    /// Parses a metadata document.
    ///
    /// # Errors
    ///
    /// When it is not JSON, lacks what a sign-in needs, its issuer is another one (RFC 8414
    /// §3.3), or an endpoint is neither `https` nor on this machine.
    pub fn parse(body: &[u8], expected: &IssuerRule) -> Result<Self, MetadataError> {
        let mut answer = Answer::parse(body)?;
        let issuer = Issuer::parse(&answer.required("issuer")?)
            .map_err(|_| InvalidAnswer::Malformed("issuer"))?;
        if !expected.allows(&issuer) {
            return Err(MetadataError::OtherIssuer);
        }
        let dpop = answer.texts("dpop_signing_alg_values_supported");
        Ok(Self {
            issuer,
            authorization_endpoint: required(&mut answer, "authorization_endpoint")?,
            token_endpoint: required(&mut answer, "token_endpoint")?,
            jwks_uri: required(&mut answer, "jwks_uri")?,
            device_authorization_endpoint: endpoint(&mut answer, "device_authorization_endpoint")?,
            revocation_endpoint: endpoint(&mut answer, "revocation_endpoint")?,
            userinfo_endpoint: endpoint(&mut answer, "userinfo_endpoint")?,
            end_session_endpoint: endpoint(&mut answer, "end_session_endpoint")?,
            authorization_response_iss_parameter_supported: answer
                .flag("authorization_response_iss_parameter_supported"),
            dpop_signing_alg_values_supported: dpop
                .iter()
                .flatten()
                .filter_map(|name| Algorithm::parse(name))
                .collect(),
            code_challenge_methods_supported: answer.texts("code_challenge_methods_supported"),
            scopes_supported: answer.texts("scopes_supported"),
        })
    }

    /// Whether tokens can be bound to a P-256 key by DPoP.
    pub fn supports_dpop(&self) -> bool {
        self.dpop_signing_alg_values_supported
            .contains(&Algorithm::Es256)
    }
}

fn required(answer: &mut Answer, name: &'static str) -> Result<Url, MetadataError> {
    endpoint(answer, name)?.ok_or(MetadataError::Invalid(InvalidAnswer::Missing(name)))
}

fn endpoint(answer: &mut Answer, name: &'static str) -> Result<Option<Url>, MetadataError> {
    let Some(text) = answer.text(name)? else {
        return Ok(None);
    };
    let url = Url::parse(&text).map_err(|_| InvalidAnswer::Malformed(name))?;
    if is_secure(&url) {
        Ok(Some(url))
    } else {
        Err(MetadataError::Insecure(name))
    }
}

/// The request for the metadata of an authority: its URL without trailing slash, and
/// `/.well-known/openid-configuration` (OpenID Connect Discovery §4.1). For Entra the URL ends in
/// `/v2.0`.
pub fn request(authority: &Url) -> HttpRequest {
    let mut url = authority.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&(path + "/.well-known/openid-configuration"));
    get(url)
}

/// The request for the authority's signing keys.
pub fn jwks_request(metadata: &Metadata) -> HttpRequest {
    get(metadata.jwks_uri.clone())
}

/// Reads the answer to [`jwks_request`].
///
/// # Errors
///
/// When the status is not 200 or the body is no JWK Set.
pub fn read_jwks(response: &HttpResponse) -> Result<JwkSet, MetadataError> {
    if response.status != http::StatusCode::OK {
        return Err(MetadataError::Status(response.status.as_u16()));
    }
    Ok(JwkSet::parse(&response.body)?)
}

fn get(url: Url) -> HttpRequest {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    HttpRequest {
        method: http::Method::GET,
        url,
        headers,
        body: Zeroizing::new(Vec::new()),
    }
}

/// Why an authority's metadata or keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not 200.
    #[error("the authority answered {0} instead of its metadata")]
    Status(u16),
    /// The document breaks the specification.
    #[error("the authority's metadata cannot be used: {0}")]
    Invalid(#[from] InvalidAnswer),
    /// The document is about another issuer than the one asked for.
    #[error("the authority's metadata names another issuer than the one asked for")]
    OtherIssuer,
    /// An endpoint would be reached without TLS.
    #[error("{0} of the authority's metadata is neither https nor on this machine")]
    Insecure(&'static str),
    /// The key set is not a JWK Set.
    #[error("the authority's keys cannot be used: {0}")]
    Keys(#[from] InvalidJwk),
}

#[cfg(test)]
mod tests;
