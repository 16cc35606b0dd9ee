//! `dev.keyward.UserAgent1`: the broker asks a process with a screen to show a sign-in.
//!
//! The interface is served at the *client's* end of a connection to the broker, which offers it
//! with `OfferUserAgent`. [`remote`] is the broker's side, [`offer`] the client's.

pub(crate) mod offer;
pub(crate) mod remote;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keyward_client::oauth::transport::{ShowOptions, Sitting, UserAgent, UserAgentError};

use remote::RemoteAgent;

/// For whose sign-ins a process offers to be the user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentScope {
    /// For every request that has no agent of its own.
    Everyone,
    /// For the requests that come over the same connection, as far as it can show anything.
    OwnRequests,
}

impl AgentScope {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::OwnRequests => "own-requests",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Everyone, Self::OwnRequests]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// The agents that offered themselves for everyone, newest last.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<Vec<(u64, Arc<RemoteAgent>)>>);

impl Agents {
    pub(crate) fn offer(&self, connection: u64, agent: Arc<RemoteAgent>) {
        let mut agents = self.lock();
        agents.retain(|(id, _)| *id != connection);
        agents.push((connection, agent));
    }

    pub(crate) fn withdraw(&self, connection: u64) {
        self.lock().retain(|(id, _)| *id != connection);
    }

    /// The newest one.
    pub(crate) fn newest(&self) -> Option<Arc<dyn UserAgent>> {
        let agents = self.lock();
        let (_, agent) = agents.last()?;
        Some(Arc::clone(agent) as Arc<dyn UserAgent>)
    }

    /// The agent of one connection's requests, which gives way to the newest one for everyone
    /// where it has nothing to show a sign-in with.
    pub(crate) fn own(self: &Arc<Self>, own: Arc<RemoteAgent>) -> Arc<dyn UserAgent> {
        Arc::new(OwnFirst {
            own,
            agents: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Arc<RemoteAgent>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OwnFirst {
    own: Arc<RemoteAgent>,
    agents: Arc<Agents>,
}

#[async_trait]
impl UserAgent for OwnFirst {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        let own = match self.own.prepare(show.clone()).await {
            Err(own @ UserAgentError::Unavailable(_)) => own,
            prepared => return prepared,
        };
        match self.agents.newest() {
            Some(everyones) => everyones.prepare(show).await,
            None => Err(own),
        }
    }
}
