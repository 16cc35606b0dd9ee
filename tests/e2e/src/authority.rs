//! The development authority, inside the test: faults are scripted, every token it issued is known,
//! and a restart forgets nothing.

use keyward_dev_authority::{
    Authority, Builder, FaultRule, LogEntry, OidcMode, Running, Stopped, StrictClient,
};
use keyward_testkit::http;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::stack::Tenant;

/// A running development authority.
pub struct TestAuthority {
    runtime: Runtime,
    state: State,
    http: String,
}

/// A step of a sign-in, as the authority sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInStep {
    /// RFC 6749 §4.1.1: the authorize endpoint was asked.
    Shown,
    /// RFC 6749 §4.1.3: the code was redeemed.
    Redeemed,
}

enum State {
    Running(Running),
    Stopped(Stopped),
    Changing,
}

impl TestAuthority {
    /// Starts it on a free port.
    pub fn start(mode: OidcMode) -> Self {
        Self::run(Authority::builder().mode(mode))
    }

    /// Starts it on a free port, and it knows one client, [`CLIENT`](crate::CLIENT), with these
    /// redirect URIs and no other.
    pub fn strict(redirect_uris: &[&str]) -> Self {
        let client = StrictClient {
            redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
            ..crate::CLIENT.into()
        };
        Self::run(Authority::builder().strict_clients([client]))
    }

    fn run(builder: Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let started = runtime.block_on(builder.start());
        let running = started.expect("the authority listens");
        Self {
            http: running.http().to_owned(),
            state: State::Running(running),
            runtime,
        }
    }

    /// Its origin, `http://127.0.0.1:PORT`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The certificate it shows on TLS connections, in PEM.
    pub fn certificate(&self) -> &str {
        self.running().certificate()
    }

    /// The demo API.
    pub fn api(&self) -> String {
        format!("{}/api/me", self.http)
    }

    /// For whom the demo API takes a bearer token to be. Panics when it refuses the token.
    pub fn whose(&self, access_token: &str) -> String {
        let header = format!("Bearer {access_token}");
        let answer = http::get(&self.api(), &[("Authorization", &header)]);
        let answer = answer.expect("the API answers");
        assert_eq!(answer.status, 200, "the API refuses the token: {answer:?}");
        let me = answer.json();
        let user = me["preferred_username"].as_str();
        user.expect("the API knows a user").to_owned()
    }

    /// The issuer of a tenant.
    pub fn issuer(&self, tenant: Tenant) -> String {
        self.running().issuer(tenant.into())
    }

    /// The OpenID tenant's token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer(Tenant::Oidc))
    }

    /// The GUID of a tenant; the OpenID tenant's is derived from its issuer.
    pub fn tenant(&self, tenant: Tenant) -> String {
        match tenant {
            Tenant::Entra => keyward_dev_authority::ENTRA_TENANT.to_owned(),
            Tenant::Oidc => {
                let issuer = self.issuer(tenant);
                Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.as_bytes()).to_string()
            }
        }
    }

    /// Scripts a fault.
    pub fn fault(&self, rule: FaultRule) {
        self.running().fault(rule).expect("the fault makes sense");
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.running().clear_faults();
    }

    /// Every refresh token issued, oldest first.
    pub fn refresh_tokens(&self) -> Vec<String> {
        let issued = self.running().issued();
        issued
            .into_iter()
            .map(|token| token.refresh_token)
            .collect()
    }

    /// Which tenants issued the refresh tokens of [`refresh_tokens`](Self::refresh_tokens).
    pub fn issuers(&self) -> Vec<Tenant> {
        let issued = self.running().issued().into_iter();
        let tenant = |issued: keyward_dev_authority::Tenant| {
            if issued == Tenant::Oidc.into() {
                Tenant::Oidc
            } else {
                Tenant::Entra
            }
        };
        issued.map(|token| tenant(token.tenant)).collect()
    }

    /// To whom the refresh tokens of [`refresh_tokens`](Self::refresh_tokens) were issued.
    pub fn issued_to(&self) -> Vec<String> {
        let issued = self.running().issued().into_iter();
        issued.map(|token| token.user).collect()
    }

    /// Ends every refresh token of a user.
    pub fn revoke(&self, user: &str) -> usize {
        self.running().revoke(user)
    }

    /// The latest requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.running().log()
    }

    /// How many refresh tokens were redeemed.
    pub fn renewals(&self) -> usize {
        let log = self.log();
        let redeemed = |entry: &&LogEntry| {
            entry.grant_type.as_deref() == Some("refresh_token") && entry.status == 200
        };
        log.iter().filter(redeemed).count()
    }

    /// How often each of the refresh tokens of [`refresh_tokens`](Self::refresh_tokens) was
    /// redeemed.
    pub fn redeemed(&self) -> Vec<u32> {
        let issued = self.running().issued().into_iter();
        issued.map(|token| token.redeemed).collect()
    }

    /// What happened for sign-ins, oldest first: pages asked for and codes redeemed.
    pub fn sign_ins(&self) -> Vec<SignInStep> {
        let step = |entry: LogEntry| {
            if entry.path.ends_with("/authorize") && entry.method == "GET" {
                return Some(SignInStep::Shown);
            }
            let code = entry.grant_type.as_deref() == Some("authorization_code");
            (code && entry.status == 200).then_some(SignInStep::Redeemed)
        };
        self.log().into_iter().filter_map(step).collect()
    }

    /// Stops listening. Nothing is forgotten.
    pub fn stop(&mut self) {
        if let State::Running(running) = std::mem::replace(&mut self.state, State::Changing) {
            self.state = State::Stopped(self.runtime.block_on(running.shutdown()));
        }
    }

    /// Listens again on the same port.
    pub fn resume(&mut self) {
        if let State::Stopped(stopped) = std::mem::replace(&mut self.state, State::Changing) {
            let started = self.runtime.block_on(stopped.start());
            self.state = State::Running(started.expect("the port is still free"));
        }
    }

    fn running(&self) -> &Running {
        match &self.state {
            State::Running(running) => running,
            State::Stopped(_) | State::Changing => panic!("the authority does not run"),
        }
    }
}
