//! keywardd as a whole, behind its socket, with an authority on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod scripted_agent;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use keyward_broker::{Options, StartupError};
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_client::account::AccountSelector;
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{DeviceReport, ManageAnswer, ManageRequest};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::ports::{SignOutRequest, TokenBroker};
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, DpopProofRequest, InteractiveRequest, ParentWindow,
    ResourceRequest, SilentRequest, TokenRequest,
};
use keyward_client::result::{AuthenticationResult, TokenSource, TokenType};
use keyward_config::{AuthorityEntry, AuthorityKind, Environment, Permit};
use keyward_dev_authority::scripted::Choice;
use keyward_dev_authority::{
    Authority, Builder, Endpoint, Fault, FaultRule, Match, Running, StrictClient, Tenant,
};
use scripted_agent::ScriptedAgent;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const CLIENT: &str = "11111111-aaaa-4bbb-8ccc-222222222222";

/// A machine: an authority, and a folder for one broker at a time.
struct Machine {
    authority: Running,
    tenant: Tenant,
    dir: TempDir,
    user_config: &'static str,
}

/// A broker that is running.
struct Broker {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartupError>>,
}

impl Machine {
    async fn new() -> Self {
        Self::before(Authority::builder(), Tenant::Oidc).await
    }

    async fn before(authority: Builder, tenant: Tenant) -> Self {
        Self {
            authority: authority.port(0).start().await.unwrap(),
            tenant,
            dir: tempfile::tempdir().unwrap(),
            user_config: "",
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/broker.sock")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What this machine keeps in the state folder.
    fn kept(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.state()).unwrap();
        let own = folders.find_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?;
            name.starts_with("machine-").then_some(path)
        });
        own.unwrap()
    }

    fn options(&self) -> Options {
        let config = self.dir.path().join("config.toml");
        fs::write(&config, self.user_config).unwrap();
        let entry = AuthorityEntry {
            matches: vec!["https://login.microsoftonline.com/common".to_owned()],
            issuer: self.authority.issuer(self.tenant),
            kind: match self.tenant {
                Tenant::Oidc => AuthorityKind::Oidc,
                Tenant::Entra => AuthorityKind::Entra,
            },
            dpop: None,
            verify_binding: (self.tenant == Tenant::Oidc).then_some(true),
        };
        Options {
            environment: Environment::empty()
                .with_variable("KEYWARD_SOCKET", self.socket())
                .with_variable("KEYWARD_STATE_DIR", self.state())
                .with_variable("KEYWARD_CONFIG", config)
                .with_variable("KEYWARD_LOG", "off")
                .with_authorities("component test", vec![entry]),
            permit: Permit::WellKnownHosts,
        }
    }

    fn start(&self) -> Broker {
        let (stop, stopped) = oneshot::channel();
        let run = keyward_broker::run(self.options(), async { drop(stopped.await) });
        Broker {
            stop,
            running: tokio::spawn(run),
        }
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

impl Broker {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

fn token_request(authority: &str) -> TokenRequest {
    TokenRequest {
        client_id: ClientId::parse(CLIENT).unwrap(),
        authority: authority.to_owned(),
        scopes: Scopes::parse("api.read"),
        scheme: AuthenticationScheme::Bearer,
        claims: None,
        redirect_uri: None,
        extra_parameters: std::collections::BTreeMap::default(),
        demands: Demands::default(),
        correlation_id: CorrelationId::from_random([7; 16]),
    }
}

const COMMON: &str = "https://login.microsoftonline.com/common";

async fn sign_in(broker: &SocketBroker) -> Result<AuthenticationResult, AcquireTokenError> {
    sign_in_for(broker, token_request(COMMON)).await
}

async fn sign_in_for(
    broker: &SocketBroker,
    token: TokenRequest,
) -> Result<AuthenticationResult, AcquireTokenError> {
    broker
        .acquire_token_interactive(InteractiveRequest {
            token,
            account: None,
            login_hint: Some("alice@dev.test".to_owned()),
            prompt: None,
            window: ParentWindow::None,
            deadline: None,
        })
        .await
}

async fn silent(
    broker: &SocketBroker,
    cache: CachePolicy,
    scheme: AuthenticationScheme,
) -> Result<AuthenticationResult, AcquireTokenError> {
    broker
        .acquire_token_silent(SilentRequest {
            token: TokenRequest {
                scheme,
                ..token_request(COMMON)
            },
            account: AccountSelector::Only,
            cache,
        })
        .await
}

async fn cached(broker: &SocketBroker) -> Result<AuthenticationResult, AcquireTokenError> {
    silent(broker, CachePolicy::UseCache, AuthenticationScheme::Bearer).await
}

async fn renewed(broker: &SocketBroker) -> Result<AuthenticationResult, AcquireTokenError> {
    silent(
        broker,
        CachePolicy::ForceRefresh,
        AuthenticationScheme::Bearer,
    )
    .await
}

#[tokio::test]
async fn the_keys_of_this_device_are_shown_with_what_is_bound_to_them() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap();

    let report = device(&app).await;
    assert_eq!(report.key_protection, KeyProtection::Software);
    assert_eq!(report.problems, [""; 0]);
    let [bound] = &report.accounts[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (bound.username.as_str(), bound.client_id.as_str()),
        ("alice@dev.test", CLIENT)
    );
    assert_eq!(bound.binding, Binding::Dpop);
    assert_eq!(
        report.keys.iter().collect::<Vec<_>>(),
        [bound.key.as_ref().unwrap()]
    );
    broker.stop().await;
}

async fn device(app: &SocketBroker) -> DeviceReport {
    match app.manage(ManageRequest::Device).await.unwrap() {
        ManageAnswer::Device(report) => report,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_sign_in_lasts_over_restarts_until_sign_out() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;

    let error = cached(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(alice.shown(), 0);

    let signed_in = sign_in(&app).await.unwrap();
    assert_eq!(signed_in.account.username, "alice@dev.test");
    assert_eq!(signed_in.binding, Some(Binding::Dpop));
    assert_eq!(signed_in.key_protection, Some(KeyProtection::Software));
    assert_eq!(signed_in.token_type, TokenType::Bearer);
    assert_eq!(alice.shown(), 1);

    let hit = cached(&app).await.unwrap();
    assert_eq!(hit.token_source, TokenSource::Cache);
    assert_eq!(
        hit.access_token.expose_secret(),
        signed_in.access_token.expose_secret()
    );
    assert_eq!(
        renewed(&app).await.unwrap().token_source,
        TokenSource::IdentityProvider
    );
    broker.stop().await;
    assert!(!machine.socket().exists());

    let broker = machine.start();
    let app = machine.application(&alice).await;
    assert_eq!(cached(&app).await.unwrap().token_source, TokenSource::Cache);
    let renewed_again = renewed(&app).await.unwrap();
    assert_eq!(renewed_again.token_source, TokenSource::IdentityProvider);
    assert_eq!(renewed_again.account, signed_in.account);

    let client_id = ClientId::parse(CLIENT).unwrap();
    let accounts = app.accounts(&client_id).await.unwrap();
    assert_eq!(accounts, std::slice::from_ref(&signed_in.account));
    app.sign_out(SignOutRequest {
        client_id: client_id.clone(),
        account: signed_in.account.home_account_id.clone(),
        correlation_id: CorrelationId::from_random([8; 16]),
    })
    .await
    .unwrap();
    assert_eq!(app.accounts(&client_id).await.unwrap(), []);
    let error = cached(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(alice.shown(), 1);
    broker.stop().await;

    // What was kept for the account is gone with it, keys and all.
    let keys = fs::read_dir(machine.kept().join("keys")).unwrap();
    let keys: Vec<_> = keys.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(keys, ["wrapping.key"]);
}

#[tokio::test]
async fn a_renewal_that_is_under_way_is_finished_before_the_broker_ends() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let before = sign_in(&app).await.unwrap();
    let slow = FaultRule {
        endpoint: Endpoint::Token,
        fault: Fault::Slow { ms: 300 },
        times: Some(1),
        matching: Match::default(),
    };
    machine.authority.fault(slow).unwrap();
    let renewal = tokio::spawn(async move { renewed(&app).await });
    while !machine.authority.faults().is_empty() {
        tokio::task::yield_now().await;
    }
    broker.stop().await;
    renewal.await.unwrap().unwrap_err();

    let broker = machine.start();
    let app = machine.application(&alice).await;
    let after = cached(&app).await.unwrap();
    assert_eq!(after.token_source, TokenSource::Cache);
    assert_ne!(
        after.access_token.expose_secret(),
        before.access_token.expose_secret()
    );
    broker.stop().await;
}

#[tokio::test]
async fn proofs_are_made_by_a_key_the_application_never_has() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap();

    let resource = ResourceRequest {
        method: "GET".to_owned(),
        uri: format!("{}/api/me", machine.authority.http()),
        nonce: None,
    };
    let scheme = AuthenticationScheme::Dpop(Some(resource.clone()));
    let bound = silent(&app, CachePolicy::UseCache, scheme).await.unwrap();
    assert_eq!(bound.token_type, TokenType::Dpop);
    let first = bound.dpop_proof.unwrap();
    let second = app
        .dpop_proof(DpopProofRequest {
            client_id: ClientId::parse(CLIENT).unwrap(),
            access_token: bound.access_token,
            resource,
        })
        .await
        .unwrap();
    assert_ne!(first, second);
    broker.stop().await;
}

#[tokio::test]
async fn a_person_who_leaves_cancels() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let leaving = ScriptedAgent::new("alice@dev.test", Choice::Cancel);
    let app = machine.application(&leaving).await;
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled, "{error}");
    broker.stop().await;
}

