//! `dev.keyward.UserAgent1`: the broker asks a process with a screen to show a sign-in.
//!
//! The interface is served at the *client's* end of a connection to the broker, which offers it
//! with `OfferUserAgent`. [`remote`] is the broker's side, [`offer`] the client's.

pub(crate) mod offer;
pub(crate) mod remote;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyward_client::oauth::question::{Answer, Question};
use keyward_client::oauth::transport::{ShowOptions, Sitting, UserAgent, UserAgentError};

use remote::RemoteAgent;

use crate::server::NoAgent;

/// How often to look for an agent that is expected.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What an answer is called on the wire; only the last of them comes with a text.
const ALLOW: &str = "allow";
const DENY: &str = "deny";
const PIN: &str = "pin";

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

    /// The newest one, as soon as there is one, but not later than `until`.
    async fn next(&self, until: Instant) -> Option<Arc<dyn UserAgent>> {
        loop {
            let newest = self.newest();
            if newest.is_some() || Instant::now() >= until {
                return newest;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stands for the agent that is about to come.
    pub(crate) fn expected(self: &Arc<Self>, until: Instant) -> Arc<dyn UserAgent> {
        Arc::new(Expected {
            agents: Arc::clone(self),
            until,
        })
    }

    /// The agent of one connection's requests, which gives way to the newest one for everyone
    /// where it has nothing to show a sign-in with.
    pub(crate) fn own(
        self: &Arc<Self>,
        own: Arc<RemoteAgent>,
        consent: OwnConsent,
    ) -> Arc<dyn UserAgent> {
        Arc::new(OwnFirst {
            own,
            consent,
            agents: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Arc<RemoteAgent>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent of a broker that has just started: keyward-session takes a moment to see that there
/// is one again, and whoever started it by asking should not be told that nobody can be asked.
struct Expected {
    agents: Arc<Agents>,
    until: Instant,
}

#[async_trait]
impl UserAgent for Expected {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        match self.agents.next(self.until).await {
            Some(agent) => agent.prepare(show).await,
            None => NoAgent.prepare(show).await,
        }
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        match self.agents.next(self.until).await {
            Some(agent) => agent.ask(question).await,
            None => NoAgent.ask(question).await,
        }
    }
}

/// Whether a process may be the one that asks the person about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnConsent {
    /// As programs of the same user could do what they like with each other's windows anyway.
    Asks,
    /// A sandboxed program must not answer for the person.
    LeavesToOthers,
}

struct OwnFirst {
    own: Arc<RemoteAgent>,
    consent: OwnConsent,
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

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let about_itself = matches!(question, Question::Consent(_));
        let own = if about_itself && self.consent == OwnConsent::LeavesToOthers {
            UserAgentError::Unavailable(
                "keyward-session is not running, and a sandboxed program cannot ask about itself"
                    .to_owned(),
            )
        } else {
            match self.own.ask(question.clone()).await {
                Err(own @ UserAgentError::Unavailable(_)) => own,
                asked => return asked,
            }
        };
        match self.agents.newest() {
            Some(everyones) => everyones.ask(question).await,
            None => Err(own),
        }
    }
}
