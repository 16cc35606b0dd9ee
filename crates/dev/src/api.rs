//! The protected resource of the demonstration, called with each kind of token.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use keyward::{AuthenticationResult, ResourceRequest};
use keyward_dev_authority::Running;
use keyward_http::Client;
use keyward_oauth::transport::{HttpClient as _, HttpRequest};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::DevError;
use crate::authority;

/// A client of `/api/me`.
pub struct Api {
    client: Client,
    url: Url,
}

/// What the resource answered.
#[derive(Debug)]
pub struct ApiAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    /// A client of this authority's resource.
    ///
    /// # Errors
    ///
    /// Never in practice: the authority's origin is a URL.
    pub fn new(authority: &Running) -> Result<Self, DevError> {
        let url = format!("{}/api/me", authority::localhost(authority));
        let url = Url::parse(&url)
            .map_err(|error| DevError::Environment(format!("the API's URL is none: {error}")))?;
        Ok(Self {
            client: Client::new(),
            url,
        })
    }

    /// A request to the resource, for proofs.
    pub fn target(&self, method: &str) -> ResourceRequest {
        ResourceRequest {
            method: method.to_owned(),
            uri: self.url.to_string(),
            nonce: None,
        }
    }

    /// `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn bearer(&self, token: &AuthenticationResult) -> Result<ApiAnswer, DevError> {
        self.send(
            "GET",
            &format!("Bearer {}", token.access_token.expose_secret()),
            None,
        )
        .await
    }

    /// `Authorization: DPoP` with a proof.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn dpop(
        &self,
        token: &AuthenticationResult,
        proof: &str,
    ) -> Result<ApiAnswer, DevError> {
        let authorization = format!("DPoP {}", token.access_token.expose_secret());
        self.send("GET", &authorization, Some(proof)).await
    }

    /// `Authorization: PoP`.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn pop(
        &self,
        shr: &AuthenticationResult,
        method: &str,
    ) -> Result<ApiAnswer, DevError> {
        self.send(
            method,
            &format!("PoP {}", shr.access_token.expose_secret()),
            None,
        )
        .await
    }

    /// Learns the nonce the resource wants in proofs (RFC 9449 §9) by trying without one.
    ///
    /// # Errors
    ///
    /// When the resource does not ask for a nonce.
    pub async fn dpop_nonce(&self, token: &AuthenticationResult) -> Result<String, DevError> {
        let proof = token.dpop_proof.as_deref().unwrap_or_default();
        let answer = self.dpop(token, proof).await?;
        let nonce = answer
            .headers
            .get("DPoP-Nonce")
            .and_then(|nonce| nonce.to_str().ok());
        match nonce {
            Some(nonce) if answer.status == StatusCode::UNAUTHORIZED => Ok(nonce.to_owned()),
            _ => Err(DevError::Demonstration(
                "the API demands no nonce".to_owned(),
            )),
        }
    }

    async fn send(
        &self,
        method: &str,
        authorization: &str,
        proof: Option<&str>,
    ) -> Result<ApiAnswer, DevError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header(authorization)?);
        if let Some(proof) = proof {
            headers.insert("DPoP", header(proof)?);
        }
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| DevError::Environment("that is no HTTP method".to_owned()))?;
        let request = HttpRequest {
            method,
            url: self.url.clone(),
            headers,
            body: Zeroizing::new(Vec::new()),
        };
        let answer = self
            .client
            .send(request)
            .await
            .map_err(|error| DevError::Environment(error.to_string()))?;
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(ApiAnswer {
            status: answer.status,
            headers: answer.headers,
            body,
        })
    }
}

impl ApiAnswer {
    /// Whether the resource let the caller in.
    pub fn accepted(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// Whether the resource refused the caller.
    pub fn refused(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Who the resource thinks it is talking to.
    pub fn username(&self) -> &str {
        self.body["preferred_username"].as_str().unwrap_or("nobody")
    }
}

fn header(text: &str) -> Result<HeaderValue, DevError> {
    HeaderValue::from_str(text)
        .map_err(|_| DevError::Environment("that is no header value".to_owned()))
}