#[tokio::test]
async fn status_says_what_is_bound_to_what() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap();
    let status = app.status().await.unwrap();
    assert_eq!(
        (status.form.as_str(), &status.problems[..]),
        ("session", &[][..])
    );
    assert_eq!(status.key_protection, Some(KeyProtection::Software));
    let [account] = &status.accounts[..] else {
        panic!("{:?}", status.accounts);
    };
    assert_eq!(account.binding, Binding::Dpop);
    assert_eq!(account.authority, machine.authority.issuer(Tenant::Oidc));
    broker.stop().await;
}

#[tokio::test]
async fn a_broken_configuration_is_every_requests_answer() {
    let mut machine = Machine::new().await;
    machine.user_config = "log = \"info\"\nkey_protektion = \"software\"\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    for error in [
        sign_in(&app).await.unwrap_err(),
        cached(&app).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
        assert!(error.message().contains("config.toml:2: "), "{error}");
        assert!(
            error.message().contains("did you mean `key_protection`?"),
            "{error}"
        );
    }
    assert_eq!(alice.shown(), 0);
    let status = app.status().await.unwrap();
    assert!(
        status.problems[0].contains("config.toml:2: "),
        "{:?}",
        status.problems
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_vault_that_cannot_be_trusted_is_every_requests_answer() {
    let machine = Machine::new().await;
    fs::create_dir(machine.state()).unwrap();
    fs::set_permissions(machine.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("run chmod 700"), "{error}");
    assert!(app.status().await.unwrap().problems[0].contains("run chmod 700"));
    broker.stop().await;
}

#[tokio::test]
async fn bound_refresh_tokens_can_be_demanded() {
    for tenant in [Tenant::Oidc, Tenant::Entra] {
        let mut machine = Machine::before(Authority::builder(), tenant).await;
        machine.user_config = "require_binding = \"sender-constrained\"\n";
        let broker = machine.start();
        let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
        let app = machine.application(&alice).await;
        let outcome = sign_in(&app).await;
        if tenant == Tenant::Oidc {
            assert_eq!(outcome.unwrap().binding, Some(Binding::Dpop));
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration, "{error}");
            let demand = "config.toml:1 demands refresh tokens bound";
            assert!(error.message().contains(demand), "{error}");
            assert_eq!(alice.shown(), 0);
        }
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_demand_that_is_not_in_force_before_a_restart_is_named() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let outdated = async || app.status().await.unwrap().outdated;
    assert_eq!(outdated().await, None);
    let config = machine.dir.path().join("config.toml");
    for (text, why) in [
        (
            "require_binding = \"sender-constrained\"\n",
            "(require_binding)",
        ),
        ("require_binding = \"all\"\n", "correct it, then restart it"),
    ] {
        fs::write(&config, text).unwrap();
        let outdated = outdated().await.unwrap();
        let process = format!("end process {}", std::process::id());
        for part in [why, "systemctl --user restart keywardd", &process] {
            assert!(outdated.contains(part), "{outdated}");
        }
    }
    fs::write(&config, "# nothing but a comment\n").unwrap();
    assert_eq!(outdated().await, None);
    broker.stop().await;
}

#[tokio::test]
async fn keys_that_cannot_leave_can_be_demanded() {
    let mut machine = Machine::new().await;
    machine.user_config = "require_key_protection = \"tpm\"\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let error = sign_in(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("demands keys in a TPM"), "{error}");
    assert_eq!(alice.shown(), 0);
    broker.stop().await;
}

#[tokio::test]
async fn an_authority_that_allows_no_loopback_is_named_before_anybody_is_asked() {
    const NATIVE: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";
    for (tenant, registered, allowed) in [
        (Tenant::Oidc, vec![NATIVE], false),
        (Tenant::Entra, vec![NATIVE], false),
        (Tenant::Oidc, vec![NATIVE, "http://localhost"], true),
        (Tenant::Entra, vec![NATIVE, "http://localhost"], true),
    ] {
        let client = StrictClient {
            client_id: CLIENT.to_owned(),
            redirect_uris: registered.into_iter().map(str::to_owned).collect(),
            scopes: None,
        };
        let authority = Authority::builder().strict_clients([client]);
        let machine = Machine::before(authority, tenant).await;
        let broker = machine.start();
        let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
        let app = machine.application(&alice).await;
        let mut request = token_request(COMMON);
        request.redirect_uri = Some(NATIVE.to_owned());
        let outcome = sign_in_for(&app, request).await;
        assert_eq!(alice.shown(), usize::from(allowed));
        if allowed {
            outcome.unwrap();
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
            assert!(error.message().contains(NATIVE), "{error}");
            assert!(error.message().contains("register http://localhost"));
            let said = error.authority().unwrap().description.as_deref().unwrap();
            let words = ["AADSTS50011: ", "invalid_redirect_uri"];
            assert!(words.iter().any(|word| said.starts_with(word)), "{said}");
        }
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_second_broker_on_the_same_socket_is_refused_and_disturbs_nobody() {
    let machine = Machine::new().await;
    let first = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let error = machine.start().running.await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("another keywardd serves"),
        "{error}"
    );
    sign_in(&app).await.unwrap();
    first.stop().await;
}

#[tokio::test]
async fn nothing_a_refresh_token_is_made_of_is_in_a_file() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap();
    renewed(&app).await.unwrap();
    let issued = machine.authority.issued();
    assert!(issued.len() >= 2);
    let files = [machine.state(), machine.kept(), machine.kept().join("keys")]
        .map(|folder| fs::read_dir(folder).unwrap())
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    for file in files {
        assert_eq!(
            fs::metadata(&file).unwrap().mode() & 0o777,
            0o600,
            "{file:?}"
        );
        let content = fs::read(&file).unwrap();
        let secrets = issued.iter().map(|token| token.refresh_token.as_bytes());
        for secret in secrets.chain([b"alice".as_slice()]) {
            let found = content.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{file:?}");
        }
    }
    broker.stop().await;
}
