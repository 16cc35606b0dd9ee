//! Who may: the rules of the configuration, what the person answered, and how often a program may
//! make somebody look up.
//!
//! An answer is about a program, a client id, the scopes that were named and the account the token
//! is for. A program is its sandbox, else its executable: where others than root could replace the
//! file, another file (or the same one, written to) is another program. That serves consent and
//! keeps honest programs apart. Programs of the same user can trace each other and are no boundary;
//! sandboxed ones cannot.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward_broker_ipc::program::{Program, Sandbox};
use keyward_broker_ipc::service::Caller;
use keyward_client::audit;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{AppReport, AppVerdict};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::time::UnixTime;
use keyward_client::result::AuthenticationResult;
use keyward_config::{Config, Verdict};

mod admission;
mod apps;
mod asking;
mod pattern;
mod prompting;
mod rules;
mod strikes;

use apps::{AppId, Apps, Standing};
use prompting::Prompting;
use rules::{Rules, Ruling};
use strikes::Strikes;

pub(crate) use asking::Consent;
pub(crate) use rules::{AccountAsked, Asked};

/// The program of ours that passes requests on, and speaks for its callers.
const SESSION: &str = "keyward-session";

/// Who may.
pub(crate) struct Policy {
    rules: Rules,
    apps: Arc<Apps>,
    strikes: Arc<Strikes>,
    /// The path of this program: the developer tool is all programs in one.
    own_path: Option<String>,
}

/// What was decided about a request: the verdict, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) rule: String,
    /// The scopes it is about.
    scopes: Scopes,
    /// Whether these are more than were asked for.
    more: bool,
}

/// Whether something may be done without asking anybody, and why.
pub(crate) type Admitted = Result<Decision, (Decision, AcquireTokenError)>;

impl Decision {
    /// The verdict as records have it.
    pub(crate) fn recorded(&self) -> audit::Verdict {
        recorded(self.verdict)
    }
}

/// A verdict as records have it.
fn recorded(verdict: Verdict) -> audit::Verdict {
    match verdict {
        Verdict::Allow => audit::Verdict::Allow,
        Verdict::Ask => audit::Verdict::Ask,
        Verdict::Deny => audit::Verdict::Deny,
    }
}

/// What is asked for, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Empty where the broker itself is to be managed.
    pub(crate) client_id: &'a str,
    pub(crate) scopes: &'a Scopes,
    pub(crate) account: AccountAsked<'a>,
}

impl Wanted<'_> {
    fn home(&self) -> Option<&str> {
        match self.account {
            AccountAsked::Known { home, .. } => home,
            AccountAsked::None | AccountAsked::Open => None,
        }
    }
}

impl Policy {
    /// What decides where no rule does.
    pub(crate) const DEFAULT: &str = rules::DEFAULT;

    /// The rules of this configuration, and the answers kept in this folder.
    pub(crate) fn open(config: &Config, folder: &Path) -> Self {
        let own_path = std::env::current_exe().ok();
        Self {
            rules: Rules::new(&config.policy),
            apps: Apps::open(folder),
            strikes: Arc::default(),
            own_path: own_path.and_then(|path| path.into_os_string().into_string().ok()),
        }
    }

    /// What is wrong with what was answered before.
    pub(crate) fn problem(&self) -> Option<String> {
        self.apps.problem()
    }

    /// What the rules say; of a request that was passed on, the stricter verdict of both programs.
    fn ruling(&self, caller: &Caller, wanted: Wanted<'_>) -> Ruling<'_> {
        let of = |program| {
            self.rules.judge(&Asked {
                program,
                client_id: wanted.client_id,
                scopes: wanted.scopes,
                account: wanted.account,
            })
        };
        let own = of(&caller.program);
        let Some(forwarder) = &caller.forwarder else {
            return own;
        };
        if forwarder.sandbox.is_some() {
            return Ruling {
                verdict: Verdict::Deny,
                rule: "a sandboxed program speaks for itself only",
            };
        }
        // keyward-session lets nobody look at it, so it is mostly not known: then its word counts.
        if forwarder.executable.is_none() || self.is_ours(forwarder) {
            return own;
        }
        let forwarders = of(forwarder);
        if forwarders.verdict > own.verdict {
            forwarders
        } else {
            own
        }
    }

    fn is_ours(&self, forwarder: &Program) -> bool {
        let path = forwarder.executable.as_ref().map(|e| e.path.as_str());
        let named = path.and_then(|path| path.rsplit('/').next()) == Some(SESSION);
        named || (path.is_some() && path == self.own_path.as_deref())
    }

    /// What the person said about a program before.
    fn standing(&self, caller: &Caller, wanted: Wanted<'_>) -> Standing {
        let id = AppId {
            program: caller.program.id(),
            client_id: wanted.client_id,
        };
        self.apps.standing(id, wanted.scopes, wanted.home())
    }

    /// Whether a request may be answered without asking anybody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IncorrectConfiguration`] when a rule refuses, [`ErrorKind::UserCanceled`] when
    /// the person has refused before, [`ErrorKind::InteractionRequired`] when the person is to be
    /// asked first.
    pub(crate) fn admit(&self, caller: &Caller, wanted: Wanted<'_>) -> Admitted {
        let ruling = self.ruling(caller, wanted);
        let decision = Decision {
            verdict: ruling.verdict,
            rule: ruling.rule.to_owned(),
            scopes: wanted.scopes.clone(),
            more: false,
        };
        let error = match ruling.verdict {
            Verdict::Allow => return Ok(decision),
            Verdict::Deny => refused_by(ruling.rule, caller, wanted.client_id),
            Verdict::Ask => match self.standing(caller, wanted) {
                Standing::Allowed => return Ok(decision),
                Standing::Denied(since) => refused_before(caller, since),
                Standing::Open => to_be_asked(ruling.rule, caller),
            },
        };
        Err((decision, error))
    }

    /// The same for a token that is there: also for what it grants beyond what was asked for, where
    /// that makes the verdict a stricter one.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub(crate) fn admit_answer(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
        granted: &Scopes,
    ) -> Admitted {
        if !self.rules.look_at_answers() || wanted.scopes.cover(granted) {
            return self.admit(caller, wanted);
        }
        let all = wanted.scopes.union(granted);
        let more = Wanted {
            scopes: &all,
            ..wanted
        };
        let stricter = self.ruling(caller, more).verdict > self.ruling(caller, wanted).verdict;
        if !stricter {
            return self.admit(caller, wanted);
        }
        let more = self.admit(caller, more);
        more.map_err(|(decision, error)| {
            (
                Decision {
                    more: true,
                    ..decision
                },
                error,
            )
        })
    }

