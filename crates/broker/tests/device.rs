//! Where keys live: keywardd behind its socket, with an authority on this machine and, with the
//! feature `tpm`, a software TPM of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scripted_agent;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use keyward_broker::{Options, StartupError};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_client::account::AccountSelector;
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{DeviceReport, ManageAnswer, ManageRequest, RebindPlan};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::ports::TokenBroker;
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, InteractiveRequest, ParentWindow, SilentRequest,
    TokenRequest,
};
use keyward_client::result::AuthenticationResult;
use keyward_config::{AuthorityEntry, AuthorityKind, Environment, Permit};
use keyward_dev_authority::scripted::Choice;
use keyward_dev_authority::{Authority, Running, Tenant};
use scripted_agent::ScriptedAgent;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[cfg(feature = "tpm")]
mod in_tpm;

const CLIENT: &str = "11111111-aaaa-4bbb-8ccc-222222222222";
const COMMON: &str = "https://login.microsoftonline.com/common";

type Ends = JoinHandle<Result<(), StartupError>>;
type Answered = Result<AuthenticationResult, AcquireTokenError>;

/// An authority, and a folder for one broker at a time.
struct Machine {
    authority: Running,
    dir: TempDir,
    broker: Option<(oneshot::Sender<()>, Ends)>,
}

impl Machine {
    async fn with(config: &str) -> Self {
        let mut machine = Self {
            authority: Authority::builder().port(0).start().await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
            broker: None,
        };
        machine.start(config);
        machine
    }

    fn start(&mut self, config: &str) {
        let file = self.dir.path().join("config.toml");
        fs::write(&file, config).unwrap();
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
                .with_variable("KEYWARD_CONFIG", file)
                .with_variable("KEYWARD_LOG", "off")
                .with_authorities("device test", vec![entry]),
            permit: Permit::WellKnownHosts,
        };
        let (stop, stopped) = oneshot::channel();
        let run = keyward_broker::run(options, async { drop(stopped.await) });
        self.broker = Some((stop, tokio::spawn(run)));
    }

    async fn stop(&mut self) {
        let (stop, running) = self.broker.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    /// Another broker on the same folder, and an application of it.
    async fn restart(&mut self, config: &str, agent: &Arc<ScriptedAgent>) -> SocketBroker {
        self.stop().await;
        self.start(config);
        self.application(agent).await
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/broker.sock")
    }

    /// A file of this machine's state.
    fn file(&self, name: &str) -> PathBuf {
        let state = self.dir.path().join("state");
        let machine = keyward_store::StateFolder::of_this_machine(&state).unwrap();
        machine.path().join(name)
    }

    /// An application that can show a sign-in itself.
    async fn application(&self, agent: &Arc<ScriptedAgent>) -> SocketBroker {
        let options = SocketOptions::new(self.socket());
        let agent = Arc::clone(agent) as _;
        let broker = SocketBroker::new(options.with_agent(agent, AgentScope::OwnRequests));
        while broker.connect().await.is_err() {
            tokio::task::yield_now().await;
        }
        broker
    }
}

fn token_request(demands: Demands) -> TokenRequest {
    TokenRequest {
        client_id: ClientId::parse(CLIENT).unwrap(),
        authority: COMMON.to_owned(),
        scopes: Scopes::parse("api.read"),
        scheme: AuthenticationScheme::Bearer,
        claims: None,
        redirect_uri: None,
        extra_parameters: std::collections::BTreeMap::default(),
        demands,
        correlation_id: CorrelationId::from_random([7; 16]),
    }
}

async fn sign_in(broker: &SocketBroker, demands: Demands) -> Answered {
    let request = InteractiveRequest {
        token: token_request(demands),
        account: None,
        login_hint: Some("alice@dev.test".to_owned()),
        prompt: None,
        window: ParentWindow::None,
        deadline: None,
    };
    broker.acquire_token_interactive(request).await
}

async fn silent(broker: &SocketBroker, cache: CachePolicy) -> Answered {
    let request = SilentRequest {
        token: token_request(Demands::default()),
        account: AccountSelector::Only,
        cache,
    };
    broker.acquire_token_silent(request).await
}

async fn renewed(broker: &SocketBroker) -> Answered {
    silent(broker, CachePolicy::ForceRefresh).await
}

async fn device(broker: &SocketBroker) -> DeviceReport {
    match broker.manage(ManageRequest::Device).await.unwrap() {
        ManageAnswer::Device(report) => report,
        other => panic!("{other:?}"),
    }
}

async fn rebind_begin(
    broker: &SocketBroker,
    to: Option<KeyProtection>,
) -> Result<RebindPlan, AcquireTokenError> {
    let begin = ManageRequest::RebindBegin { to, account: None };
    match broker.manage(begin).await? {
        ManageAnswer::RebindBegin(plan) => Ok(plan),
        other => panic!("{other:?}"),
    }
}

/// Moves everything, one after the other.
async fn rebind(
    broker: &SocketBroker,
    to: Option<KeyProtection>,
) -> Result<RebindPlan, AcquireTokenError> {
    let plan = rebind_begin(broker, to).await?;
    for step in &plan.steps {
        let account = ManageRequest::RebindAccount(Box::new(step.bound.clone()));
        broker.manage(account).await?;
    }
    Ok(plan)
}

