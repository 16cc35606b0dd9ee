//! Asking the person about a program.

use std::time::{Duration, Instant};

use keyward_broker_ipc::program::Sandbox;
use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::oauth::question::{Answer, Asker, ConsentQuestion, Question};
use keyward_client::oauth::time::UnixTime;
use keyward_client::oauth::transport::{UserAgent, UserAgentError};
use keyward_client::{Engine, PromptKind};

use super::rules::AccountAsked;
use super::{Policy, Prompting, Standing, Wanted, left, refused_before, verdict_of, who};

/// How the person is asked, and for how long.
pub(crate) struct Consent<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) agent: &'a dyn UserAgent,
    pub(crate) prompting: &'a Prompting,
    /// The authority, as the program names it.
    pub(crate) authority: Option<&'a str>,
    /// When the request came, and how long it may take.
    pub(crate) since: Instant,
    pub(crate) deadline: Duration,
}

impl Policy {
    /// Asks the person whether a program may have what it wants, when it is its turn. The answer is
    /// not remembered yet, but a refusal for good is.
    ///
    /// # Errors
    ///
    /// When the person did not allow it, or cannot be asked.
    pub(crate) async fn ask(
        &self,
        consent: &Consent<'_>,
        caller: &Caller,
        wanted: Wanted<'_>,
        now: UnixTime,
    ) -> Result<(), AcquireTokenError> {
        let asking = self.asked_in_turn(consent, caller, wanted);
        let asked = tokio::time::timeout(left(consent.deadline, consent.since), asking).await;
        let asked = asked.unwrap_or_else(|_| {
            let seconds = consent.deadline.as_secs();
            let message = format!("nobody answered about {} within {seconds} s", who(caller));
            Err(AcquireTokenError::new(ErrorKind::DeadlineExceeded, message))
        });
        consent.prompting.ended(&asked);
        if asked? {
            return Ok(());
        }
        let about = (&*caller.program, wanted.client_id);
        let denied = verdict_of(false);
        self.apps
            .remember(about, denied, (wanted.scopes, None), now)
            .await?;
        Err(refused_before(caller, now))
    }

    /// Remembers that the person allowed it, for this account.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub(crate) async fn remember(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
        now: UnixTime,
    ) -> Result<(), AcquireTokenError> {
        let about = (&*caller.program, wanted.client_id);
        let answer = (wanted.scopes, wanted.home());
        self.apps
            .remember(about, verdict_of(true), answer, now)
            .await
    }

    /// `false`: not now, and not later.
    async fn asked_in_turn(
        &self,
        consent: &Consent<'_>,
        caller: &Caller,
        wanted: Wanted<'_>,
    ) -> Result<bool, AcquireTokenError> {
        let client = ClientId::parse(wanted.client_id).ok();
        let attention = consent
            .engine
            .attention(PromptKind::Consent, client.as_ref());
        let attention = attention.await?;
        // While it waited, somebody else may have asked the same.
        match self.standing(caller, wanted) {
            Standing::Allowed => return Ok(true),
            Standing::Denied(since) => return Err(refused_before(caller, since)),
            Standing::Open => {}
        }
        let gate = consent.prompting.gate();
        gate.admit()?;
        let question = question(caller, wanted, consent.authority, attention.waiting());
        gate.shown();
        match consent
            .agent
            .ask(Question::Consent(Box::new(question)))
            .await
        {
            Ok(Answer::Allow) => Ok(true),
            Ok(Answer::Deny) => Ok(false),
            Ok(_) => Err(not_asked(
                caller,
                &UserAgentError::Unavailable("the answer cannot be understood".to_owned()),
            )),
            Err(error) => Err(not_asked(caller, &error)),
        }
    }
}

fn not_asked(caller: &Caller, error: &UserAgentError) -> AcquireTokenError {
    let who = who(caller);
    match error {
        UserAgentError::Canceled => {
            let message = format!("the person at this device did not allow {who}");
            AcquireTokenError::new(ErrorKind::UserCanceled, message)
        }
        error => {
            let message = format!("the person at this device cannot be asked about {who}: {error}");
            AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
        }
    }
}

fn question(
    caller: &Caller,
    wanted: Wanted<'_>,
    authority: Option<&str>,
    waiting: usize,
) -> ConsentQuestion {
    let manages = wanted.client_id.is_empty();
    let scopes: Vec<String> = if manages {
        vec!["manage the broker itself: its keys, its vault, its rules".to_owned()]
    } else {
        let scopes = wanted.scopes.iter().map(str::to_owned);
        scopes.collect()
    };
    ConsentQuestion {
        program: asker(caller),
        client_id: wanted.client_id.to_owned(),
        scopes,
        account: match wanted.account {
            AccountAsked::Known { username, home } => username.or(home).map(str::to_owned),
            AccountAsked::None | AccountAsked::Open => None,
        },
        authority: authority.map(str::to_owned),
        waiting,
    }
}

fn asker(caller: &Caller) -> Asker {
    let program = &caller.program;
    let executable = program.executable.as_ref();
    let parent = program.parent.as_ref();
    Asker {
        name: program.name.clone(),
        path: executable.map(|executable| executable.path.clone()),
        pid: caller.pid,
        parent_name: parent.map(|parent| parent.name.clone()),
        parent_path: parent.and_then(|parent| parent.path.clone()),
        sandbox: program.sandbox.as_ref().map(Sandbox::id),
        unknown: program.unknown.clone(),
        according_to: match caller.via {
            Via::Socket => None,
            Via::Bus { .. } => Some("the program that serves the session bus".to_owned()),
        },
    }
}