    /// The same, in one word.
    pub(crate) fn allows(&self, caller: &Caller, wanted: Wanted<'_>) -> bool {
        match self.ruling(caller, wanted).verdict {
            Verdict::Allow => true,
            Verdict::Ask => self.standing(caller, wanted) == Standing::Allowed,
            Verdict::Deny => false,
        }
    }

    /// Whether a request may be answered whichever account it turns out to be for.
    pub(crate) fn allows_whoever(&self, caller: &Caller, wanted: Wanted<'_>) -> bool {
        self.ruling(caller, wanted).verdict == Verdict::Allow
    }

    /// Whether who it is for, or what a token turns out to be for, can change a verdict.
    pub(crate) fn looks_at_answers(&self) -> bool {
        self.rules.look_at_answers()
    }

    /// Takes note that a program got a token.
    pub(crate) fn used(&self, caller: &Caller, client_id: &str, scopes: &Scopes, now: UnixTime) {
        self.apps.used(&caller.program, client_id, scopes, now);
    }

    /// The programs that have asked.
    pub(crate) fn list(&self) -> Vec<AppReport> {
        self.apps.list()
    }

    /// Takes back what was answered about the programs of this name; `None`: about all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when there is none, [`ErrorKind::Storage`] when that cannot be
    /// kept.
    pub(crate) async fn revoke(&self, name: Option<&str>) -> Result<usize, AcquireTokenError> {
        let revoked = self.apps.revoke(name).await?;
        match name {
            Some(name) if revoked == 0 => Err(AcquireTokenError::new(
                ErrorKind::InvalidRequest,
                format!("no program goes by the name {name:?}: `keyward apps` lists them"),
            )),
            _ => Ok(revoked),
        }
    }

    /// Watches over the prompts of one request.
    pub(crate) fn prompting(&self, caller: &Caller, client_id: &str) -> Prompting {
        Prompting::new(Arc::clone(&self.strikes), caller.program.id(), client_id)
    }
}

/// What a token is for, now that it is there.
pub(crate) fn wanted_of<'a>(
    client_id: &'a str,
    scopes: &'a Scopes,
    result: &'a AuthenticationResult,
) -> Wanted<'a> {
    Wanted {
        client_id,
        scopes,
        account: AccountAsked::Known {
            username: Some(&result.account.username),
            home: Some(result.account.home_account_id.as_str()),
        },
    }
}

/// How a program is called in a sentence.
fn who(caller: &Caller) -> String {
    let program = &caller.program;
    if let Some(sandbox) = &program.sandbox
        && *sandbox != Sandbox::Unseen
    {
        return sandbox.id();
    }
    if let Some(executable) = &program.executable {
        return executable.path.clone();
    }
    match (&program.name, &program.unknown) {
        (Some(name), Some(why)) => format!("a program that calls itself {name:?} ({why})"),
        (None, Some(why)) => format!("an unknown program ({why})"),
        _ => "an unknown program".to_owned(),
    }
}

fn refused_by(rule: &str, caller: &Caller, client_id: &str) -> AcquireTokenError {
    let who = who(caller);
    let message = format!(
        "{rule} refuses {who} with client id {client_id:?}: only a change of the configuration \
         allows it"
    );
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
}

fn refused_before(caller: &Caller, since: UnixTime) -> AcquireTokenError {
    let message = format!(
        "{} was refused by the person at this device at {}: `keyward apps revoke` takes that back",
        who(caller),
        since.rfc3339()
    );
    AcquireTokenError::new(ErrorKind::UserCanceled, message)
}

fn to_be_asked(rule: &str, caller: &Caller) -> AcquireTokenError {
    let message = format!(
        "the person at this device is to be asked about {} first ({rule}): an interactive request \
         asks",
        who(caller)
    );
    AcquireTokenError::new(ErrorKind::InteractionRequired, message)
}

/// How long is left of a time.
fn left(of: Duration, since: Instant) -> Duration {
    of.saturating_sub(since.elapsed())
}

/// The verdict to remember.
fn verdict_of(allowed: bool) -> AppVerdict {
    if allowed {
        AppVerdict::Allowed
    } else {
        AppVerdict::Denied
    }
}

#[cfg(test)]
mod tests;
