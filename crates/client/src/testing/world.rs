//! Everything together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyward_oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_oauth::scope::Scopes;

use super::agent::Handle;
use super::authority::{ENTRA, ISSUER};
use super::device::{Dice, Keys, StandingClock, Vault};
use super::{Agent, Authority, Binds, Person};
use crate::account::AccountSelector;
use crate::authority::{AuthorityKind, AuthorityRule, AuthorityRules, DpopPolicy};
use crate::error::AcquireTokenError;
use crate::ports::Ports;
use crate::request::{
    AuthenticationScheme, CachePolicy, Demands, InteractiveRequest, ParentWindow, PopParameters,
    ResourceRequest, SilentRequest, TokenRequest,
};
use crate::result::AuthenticationResult;
use crate::{Engine, Settings};

pub struct World {
    pub clock: Arc<StandingClock>,
    pub authority: Arc<Authority>,
    pub vault: Arc<Vault>,
    pub keys: Arc<Keys>,
    pub agent: Arc<Agent>,
    pub engine: Engine,
    /// The agent as the engine gets it.
    pub handle: Arc<Handle>,
    settings: Settings,
    ports: Ports,
}

impl World {
    /// An OpenID provider.
    pub async fn openid(binds: Binds) -> Self {
        Self::with(AuthorityKind::OpenId, binds, |_| ()).await
    }

    /// Entra ID.
    pub async fn entra() -> Self {
        Self::with(AuthorityKind::Entra, Binds::Nothing, |_| ()).await
    }

    /// One of them, with a changed rule.
    pub async fn with(
        kind: AuthorityKind,
        binds: Binds,
        change: impl FnOnce(&mut AuthorityRule),
    ) -> Self {
        let clock = Arc::new(StandingClock::at(1_800_000_000));
        let authority = Arc::new(Authority::new(kind, binds, Arc::clone(&clock)));
        let (vault, keys) = (Arc::new(Vault::default()), Arc::new(Keys::default()));
        let mut rule = AuthorityRule {
            matches: vec!["https://localhost/common".to_owned()],
            issuer: ISSUER.to_owned(),
            kind: AuthorityKind::OpenId,
            dpop: DpopPolicy::Auto,
            verify_binding: false,
        };
        change(&mut rule);
        let ports = Ports {
            http: Arc::clone(&authority) as _,
            records: Arc::clone(&vault) as _,
            keys: Arc::clone(&keys) as _,
            clock: Arc::clone(&clock) as _,
            random: Arc::new(Dice),
        };
        let settings = Settings {
            authorities: AuthorityRules::new(vec![rule]).unwrap(),
            ..Settings::default()
        };
        let engine = Engine::new(ports.clone(), settings.clone());
        engine.open().await.unwrap();
        let agent = Arc::new(Agent::new(Arc::clone(&authority)));
        Self {
            handle: Arc::new(Handle(Arc::clone(&agent))),
            agent,
            clock,
            authority,
            vault,
            keys,
            engine,
            settings,
            ports,
        }
    }

    /// The same, with alice signed in for `a b`.
    pub async fn signed_in(self) -> Self {
        self.sign_in("alice").await.unwrap();
        self
    }

    /// Forgets everything that is not in the vault.
    pub async fn restart(&mut self) {
        self.engine = Engine::new(self.ports.clone(), self.settings.clone());
        self.engine.open().await.unwrap();
    }

    /// The same, and the configuration names no authority any more.
    pub async fn restart_unconfigured(&mut self) {
        self.settings.authorities = AuthorityRules::default();
        self.restart().await;
    }

    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// The name of the authority.
    pub fn name(&self) -> &'static str {
        match self.authority.state().kind {
            AuthorityKind::OpenId => ISSUER,
            AuthorityKind::Entra => "https://login.microsoftonline.com/common",
        }
    }

    pub fn request(&self, scopes: &str) -> TokenRequest {
        TokenRequest {
            client_id: client("app"),
            authority: self.name().to_owned(),
            scopes: Scopes::parse(scopes),
            scheme: AuthenticationScheme::Bearer,
            claims: None,
            redirect_uri: None,
            extra_parameters: BTreeMap::new(),
            demands: Demands::default(),
            correlation_id: CorrelationId::from_random([7; 16]),
        }
    }

    pub fn silent(&self, scopes: &str) -> SilentRequest {
        SilentRequest {
            token: self.request(scopes),
            account: AccountSelector::Only,
            cache: CachePolicy::UseCache,
        }
    }

    pub fn interactive(&self, scopes: &str) -> InteractiveRequest {
        InteractiveRequest {
            token: self.request(scopes),
            account: None,
            login_hint: None,
            prompt: None,
            window: ParentWindow::None,
            deadline: Some(Duration::from_secs(100)),
        }
    }

    pub async fn show(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let agent = Arc::clone(&self.handle);
        self.engine.interactive(request, agent).await
    }

    pub async fn sign_in(
        &self,
        user: &'static str,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        self.agent.becomes(Person::SignsIn(user));
        self.show(self.interactive("a b")).await
    }

    pub async fn token(&self, scopes: &str) -> Result<AuthenticationResult, AcquireTokenError> {
        self.engine.silent(self.silent(scopes)).await
    }

    /// Lets every access token there is end.
    pub fn expire(&self) {
        self.clock.forward(4000);
    }
}

/// Lets everything else run until something is so.
pub async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..3_000_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never became so");
}

pub fn client(name: &str) -> ClientId {
    ClientId::parse(name).unwrap()
}

pub fn entra(tenant: &str) -> String {
    format!("{ENTRA}/{tenant}")
}

pub fn home(user: &str) -> HomeAccountId {
    HomeAccountId::new(&super::authority::guid(user), super::authority::TENANT)
}

pub fn pop(nonce: &str) -> AuthenticationScheme {
    AuthenticationScheme::Pop(PopParameters {
        method: "GET".to_owned(),
        host: "api.example".to_owned(),
        path: "/me".to_owned(),
        nonce: Some(nonce.to_owned()),
        client_claims: None,
    })
}

pub fn resource() -> ResourceRequest {
    ResourceRequest {
        method: "GET".to_owned(),
        uri: "https://api.example/me?x=y".to_owned(),
        nonce: None,
    }
}