#[tokio::test]
async fn a_decision_is_written_down_once_and_a_damaged_one_is_not_made_anew() {
    let mut machine = Machine::with("key_protection = \"software\"\n").await;
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let decision = device(&app).await.decision.unwrap();
    assert_eq!(decision.choice, KeyProtection::Software);
    let written = fs::read_to_string(machine.file("key-protection.json")).unwrap();
    let json: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(json["choice"], "software");
    assert_eq!(json["reason"], decision.reason.as_str());
    assert_eq!(json["decided_at"], decision.decided_at.as_str());

    let app = machine.restart("", &alice).await;
    assert_eq!(device(&app).await.decision, Some(decision));
    fs::write(machine.file("key-protection.json"), "{").unwrap();
    let app = machine.restart("", &alice).await;
    let error = silent(&app, CachePolicy::UseCache).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(
        error.message().contains("key-protection.json is damaged"),
        "{error}"
    );
    let status = app.status().await.unwrap();
    assert!(status.problems[0].contains("key-protection.json is damaged"));
    assert_eq!(
        fs::read_to_string(machine.file("key-protection.json")).unwrap(),
        "{"
    );

    fs::write(machine.file("key-protection.json"), written).unwrap();
    let app = machine.restart("", &alice).await;
    assert_eq!(device(&app).await.problems, [""; 0]);
    machine.stop().await;
}

#[tokio::test]
async fn an_account_moves_to_a_new_key_and_an_interrupted_move_goes_on() {
    let mut machine = Machine::with("key_protection = \"software\"\n").await;
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app, Demands::default()).await.unwrap();
    let before = device(&app).await;

    let plan = rebind_begin(&app, None).await.unwrap();
    assert!(plan.steps[0].sign_in && !plan.resumed);
    // Interrupted here, everything works with the key it has, and says so.
    let app = machine
        .restart("key_protection = \"software\"\n", &alice)
        .await;
    let left = device(&app).await;
    assert_eq!(left.accounts, before.accounts);
    let problems = left.problems.join("\n");
    assert!(
        problems.contains("is not finished: `keyward device rebind` goes on (1 left)"),
        "{problems}"
    );
    renewed(&app).await.unwrap();

    let shown = alice.shown();
    let plan = rebind(&app, None).await.unwrap();
    assert!(plan.resumed);
    assert_eq!(alice.shown(), shown + 1);
    let after = device(&app).await;
    assert_eq!(after.problems, [""; 0]);
    assert_ne!(after.accounts[0].key, before.accounts[0].key);
    assert_eq!(after.keys, [after.accounts[0].key.clone().unwrap()]);
    assert_eq!(after.accounts[0].binding, Binding::Dpop);
    let reason = after.decision.unwrap().reason;
    assert!(reason.contains("keyward device rebind"), "{reason}");
    renewed(&app).await.unwrap();
    machine.stop().await;
}

#[tokio::test]
async fn what_cannot_be_moved_stays_as_it_is() {
    let mut machine = Machine::with("").await;
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app, Demands::default()).await.unwrap();
    let before = device(&app).await;
    if !cfg!(feature = "tpm") {
        let error = rebind(&app, Some(KeyProtection::Tpm)).await.unwrap_err();
        assert!(
            error.message().contains("without the feature tpm"),
            "{error}"
        );
    }
    let nobody = ManageRequest::RebindBegin {
        to: Some(KeyProtection::Software),
        account: Some("nobody@dev.test".to_owned()),
    };
    let error = app.manage(nobody).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccountNotFound);
    assert_eq!(device(&app).await, before);
    let app = machine
        .restart("key_protection = \"software\"\n", &alice)
        .await;
    let error = rebind(&app, Some(KeyProtection::Tpm)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(
        error
            .message()
            .contains("says that keys are made in software"),
        "{error}"
    );
    machine.stop().await;
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let mut machine = Machine::with("key_protection = \"software\"\n").await;
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app, Demands::default()).await.unwrap();
    let ManageAnswer::Forget(gone) = app.manage(ManageRequest::Forget).await.unwrap() else {
        panic!("another answer");
    };
    assert_eq!((gone.accounts, gone.keys, gone.problems.len()), (1, 1, 0));
    let report = device(&app).await;
    assert_eq!((report.accounts.len(), report.keys.len()), (0, 0));
    let error = silent(&app, CachePolicy::UseCache).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    sign_in(&app, Demands::default()).await.unwrap();
    machine.stop().await;
}

#[tokio::test]
async fn keys_in_a_tpm_are_refused_before_the_sign_in_where_there_are_none() {
    let mut machine = Machine::with("key_protection = \"software\"\n").await;
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let demands = Demands {
        key_protection: Some(KeyProtection::Tpm),
        ..Demands::default()
    };
    let error = sign_in(&app, demands).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("demands keys in a TPM"), "{error}");
    assert_eq!(alice.shown(), 0);
    machine.stop().await;
}
