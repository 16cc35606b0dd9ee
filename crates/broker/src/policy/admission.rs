//! Requests, as the rules and the person's answers see them: before anything is done for them, and
//! once more when it is known whom and what a token is for.

use std::sync::Arc;
use std::time::Instant;

use keyward_broker_ipc::service::Caller;
use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::AppsReport;
use keyward_client::oauth::identifiers::{ClientId, HomeAccountId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::Clock as _;
use keyward_client::request::{InteractiveRequest, Prompt, SilentRequest};
use keyward_client::result::AuthenticationResult;
use keyward_config::Verdict;

use super::{AccountAsked, Admitted, Consent, Policy, Wanted, left, recorded, wanted_of};
use crate::audit;
use crate::engine_ports::SystemClock;
use crate::opening::Open;
use crate::outcome::Decided;

/// What is asked for by who manages the broker itself.
const MANAGE: &str = "manage";

/// The account a request names, as far as it is known here.
struct Named {
    username: Option<String>,
    home: Option<String>,
}

impl Named {
    fn asked(&self) -> AccountAsked<'_> {
        if self.username.is_none() && self.home.is_none() {
            return AccountAsked::Open;
        }
        AccountAsked::Known {
            username: self.username.as_deref(),
            home: self.home.as_deref(),
        }
    }

    /// Whether this is the account that was named. One that was not named is anybody's.
    fn is(&self, account: &AccountInfo) -> bool {
        let home = self.home.as_deref();
        let username = self.username.as_deref();
        home.is_none_or(|home| home == account.home_account_id.as_str())
            && username.is_none_or(|name| name.eq_ignore_ascii_case(&account.username))
    }
}

impl Open {
    /// Whether a token that is at hand may be handed out without another look: most may.
    pub(crate) fn lets_have(&self, caller: &Caller, request: &SilentRequest) -> bool {
        let wanted = |account| Wanted {
            client_id: request.token.client_id.as_str(),
            scopes: &request.token.scopes,
            account,
        };
        if let AccountSelector::Home(home) = &request.account {
            let account = AccountAsked::Known {
                username: None,
                home: Some(home.as_str()),
            };
            return self.policy.allows(caller, wanted(account));
        }
        // Whom that means takes a look at the accounts.
        self.policy
            .allows_whoever(caller, wanted(AccountAsked::Open))
    }

    /// Whether a token that is at hand may be handed out, by what it is for.
    pub(crate) fn lets_have_this(
        &self,
        caller: &Caller,
        request: &SilentRequest,
        result: &AuthenticationResult,
    ) -> bool {
        let (client_id, scopes) = (request.token.client_id.as_str(), &request.token.scopes);
        let wanted = wanted_of(client_id, scopes, result);
        let lets = !self.policy.looks_at_answers()
            || self
                .policy
                .admit_answer(caller, wanted, &result.scopes)
                .is_ok();
        if lets {
            self.policy
                .used(caller, client_id, scopes, SystemClock.now());
        }
        lets
    }

    /// What lets a token that is at hand be handed out, for the record.
    pub(crate) fn ruling(
        &self,
        caller: &Caller,
        request: &SilentRequest,
        result: &AuthenticationResult,
    ) -> audit::Decision {
        let (client_id, scopes) = (request.token.client_id.as_str(), &request.token.scopes);
        let ruling = self
            .policy
            .ruling(caller, wanted_of(client_id, scopes, result));
        let speaks = ruling.verdict != Verdict::Allow || ruling.rule != Policy::DEFAULT;
        audit::Decision {
            verdict: recorded(ruling.verdict),
            rule: speaks.then(|| ruling.rule.into()),
        }
    }

    /// Whether a silent request may be answered.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`].
    pub(crate) fn admit_silent(
        &self,
        caller: &Caller,
        request: &SilentRequest,
        decided: &Decided,
    ) -> Result<(), AcquireTokenError> {
        let client_id = &request.token.client_id;
        let named = self.named(client_id, Some(&request.account), None)?;
        let wanted = Wanted {
            client_id: client_id.as_str(),
            scopes: &request.token.scopes,
            account: named.asked(),
        };
        noted(decided, self.policy.admit(caller, wanted))
    }

