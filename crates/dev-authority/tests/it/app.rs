//! A test client of one tenant.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use keyward_dev_authority::scripted::Person;
use keyward_dev_authority::{Authority, Running};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::browser::{Browser, http, parameter};
use crate::key::Key;

pub const CLIENT_ID: &str = "7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6";
pub const OTHER_CLIENT_ID: &str = "0f0f0f0f-2b4c-4d6e-8f90-a1b2c3d4e5f6";
pub const REDIRECT_URI: &str = "http://localhost:51234/";
pub const SCOPE: &str = "openid profile email offline_access api.read";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub async fn authority() -> Running {
    Authority::builder().start().await.unwrap()
}

pub fn alice() -> Person {
    Person::new("alice@dev.test", "pw")
}

pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// An answer of the back channel.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let json = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
        Self {
            status,
            headers,
            json,
        }
    }

    pub fn text(&self, name: &str) -> &str {
        self.json[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.json))
    }

    pub fn error(&self) -> &str {
        self.json["error"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self
    }
}

/// A client of one tenant.
pub struct App {
    pub http: Client,
    /// The tenant's endpoints are here: `authorize`, `token`…
    pub base: String,
    pub client_id: String,
    /// With a key, every token request carries a proof.
    pub key: Option<Key>,
    pub now: u64,
    pub nonce: Mutex<Option<String>>,
}

impl App {
    fn new(base: String, key: Option<Key>) -> Self {
        let client_id = CLIENT_ID.to_owned();
        let (nonce, now) = (Mutex::new(None), unix_now());
        Self {
            http: http(),
            base,
            client_id,
            key,
            now,
            nonce,
        }
    }

    /// Of the OpenID tenant, with a key.
    pub fn oidc(running: &Running) -> Self {
        Self::new(format!("{}/oidc", running.http()), Some(Key::new()))
    }

    /// Of the Entra-shaped tenant.
    pub fn entra(running: &Running) -> Self {
        Self::new(format!("{}/common/oauth2/v2.0", running.http()), None)
    }

    pub fn with_client_id(self, client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            ..self
        }
    }

    pub fn authorize_url(&self, scope: &str, more: &[(&str, &str)]) -> Url {
        let mut url = Url::parse(&format!("{}/authorize", self.base)).unwrap();
        let parameters = [
            ("client_id", self.client_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT_URI),
            ("scope", scope),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let replaced = |name| more.iter().any(|(other, _)| *other == name);
        let kept = parameters.iter().filter(|(name, _)| !replaced(*name));
        let given = more.iter().filter(|(_, value)| !value.is_empty());
        url.query_pairs_mut().extend_pairs(kept.chain(given));
        url
    }

    /// A code for a person, in a fresh browser.
    pub async fn code(&self, person: &Person, scope: &str) -> String {
        let url = self.authorize_url(scope, &[]);
        let redirect = Browser::new().sign_in(&url, person).await.unwrap();
        parameter(&redirect, "code").unwrap()
    }

    pub async fn sign_in(&self, person: &Person, scope: &str) -> Answer {
        let code = self.code(person, scope).await;
        self.redeem(&code, &[]).await.ok()
    }

    pub async fn redeem(&self, code: &str, more: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        self.token(&[&form, more].concat()).await
    }

    pub async fn refresh(&self, refresh_token: &str, more: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.token(&[&form, more].concat()).await
    }

    /// A token request; with a key, with a proof and the latest nonce, and once more if the
    /// authority wants another nonce.
    pub async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let first = self.token_once(form).await;
        if first.error() == "use_dpop_nonce" {
            self.token_once(form).await
        } else {
            first
        }
    }

    pub async fn token_once(&self, form: &[(&str, &str)]) -> Answer {
        let proof = self.key.as_ref().map(|key| {
            let nonce = self.nonce.lock().unwrap().clone();
            key.dpop(&self.proof_claims(nonce.as_deref()))
        });
        self.token_with_proof(proof.as_deref(), form).await
    }

    /// A token request with exactly this proof.
    pub async fn token_with_proof(&self, proof: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let headers: Vec<_> = proof.into_iter().map(|proof| ("DPoP", proof)).collect();
        let client_id = [("client_id", self.client_id.as_str())];
        let named = form.iter().any(|(name, _)| *name == "client_id");
        let form = if named {
            form.to_vec()
        } else {
            [&client_id, form].concat()
        };
        let answer = self.post("token", &headers, &form).await;
        if let Some(nonce) = answer.headers.get("dpop-nonce") {
            *self.nonce.lock().unwrap() = Some(nonce.to_str().unwrap().to_owned());
        }
        answer
    }

    /// The claims of a proof for the token endpoint.
    pub fn proof_claims(&self, nonce: Option<&str>) -> Value {
        let mut claims = json!({
            "jti": uuid::Uuid::new_v4().to_string(),
            "htm": "POST",
            "htu": format!("{}/token", self.base),
            "iat": self.now,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }

    /// The nonce given out last.
    pub async fn nonce(&self) -> String {
        self.token_with_proof(None, &[]).await;
        self.nonce.lock().unwrap().clone().unwrap()
    }

    pub async fn post(
        &self,
        endpoint: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}/{endpoint}", self.base);
        post(&self.http, &url, headers, form).await
    }
}

pub async fn post(
    http: &Client,
    url: &str,
    headers: &[(&str, &str)],
    form: &[(&str, &str)],
) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = http
        .post(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.body(body).send().await.unwrap()).await
}

pub async fn get(http: &Client, url: &str) -> Answer {
    Answer::read(http.get(url).send().await.unwrap()).await
}
