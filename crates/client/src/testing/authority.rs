//! An authority in memory: discovery, keys, authorize, token and revocation endpoints, with PKCE,
//! DPoP, rotation and reuse detection, as an OpenID provider or as Entra.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;
use zeroize::Zeroizing;

use keyward_oauth::jose::base64url;
use keyward_oauth::jose::digest::sha256;
use keyward_oauth::transport::{HttpClient, HttpRequest, HttpResponse, TransportError};

use super::device::{SoftKey, StandingClock};
use crate::authority::AuthorityKind;

mod metadata;
mod tokens;

use metadata::tenant_of;

pub use tokens::guid;

pub const ISSUER: &str = "https://idp.example/realms/dev";
pub const ENTRA: &str = "https://login.microsoftonline.com";
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const GUEST_TENANT: &str = "99999999-2222-3333-4444-555555555555";

/// What the authority binds to the key of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    /// DPoP is unknown here.
    Nothing,
    /// It is announced, and ignored.
    Pretends,
    /// Refresh tokens; access tokens only where `token_type=DPoP` asks for it.
    RefreshTokens,
    /// Both.
    Everything,
}

/// What happens to one token request.
pub enum Fault {
    /// No answer comes; the request never arrived.
    Unreachable,
    /// This answer, instead of any work.
    Answer(u16, Option<&'static str>, String),
    /// The answer is about another person.
    About(&'static str),
    /// The answer is of another tenant than the one asked.
    OfTenant(&'static str),
    /// The ID token is signed by a key that is not (yet) among the published ones.
    NewSigningKey,
    /// The answer, changed.
    Changed(fn(&mut Value)),
}

/// What is answered to an authorize request nobody sees.
#[derive(Clone, Copy)]
pub enum Rehearsal {
    /// `login_required`, at the redirect URI.
    LoginRequired,
    /// This page.
    Page(u16, &'static str),
    /// Nothing, ever.
    Silence,
}

pub struct Authority {
    pub clock: Arc<StandingClock>,
    state: Mutex<State>,
    /// Token requests that arrived.
    pub posts: AtomicUsize,
    /// Requests for metadata and keys that arrived.
    pub gets: AtomicUsize,
    /// Token answers wait for a permit here, after the work is done.
    pub stall: Mutex<Option<Arc<Semaphore>>>,
}

#[allow(clippy::struct_excessive_bools)] // each is a switch of the script
pub struct State {
    pub kind: AuthorityKind,
    pub binds: Binds,
    pub rotates: bool,
    /// A wrong key costs the family, as some providers have it.
    pub revokes_on_wrong_key: bool,
    /// The nonce demanded in proofs.
    pub nonce: Option<String>,
    pub expires_in: u64,
    pub refresh_in: Option<u64>,
    /// Scopes granted instead of those asked for.
    pub grants: Option<&'static str>,
    pub gives_id_token_on_refresh: bool,
    pub unreachable: bool,
    /// Metadata and keys cannot be fetched.
    pub dumb: bool,
    /// Revocations are never answered.
    pub keeps_revocations_waiting: bool,
    /// What is answered to authorize requests nobody sees; nothing, if it is never answered.
    pub rehearsal: Rehearsal,
    pub faults: VecDeque<Fault>,
    /// The forms of all token requests.
    pub forms: Vec<HashMap<String, String>>,
    /// The parameters of all authorize requests nobody saw.
    pub rehearsed: Vec<HashMap<String, String>>,
    pub revoked: Vec<String>,
    signing_keys: Vec<SoftKey>,
    published: usize,
    codes: HashMap<String, Grant>,
    refresh_tokens: HashMap<String, (Grant, TokenState)>,
    issued: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenState {
    Valid,
    Used,
    Revoked,
}

/// What a person granted.
#[derive(Clone, Debug)]
struct Grant {
    user: &'static str,
    client: String,
    scope: String,
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
    jkt: Option<String>,
    tenant: String,
    family: u32,
}

impl Authority {
    pub fn new(kind: AuthorityKind, binds: Binds, clock: Arc<StandingClock>) -> Self {
        Self {
            clock,
            posts: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            stall: Mutex::default(),
            state: Mutex::new(State {
                kind,
                binds,
                rotates: true,
                revokes_on_wrong_key: false,
                nonce: None,
                expires_in: 3600,
                refresh_in: None,
                grants: None,
                gives_id_token_on_refresh: true,
                unreachable: false,
                dumb: false,
                keeps_revocations_waiting: false,
                rehearsal: Rehearsal::LoginRequired,
                faults: VecDeque::new(),
                forms: Vec::new(),
                rehearsed: Vec::new(),
                revoked: Vec::new(),
                signing_keys: vec![SoftKey::generate()],
                published: 1,
                codes: HashMap::new(),
                refresh_tokens: HashMap::new(),
                issued: 0,
            }),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fault(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }

    /// The form of the latest token request.
    pub fn last_form(&self) -> HashMap<String, String> {
        self.state().forms.last().cloned().unwrap()
    }

    /// Publishes every signing key.
    pub fn publish_keys(&self) {
        let mut state = self.state();
        state.published = state.signing_keys.len();
    }

    /// From now on the answers to token requests wait until they are let go.
    pub fn stall(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.stall.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// The person `user` signs in and consents; the redirect that follows.
    pub fn authorize(&self, url: &Url, user: &'static str) -> Url {
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let mut state = self.state();
        state.issued += 1;
        let code = format!("code-{}", state.issued);
        let family = state.issued;
        let grant = Grant {
            user,
            client: asked["client_id"].clone(),
            scope: asked["scope"].clone(),
            nonce: asked.get("nonce").cloned(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            jkt: asked.get("dpop_jkt").cloned(),
            tenant: tenant_of(url).to_owned(),
            family,
        };
        state.codes.insert(code.clone(), grant);
        let mut redirect = Url::parse(&asked["redirect_uri"]).unwrap();
        redirect
            .query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &asked["state"]);
        if state.kind == AuthorityKind::OpenId {
            redirect.query_pairs_mut().append_pair("iss", ISSUER);
        }
        redirect
    }

    /// A redirect that refuses.
    pub fn refuse(url: &Url, error: &str) -> Url {
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let mut redirect = Url::parse(&asked["redirect_uri"]).unwrap();
        let mut query = redirect.query_pairs_mut();
        query
            .append_pair("error", error)
            .append_pair("state", &asked["state"]);
        query.append_pair("iss", ISSUER);
        drop(query);
        redirect
    }

    async fn rehearse(&self, url: &Url) -> HttpResponse {
        let rehearsal = {
            let mut state = self.state();
            let asked = url.query_pairs().into_owned().collect();
            state.rehearsed.push(asked);
            state.rehearsal
        };
        match rehearsal {
            Rehearsal::LoginRequired => {
                let mut response = plain(302, None, b"");
                let target = Self::refuse(url, "login_required");
                let location = target.as_str().parse().unwrap();
                response.headers.insert("location", location);
                response
            }
            Rehearsal::Page(status, text) => plain(status, None, text.as_bytes()),
            Rehearsal::Silence => std::future::pending().await,
        }
    }

    fn give_nonce(&self, response: &mut HttpResponse) {
        if let Some(nonce) = &self.state().nonce {
            response
                .headers
                .insert("dpop-nonce", nonce.parse().unwrap());
        }
    }
}

#[async_trait]
impl HttpClient for Authority {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let unreachable = || TransportError::Connect {
            host: "idp.example".to_owned(),
            reason: "as the test wants".to_owned(),
        };
        // A real network takes time, too.
        tokio::task::yield_now().await;
        if self.state().unreachable {
            return Err(unreachable());
        }
        let path = request.url.path();
        if request.method == http::Method::GET && self.state().dumb {
            self.gets.fetch_add(1, Ordering::SeqCst);
            return Ok(plain(500, None, b"<html>"));
        }
        if let Some(issuer) = request
            .url
            .as_str()
            .strip_suffix("/.well-known/openid-configuration")
        {
            self.gets.fetch_add(1, Ordering::SeqCst);
            return Ok(answer(200, &self.metadata(issuer)));
        }
        if path.ends_with("/jwks") {
            self.gets.fetch_add(1, Ordering::SeqCst);
            return Ok(answer(200, &self.jwks()));
        }
        if path.ends_with("/authorize") {
            return Ok(self.rehearse(&request.url).await);
        }
        if path.ends_with("/revoke") {
            let waits = self.state().keeps_revocations_waiting;
            if waits {
                std::future::pending::<()>().await;
            }
            let form: HashMap<_, _> = url::form_urlencoded::parse(&request.body)
                .into_owned()
                .collect();
            self.state().revoked.push(form["token"].clone());
            return Ok(answer(200, &json!({})));
        }
        assert!(path.ends_with("/token"), "{path}");
        self.posts.fetch_add(1, Ordering::SeqCst);
        let fault = self.state().faults.pop_front();
        let response = match fault {
            Some(Fault::Unreachable) => return Err(unreachable()),
            Some(Fault::Answer(status, retry_after, body)) => {
                let mut response = plain(status, retry_after, body.as_bytes());
                self.give_nonce(&mut response);
                response
            }
            fault => self.token(&request, fault.as_ref()),
        };
        let gate = self.stall.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        Ok(response)
    }
}

pub fn answer(status: u16, body: &Value) -> HttpResponse {
    plain(status, None, body.to_string().as_bytes())
}

fn plain(status: u16, retry_after: Option<&str>, body: &[u8]) -> HttpResponse {
    let mut headers = HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert("retry-after", text.parse().unwrap());
    }
    HttpResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Zeroizing::new(body.to_vec()),
    }
}

fn s256(text: &str) -> String {
    base64url::encode(&sha256(text.as_bytes()))
}
