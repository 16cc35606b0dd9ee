//! The authority while it runs: serving, stopping, starting again, and steering it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::handler::HandlerWithoutStateExt as _;
use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dispatch::dispatch;
use crate::faults::{FaultRule, InvalidFault};
use crate::grants::refresh::issued::IssuedRefreshToken;
use crate::listen::listen;
use crate::origin::Scheme;
use crate::request_log::LogEntry;
use crate::state::State;
use crate::tenant::Tenant;
use crate::tls::Connections;

/// An authority that does not listen but forgets nothing: what a restart looks like from outside.
pub struct Stopped {
    state: Arc<State>,
    address: Option<IpAddr>,
}

impl Stopped {
    /// An authority that has not listened yet.
    pub(crate) const fn new(state: Arc<State>, address: Option<IpAddr>) -> Self {
        Self { state, address }
    }

    /// Listens again on the same port, with the same keys, users and tokens.
    ///
    /// # Errors
    ///
    /// When the port was taken meanwhile.
    pub async fn start(self) -> io::Result<Running> {
        let listeners = listen(self.address, self.state.port).await?;
        self.serve(listeners)
    }

    pub(crate) fn serve(self, listeners: Vec<TcpListener>) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let host = match listeners.first().map(TcpListener::local_addr).transpose()? {
            Some(SocketAddr::V6(_)) => "[::1]",
            _ => "127.0.0.1",
        };
        let http = format!("http://{host}:{}", self.state.port);
        let tasks = listeners
            .into_iter()
            .map(|listener| tokio::spawn(serve(listener, self.state.clone(), stopped.clone())))
            .collect();
        Ok(Running {
            stopped: self,
            http,
            stop,
            tasks,
        })
    }
}

/// An authority that listens. Dropping it stops it.
pub struct Running {
    stopped: Stopped,
    http: String,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Its origin, `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The certificate it shows on TLS connections to its port, in PEM. It names loopback and
    /// nothing else, signs no other, and is made anew whenever an authority is built.
    pub fn certificate(&self) -> &str {
        self.state().tls.certificate()
    }

    /// The port it listens on, for HTTP and for TLS.
    pub fn port(&self) -> u16 {
        self.state().port
    }

    /// What `/admin` wants to see in `Authorization: Bearer`.
    pub fn admin_token(&self) -> &str {
        &self.state().admin_token
    }

    /// The issuer of a tenant under [`http`](Self::http).
    pub fn issuer(&self, tenant: Tenant) -> String {
        format!("{}{}", self.http, tenant.issuer_path())
    }

    /// What the starter of a separate process needs to know, for one line of JSON: absolute URLs
    /// without trailing slash, and the admin token.
    pub fn announcement(&self) -> Value {
        json!({
            "http": self.http,
            "oidc": self.issuer(Tenant::Oidc),
            "entra": self.issuer(Tenant::Entra),
            "api": format!("{}/api/me", self.http),
            "admin": format!("{}/admin", self.http),
            "admin_token": self.admin_token(),
        })
    }

    /// Scripts a fault.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn fault(&self, rule: FaultRule) -> Result<(), InvalidFault> {
        self.state().faults.add(rule)
    }

    /// The scripted faults that still wait.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.state().faults.list()
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Every refresh token issued, oldest first.
    pub fn issued(&self) -> Vec<IssuedRefreshToken> {
        self.state().refresh_tokens.issued()
    }

    /// The latest requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.state().log.entries()
    }

    /// Ends every refresh token of a user; says how many sign-ins that were.
    pub fn revoke(&self, user_name: &str) -> usize {
        self.state().refresh_tokens.revoke_user(user_name)
    }

    /// Forgets everybody and everything but the keys.
    pub fn reset(&self) {
        self.state().reset();
    }

    /// Changes how long access tokens live from now on.
    pub fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.state().set_access_token_lifetime(lifetime);
    }

    /// Stops listening, ends what waits for scripted delays, and closes connections as their
    /// requests end, after five seconds in any case.
    pub async fn shutdown(self) -> Stopped {
        let _ = self.stop.send(true);
        for mut task in self.tasks {
            if tokio::time::timeout(Duration::from_secs(5), &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
        self.stopped
    }

    fn state(&self) -> &State {
        &self.stopped.state
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, stopped: watch::Receiver<bool>) {
    let mut stop = stopped.clone();
    let connections = Connections::new(listener, state.tls.acceptor());
    let handler = move |ConnectInfo(scheme): ConnectInfo<Scheme>, request: Request<Body>| async move {
        dispatch(&state, stopped, (scheme, request)).await
    };
    let service = handler.into_make_service_with_connect_info::<Scheme>();
    let server = axum::serve(connections, service);
    let ended = server.with_graceful_shutdown(async move {
        // An error means that `Running` was dropped, which stops it as well.
        let _ = stop.wait_for(|stopped| *stopped).await;
    });
    if let Err(error) = ended.await {
        tracing::warn!(%error, "the development authority stopped");
    }
}
