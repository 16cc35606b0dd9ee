//! Who may have tokens: keywardd behind its socket, with rules, a person who is asked, and an
//! authority on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scripted_agent;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyward_broker::{Options, StartupError};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::program::{Facts, Program, Sandbox};
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::account::AccountSelector;
use keyward_client::audit::AuditQuery;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{AppReport, AppVerdict, ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::{SignOutRequest, TokenBroker};
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, DpopProofRequest, InteractiveRequest, ParentWindow,
    Prompt, ResourceRequest, SilentRequest, TokenRequest,
};
use keyward_client::result::AuthenticationResult;
use keyward_config::{AuthorityEntry, AuthorityKind, Environment, Permit};
use keyward_dev_authority::scripted::Choice;
use keyward_dev_authority::{Authority, Running, Tenant};
use scripted_agent::{Says, ScriptedAgent};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

const CLIENT: &str = "11111111-aaaa-4bbb-8ccc-222222222222";
const COMMON: &str = "https://login.microsoftonline.com/common";
/// Every program is asked about.
const ASK: &str = "[policy]\ndefault = \"ask\"\n";

type Answered = Result<AuthenticationResult, AcquireTokenError>;

/// A broker that is running: how it is stopped, and what comes of it.
type Broker = (oneshot::Sender<()>, JoinHandle<Result<(), StartupError>>);

/// An authority, and a broker in front of it with rules of its own.
struct Machine {
    authority: Running,
    dir: TempDir,
    broker: Option<Broker>,
}

impl Machine {
    async fn with(rules: &str) -> Self {
        let authority = Authority::builder().port(0).start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Self {
            authority,
            dir,
            broker: None,
        };
        machine.start(rules);
        machine
    }

    fn start(&mut self, rules: &str) {
        let config = self.dir.path().join("config.toml");
        fs::write(&config, format!("key_protection = \"software\"\n{rules}")).unwrap();
        let entry = AuthorityEntry {
            matches: vec![COMMON.to_owned()],
            issuer: self.authority.issuer(Tenant::Oidc),
            kind: AuthorityKind::Oidc,
            dpop: None,
            verify_binding: Some(true),
        };
        let options = Options {
            environment: Environment::empty()
                .with_variable("KEYWARD_SOCKET", self.socket())
                .with_variable("KEYWARD_STATE_DIR", self.dir.path().join("state"))
                .with_variable("KEYWARD_CONFIG", config)
                .with_variable("KEYWARD_LOG", "off")
                .with_authorities("policy test", vec![entry]),
            permit: Permit::WellKnownHosts,
        };
        let (stop, stopped) = oneshot::channel();
        let run = keyward_broker::run(options, async { drop(stopped.await) });
        self.broker = Some((stop, tokio::spawn(run)));
    }

    async fn restart(&mut self, rules: &str) {
        let (stop, running) = self.broker.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        self.start(rules);
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/broker.sock")
    }

    /// This process, which shows sign-ins and questions itself.
    async fn application(&self, agent: &Arc<ScriptedAgent>) -> SocketBroker {
        let options = SocketOptions::new(self.socket());
        let agent = Arc::clone(agent) as _;
        let broker = SocketBroker::new(options.with_agent(agent, AgentScope::OwnRequests));
        while broker.connect().await.is_err() {
            tokio::task::yield_now().await;
        }
        broker
    }

    /// The requests the authority has seen.
    fn requests(&self) -> usize {
        self.authority.log().len()
    }
}

/// A program in a Flatpak, for which the process at the socket speaks.
fn flatpak(broker: &SocketBroker) -> SocketBroker {
    let facts = Facts {
        sandbox: Some(Sandbox::Flatpak("org.example.Mail".to_owned())),
        ..Facts::default()
    };
    let unique_name = ":1.7".to_owned();
    let uid = rustix::process::getuid().as_raw();
    broker.on_behalf_of(&Caller {
        program: Arc::new(Program::of(facts)),
        ..Caller::new(uid, Some(17), Via::Bus { unique_name })
    })
}

fn token(scopes: &str) -> TokenRequest {
    TokenRequest {
        client_id: ClientId::parse(CLIENT).unwrap(),
        authority: COMMON.to_owned(),
        scopes: Scopes::parse(scopes),
        scheme: AuthenticationScheme::Bearer,
        claims: None,
        redirect_uri: None,
        extra_parameters: std::collections::BTreeMap::default(),
        demands: Demands::default(),
        correlation_id: CorrelationId::from_random([7; 16]),
    }
}

fn interactive(scopes: &str) -> InteractiveRequest {
    InteractiveRequest {
        token: token(scopes),
        account: None,
        login_hint: None,
        prompt: None,
        window: ParentWindow::None,
        deadline: None,
    }
}

async fn sign_in(broker: &SocketBroker) -> Answered {
    broker
        .acquire_token_interactive(interactive("api.read"))
        .await
}

async fn silent(broker: &SocketBroker, scopes: &str) -> Answered {
    broker
        .acquire_token_silent(SilentRequest {
            token: token(scopes),
            account: AccountSelector::Only,
            cache: CachePolicy::UseCache,
        })
        .await
}