    /// Whether a token may be handed out, now that it is known whom and what it is for.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`].
    pub(crate) fn admit_answer(
        &self,
        caller: &Caller,
        asked: (&ClientId, &Scopes),
        result: &AuthenticationResult,
    ) -> Result<(), AcquireTokenError> {
        let (client_id, scopes) = asked;
        let wanted = wanted_of(client_id.as_str(), scopes, result);
        let admitted = self.policy.admit_answer(caller, wanted, &result.scopes);
        admitted.map_err(|(_, error)| error)?;
        self.policy
            .used(caller, client_id.as_str(), scopes, SystemClock.now());
        Ok(())
    }

    /// A token for which a person may have to sign in, and to be asked first.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`] and [`Policy::ask`], and what the engine says.
    pub(crate) async fn interactive(
        &self,
        caller: &Caller,
        mut request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
        decided: &Decided,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let client_id = request.token.client_id.clone();
        let scopes = request.token.scopes.without_oidc();
        let authority = request.token.authority.clone();
        let may_ask = request.prompt != Some(Prompt::None);
        let default = self.config().interactive_deadline.value;
        let prompting = self.policy.prompting(caller, client_id.as_str());
        let consent = Consent {
            engine: &self.engine,
            agent: &*agent,
            prompting: &prompting,
            authority: Some(&authority),
            since: Instant::now(),
            deadline: request.deadline.unwrap_or(default),
        };
        let hint = request.login_hint.as_deref();
        let named = self.named(&client_id, request.account.as_ref(), hint)?;
        let wanted = Wanted {
            client_id: client_id.as_str(),
            scopes: &scopes,
            account: named.asked(),
        };
        let asked = match self.policy.admit(caller, wanted) {
            Err((decision, error)) if may_ask && is_to_be_asked(&error) => {
                decided.by(decision.recorded(), &decision.rule);
                self.policy.ask(&consent, caller, wanted, now()).await?;
                true
            }
            admitted => noted(decided, admitted).map(|()| false)?,
        };
        request.deadline = Some(left(consent.deadline, consent.since));
        let gate = prompting.gate();
        let shown = self
            .engine
            .interactive_through(gate, request, Arc::clone(&agent));
        let result = shown.await;
        prompting.ended(&result);
        let result = result?;
        // Who signed in is known only now, and so is what the token grants.
        let wanted = wanted_of(client_id.as_str(), &scopes, &result);
        match self.policy.admit_answer(caller, wanted, &result.scopes) {
            Ok(_) => {}
            Err((decision, error)) if may_ask && is_to_be_asked(&error) => {
                let wanted = Wanted {
                    scopes: &decision.scopes,
                    ..wanted
                };
                let was_about_this = asked && named.is(&result.account) && !decision.more;
                if !was_about_this {
                    self.policy.ask(&consent, caller, wanted, now()).await?;
                }
                self.policy.remember(caller, wanted, now()).await?;
            }
            Err((_, error)) => return Err(error),
        }
        self.policy.used(caller, client_id.as_str(), &scopes, now());
        Ok(result)
    }