/// The silent request an application makes before each of its own, answered at once if at all.
async fn at_hand(broker: &SocketBroker, account: &AuthenticationResult) -> Answered {
    broker
        .acquire_token_silent(SilentRequest {
            token: token("api.read"),
            account: AccountSelector::Home(account.account.home_account_id.clone()),
            cache: CachePolicy::UseCache,
        })
        .await
}

fn kind(answer: Answered) -> ErrorKind {
    answer.map(|_| ()).unwrap_err().kind()
}

async fn apps(broker: &SocketBroker) -> Vec<AppReport> {
    match broker.manage(ManageRequest::Apps).await.unwrap() {
        ManageAnswer::Apps(report) => report.apps,
        other => panic!("{other:?}"),
    }
}

fn alice() -> Arc<ScriptedAgent> {
    ScriptedAgent::new("alice@dev.test", Choice::Accept)
}

#[tokio::test]
async fn what_is_refused_is_refused_before_anything_reaches_the_authority() {
    let rules = format!("[[policy.rule]]\nclient_id = \"{CLIENT}\"\nverdict = \"deny\"\n");
    let machine = Machine::with(&rules).await;
    let alice = alice();
    let app = machine.application(&alice).await;
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("policy.rule[0]"), "{error}");
    assert_eq!(
        kind(silent(&app, "api.read").await),
        ErrorKind::IncorrectConfiguration
    );
    assert_eq!(
        (alice.shown(), alice.asked().len(), machine.requests()),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn an_ask_never_makes_a_silent_call_prompt_and_an_answer_lasts_until_it_is_taken_back() {
    let mut machine = Machine::with(ASK).await;
    let alice = alice();
    alice.says(Says::Yes);
    let app = machine.application(&alice).await;
    assert_eq!(
        kind(silent(&app, "api.read").await),
        ErrorKind::InteractionRequired
    );
    assert_eq!((alice.asked().len(), alice.shown()), (0, 0));

    let signed_in = sign_in(&app).await.unwrap();
    let [question] = &alice.asked()[..] else {
        panic!("one question");
    };
    let this = std::env::current_exe().unwrap();
    assert_eq!(question.program.path.as_deref(), this.to_str());
    assert!(question.program.name.is_some() && question.program.parent_name.is_some());
    assert_eq!(question.client_id, CLIENT);
    assert_eq!(question.scopes, ["api.read"]);
    at_hand(&app, &signed_in).await.unwrap();
    silent(&app, "api.read openid").await.unwrap();
    // The answer was about one scope.
    assert_eq!(
        kind(silent(&app, "api.write").await),
        ErrorKind::InteractionRequired
    );

    machine.restart(ASK).await;
    let app = machine.application(&alice).await;
    at_hand(&app, &signed_in).await.unwrap();
    assert_eq!(app.accounts(&token("").client_id).await.unwrap().len(), 1);
    assert_eq!(alice.asked().len(), 0);

    // Managing the broker is something to be asked about, too.
    let listed = apps(&app).await;
    assert_eq!(alice.asked()[0].client_id, "");
    let about = listed.iter().find(|app| app.client_id == CLIENT).unwrap();
    assert_eq!(about.verdict, AppVerdict::Allowed);
    assert_eq!(about.scopes, ["api.read"]);
    assert_eq!(about.username.as_deref(), Some("alice@dev.test"));
    assert!(about.last_used.is_some());
    let name = Some(CLIENT.to_owned());
    let revoked = app.manage(ManageRequest::RevokeApp { name }).await.unwrap();
    assert_eq!(revoked, ManageAnswer::RevokeApp { revoked: 1 });
    assert_eq!(
        kind(at_hand(&app, &signed_in).await),
        ErrorKind::InteractionRequired
    );
    assert_eq!(app.accounts(&token("").client_id).await.unwrap(), []);
    machine.restart(ASK).await;
    let app = machine.application(&alice).await;
    assert_eq!(
        kind(at_hand(&app, &signed_in).await),
        ErrorKind::InteractionRequired
    );
}

#[tokio::test]
async fn who_is_never_allowed_is_not_asked_about_again() {
    let machine = Machine::with(ASK).await;
    let alice = alice();
    alice.says(Says::Never);
    let app = machine.application(&alice).await;
    assert_eq!(kind(sign_in(&app).await), ErrorKind::UserCanceled);
    assert_eq!(alice.asked().len(), 1);
    alice.says(Says::Yes);
    assert_eq!(kind(sign_in(&app).await), ErrorKind::UserCanceled);
    let error = silent(&app, "api.read").await.unwrap_err();
    assert!(error.message().contains("keyward apps revoke"), "{error}");
    assert_eq!((alice.asked().len(), alice.shown()), (0, 0));
}

#[tokio::test]
async fn prompt_none_shows_no_question_either() {
    let machine = Machine::with(ASK).await;
    let alice = alice();
    alice.says(Says::Yes);
    let app = machine.application(&alice).await;
    let request = InteractiveRequest {
        prompt: Some(Prompt::None),
        ..interactive("api.read")
    };
    let answer = app.acquire_token_interactive(request).await;
    assert_eq!(kind(answer), ErrorKind::InteractionRequired);
    assert_eq!(alice.asked().len(), 0);
}

#[tokio::test]
async fn questions_do_not_pop_up_in_a_loop() {
    let machine = Machine::with(ASK).await;
    let alice = alice();
    let app = machine.application(&alice).await;
    for _ in 0..3 {
        assert_eq!(kind(sign_in(&app).await), ErrorKind::UserCanceled);
    }
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests);
    assert!(error.retry_after().unwrap() > Duration::from_secs(500));
    assert_eq!(alice.asked().len(), 3);
    // A silent call makes nothing pop up, so nothing counts against it.
    assert_eq!(
        kind(silent(&app, "api.read").await),
        ErrorKind::InteractionRequired
    );
}