    /// The accounts this caller may see.
    ///
    /// # Errors
    ///
    /// When the vault is not open.
    pub(crate) fn accounts_for(
        &self,
        caller: &Caller,
        client_id: &ClientId,
    ) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let mut accounts = self.engine.accounts(client_id)?;
        accounts.retain(|account| {
            let wanted = Wanted {
                client_id: client_id.as_str(),
                scopes: &Scopes::none(),
                account: AccountAsked::Known {
                    username: Some(&account.username),
                    home: Some(account.home_account_id.as_str()),
                },
            };
            self.policy.allows(caller, wanted)
        });
        Ok(accounts)
    }

    /// Whether a caller may do something else with this client id; for this account, if it is about
    /// one.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`].
    pub(crate) fn admit_client(
        &self,
        caller: &Caller,
        client_id: &ClientId,
        account: Option<&HomeAccountId>,
        decided: &Decided,
    ) -> Result<(), AcquireTokenError> {
        let selector = account.cloned().map(AccountSelector::Home);
        let named = self.named(client_id, selector.as_ref(), None)?;
        let wanted = Wanted {
            client_id: client_id.as_str(),
            scopes: &Scopes::none(),
            account: named.asked(),
        };
        noted(decided, self.policy.admit(caller, wanted))
    }

    /// Whether a caller may manage the broker itself; the person is asked first where that is to be.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`] and [`Policy::ask`].
    pub(crate) async fn admit_manager(
        &self,
        caller: &Caller,
        agent: &dyn UserAgent,
        decided: &Decided,
    ) -> Result<(), AcquireTokenError> {
        let scopes = Scopes::parse(MANAGE);
        let wanted = Wanted {
            client_id: "",
            scopes: &scopes,
            account: AccountAsked::None,
        };
        match self.policy.admit(caller, wanted) {
            Err((decision, error)) if is_to_be_asked(&error) => {
                decided.by(decision.recorded(), &decision.rule);
                let prompting = self.policy.prompting(caller, "");
                let consent = Consent {
                    engine: &self.engine,
                    agent,
                    prompting: &prompting,
                    authority: None,
                    since: Instant::now(),
                    deadline: self.config().interactive_deadline.value,
                };
                self.policy.ask(&consent, caller, wanted, now()).await?;
                self.policy.remember(caller, wanted, now()).await
            }
            admitted => noted(decided, admitted),
        }
    }

    /// Whether a caller may see who is signed in, and what all programs did. Only who is refused,
    /// and who is sandboxed and was not allowed to manage the broker, may not.
    ///
    /// # Errors
    ///
    /// As [`Policy::admit`].
    pub(crate) fn admit_reader(&self, caller: &Caller) -> Result<(), AcquireTokenError> {
        let scopes = Scopes::parse(MANAGE);
        let wanted = Wanted {
            client_id: "",
            scopes: &scopes,
            account: AccountAsked::None,
        };
        match self.policy.admit(caller, wanted) {
            Err((_, error)) if caller.program.sandbox.is_some() || !is_to_be_asked(&error) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The programs that have asked, and what waits for the person.
    pub(crate) fn apps(&self) -> AppsReport {
        let mut apps = self.policy.list();
        let accounts = self.engine.status().accounts;
        for app in &mut apps {
            let account = accounts.iter().find(|status| {
                let home = status.account.home_account_id.as_str();
                app.home_account_id.as_deref() == Some(home)
            });
            app.username = account.map(|status| status.account.username.clone());
        }
        AppsReport {
            apps,
            prompts: self.engine.prompts(),
            problems: self.policy.problem().into_iter().collect(),
        }
    }

    /// The account a request is for, by all its names.
    fn named(
        &self,
        client_id: &ClientId,
        selector: Option<&AccountSelector>,
        hint: Option<&str>,
    ) -> Result<Named, AcquireTokenError> {
        let accounts = self.engine.accounts(client_id)?;
        let by_name = |name: &str| {
            let mut fitting = accounts
                .iter()
                .filter(|a| a.username.eq_ignore_ascii_case(name));
            let first = fitting.next();
            first.filter(|_| fitting.next().is_none())
        };
        let hint = hint.filter(|hint| !hint.is_empty());
        let (account, username, home) = match (selector, hint) {
            (Some(AccountSelector::Home(home)), _) => {
                let account = accounts.iter().find(|a| a.home_account_id == *home);
                (account, None, Some(home.as_str().to_owned()))
            }
            (Some(AccountSelector::Username(name)), _) => (by_name(name), Some(name.clone()), None),
            (_, Some(hint)) => (by_name(hint), Some(hint.to_owned()), None),
            (Some(AccountSelector::Only), None) => match &accounts[..] {
                [only] => (Some(only), None, None),
                _ => (None, None, None),
            },
            (None, None) => (None, None, None),
        };
        Ok(Named {
            username: account.map(|a| a.username.clone()).or(username),
            home: account
                .map(|a| a.home_account_id.as_str().to_owned())
                .or(home),
        })
    }
}

fn now() -> keyward_client::oauth::time::UnixTime {
    SystemClock.now()
}

/// Whether the person has not been asked yet, and may be.
fn is_to_be_asked(error: &AcquireTokenError) -> bool {
    error.kind() == ErrorKind::InteractionRequired
}

/// Takes note of a decision, also where it is a refusal.
fn noted(decided: &Decided, admitted: Admitted) -> Result<(), AcquireTokenError> {
    let (decision, outcome) = match admitted {
        Ok(decision) => (decision, Ok(())),
        Err((decision, error)) => (decision, Err(error)),
    };
    // What is allowed because nothing speaks against it needs no word.
    if decision.verdict != Verdict::Allow || decision.rule != Policy::DEFAULT {
        decided.by(decision.recorded(), &decision.rule);
    }
    outcome
}