#[tokio::test]
async fn a_queue_that_was_filled_before_is_no_way_around() {
    let machine = Machine::with(ASK).await;
    let alice = alice();
    let app = machine.application(&alice).await;
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let app = app.clone();
        requests.spawn(async move { kind(sign_in(&app).await) });
    }
    let kinds = requests.join_all().await;
    let refused = kinds.iter().filter(|k| **k == ErrorKind::TooManyRequests);
    assert_eq!(refused.count(), 5, "{kinds:?}");
    assert_eq!(alice.asked().len(), 3);
}

#[tokio::test]
async fn nobody_answering_ends_with_the_deadline() {
    let machine = Machine::with(ASK).await;
    let alice = alice();
    alice.says(Says::NobodyIsThere);
    let app = machine.application(&alice).await;
    let request = InteractiveRequest {
        deadline: Some(Duration::from_millis(50)),
        ..interactive("api.read")
    };
    let answer = app.acquire_token_interactive(request).await;
    assert_eq!(kind(answer), ErrorKind::DeadlineExceeded);
    assert_eq!(alice.asked().len(), 1);
}

#[tokio::test]
async fn a_sandboxed_program_sees_nothing_before_it_is_allowed() {
    let machine = Machine::with("").await;
    let alice = alice();
    let app = machine.application(&alice).await;
    // Known programs are allowed, and written down.
    let signed_in = sign_in(&app).await.unwrap();
    assert_eq!(apps(&app).await[0].verdict, AppVerdict::Unasked);
    let sandboxed = flatpak(&app);
    assert_eq!(
        kind(at_hand(&sandboxed, &signed_in).await),
        ErrorKind::InteractionRequired
    );
    let client_id = token("").client_id;
    assert_eq!(sandboxed.accounts(&client_id).await.unwrap(), []);
    let proof = sandboxed.dpop_proof(DpopProofRequest {
        client_id: client_id.clone(),
        access_token: AccessToken::new("any".to_owned()),
        resource: ResourceRequest {
            method: "GET".to_owned(),
            uri: "https://api.example/".to_owned(),
            nonce: None,
        },
    });
    assert_eq!(
        proof.await.unwrap_err().kind(),
        ErrorKind::InteractionRequired
    );
    let sign_out = SignOutRequest {
        client_id: client_id.clone(),
        account: signed_in.account.home_account_id.clone(),
        correlation_id: CorrelationId::from_random([7; 16]),
    };
    let error = sandboxed.sign_out(sign_out).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(app.status().await.unwrap().accounts.len(), 1);
    assert_eq!(sandboxed.status().await.unwrap().accounts, []);
    let records = ManageRequest::Audit(AuditQuery::default());
    let error = sandboxed.manage(records).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    let error = sandboxed.manage(ManageRequest::Apps).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled);
    alice.asked();

    alice.says(Says::Yes);
    sign_in(&sandboxed).await.unwrap();
    let [question] = &alice.asked()[..] else {
        panic!("one question");
    };
    let sandbox = question.program.sandbox.as_deref();
    assert_eq!(sandbox, Some("flatpak:org.example.Mail"));
    assert!(question.program.according_to.is_some());
    at_hand(&sandboxed, &signed_in).await.unwrap();
    assert_eq!(sandboxed.accounts(&client_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_account_a_rule_refuses_is_refused_once_it_is_known() {
    let rules = "[[policy.rule]]\naccount = \"alice@*\"\nverdict = \"deny\"\n";
    let machine = Machine::with(rules).await;
    let alice = alice();
    let app = machine.application(&alice).await;
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    // Once it is known, before anything is shown or sent.
    let before = (alice.shown(), machine.requests());
    let hinted = InteractiveRequest {
        account: Some(AccountSelector::Username("alice@dev.test".to_owned())),
        ..interactive("api.read")
    };
    let answer = app.acquire_token_interactive(hinted).await;
    assert_eq!(kind(answer), ErrorKind::IncorrectConfiguration);
    assert_eq!(
        kind(silent(&app, "api.read").await),
        ErrorKind::IncorrectConfiguration
    );
    assert_eq!((alice.shown(), machine.requests()), before);
    assert_eq!(app.accounts(&token("").client_id).await.unwrap(), []);
}
