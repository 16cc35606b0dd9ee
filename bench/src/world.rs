//! Everything a broker needs around it: an authority, a bus, both processes, two signed-in users.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::ports::TokenBroker as _;
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, InteractiveRequest, ParentWindow, SilentRequest,
    TokenRequest,
};
use keyward_dev::args::Tenant;
use keyward_dev::authority;
use keyward_dev::bus::Bus;
use keyward_dev::place::Place;
use keyward_dev::process::Process;
use keyward_dev::session::{CLIENT_ID, authority_section, broker_environment};
use keyward_dev::sign_in::ScriptedUserAgent;
use keyward_dev_authority::{Authority, Running};
use tokio::sync::oneshot;
use uuid::Uuid;

/// What a benchmark may fail with.
pub type Failure = Box<dyn Error>;

/// Who is signed in. The authority stalls for the second one.
pub const USERS: [&str; 2] = ["alice@dev.test", "bob@dev.test"];

/// A broker, its world, and two accounts with fresh tokens.
pub struct World {
    /// The place on disk.
    pub place: Place,
    /// The authority, on a thread of its own.
    pub authority: Arc<Running>,
    /// The session bus.
    pub bus: Bus,
    /// The accounts, in the order of [`USERS`].
    pub accounts: Vec<AccountInfo>,
    keywardd: Option<Process>,
    session: Process,
    environment: Vec<(&'static str, OsString)>,
    client_id: ClientId,
    // Dropping it ends the authority's thread.
    _authority_lives: oneshot::Sender<()>,
}

impl World {
    /// Starts everything and signs both users in.
    pub async fn create() -> Result<Self, Failure> {
        Self::create_with("").await
    }

    /// The same, with more lines of configuration.
    pub async fn create_with(configuration: &str) -> Result<Self, Failure> {
        let folder = programs_folder()?;
        let place = Place::with_programs(|name| folder.join(name))?;
        let (authority, lives) = authority_on_a_thread().await?;
        let authorities = authority_section(&authority);
        place.write_config(&format!("{configuration}{authorities}"))?;
        let bus = Bus::private(&place).await?;
        let mut environment = broker_environment(&place);
        environment.push(("DBUS_SESSION_BUS_ADDRESS", bus.address().into()));
        let keywardd = Process::start(&place, "keywardd", &[], &environment).await?;
        let arguments = ["--no-start".into()];
        let session = Process::start(&place, "keyward-session", &arguments, &environment).await?;
        let mut world = Self {
            place,
            authority,
            bus,
            accounts: Vec::new(),
            keywardd: Some(keywardd),
            session,
            environment,
            client_id: ClientId::parse(CLIENT_ID)?,
            _authority_lives: lives,
        };
        for user in USERS {
            let account = world.sign_in(user).await?;
            world.accounts.push(account);
        }
        Ok(world)
    }

    async fn sign_in(&self, user: &str) -> Result<AccountInfo, Failure> {
        let agent = Arc::new(ScriptedUserAgent::new(user));
        let options =
            SocketOptions::new(self.place.socket()).with_agent(agent, AgentScope::OwnRequests);
        let request = InteractiveRequest {
            token: self.token_request(),
            account: None,
            login_hint: Some(user.to_owned()),
            prompt: None,
            window: ParentWindow::None,
            deadline: None,
        };
        let result = SocketBroker::new(options)
            .acquire_token_interactive(request)
            .await?;
        Ok(result.account)
    }

    /// A new connection to keywardd.
    pub fn socket_broker(&self) -> SocketBroker {
        SocketBroker::new(SocketOptions::new(self.place.socket()))
    }

    /// The authority as applications on the bus may name it.
    pub fn authority_uri(&self) -> String {
        format!(
            "https://localhost/{}",
            authority::tenant(&self.authority, Tenant::Oidc)
        )
    }

    /// A silent request for one of the users.
    pub fn silent_request(&self, user: usize, cache: CachePolicy) -> SilentRequest {
        SilentRequest {
            token: self.token_request(),
            account: AccountSelector::Home(self.accounts[user].home_account_id.clone()),
            cache,
        }
    }

    fn token_request(&self) -> TokenRequest {
        TokenRequest {
            client_id: self.client_id.clone(),
            authority: self.authority_uri(),
            scopes: Scopes::parse("demo.read"),
            scheme: AuthenticationScheme::Bearer,
            claims: None,
            redirect_uri: None,
            extra_parameters: BTreeMap::new(),
            demands: Demands::default(),
            correlation_id: CorrelationId::from_random(*Uuid::new_v4().as_bytes()),
        }
    }

    /// Ends keywardd and starts it again. Returns the time from the start of the process to its
    /// first answer, a silent hit out of the vault.
    pub async fn restart_keywardd(&mut self) -> Result<Duration, Failure> {
        if let Some(running) = self.keywardd.take() {
            running.stop().await;
        }
        let request = self.silent_request(0, CachePolicy::UseCache);
        let start = Instant::now();
        let started = Process::start(&self.place, "keywardd", &[], &self.environment).await?;
        self.socket_broker().acquire_token_silent(request).await?;
        let first_answer = start.elapsed();
        self.keywardd = Some(started);
        Ok(first_answer)
    }

    /// Resident memory of keywardd and keyward-session, in MiB.
    pub fn resident_mib(&self) -> Result<(f64, f64), Failure> {
        let keywardd = self.keywardd.as_ref().and_then(Process::id);
        Ok((resident_mib(keywardd)?, resident_mib(self.session.id())?))
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.session.stop().await;
        if let Some(keywardd) = self.keywardd {
            keywardd.stop().await;
        }
        self.bus.stop().await;
    }
}

/// The folder this program's siblings are built into.
fn programs_folder() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()?;
    let folder = this
        .parent()
        .ok_or("this program is in no folder")?
        .to_owned();
    for program in ["keywardd", "keyward-session"] {
        if !folder.join(program).exists() {
            return Err(format!("{program} is not built; use `cargo xtask bench`").into());
        }
    }
    Ok(folder)
}

/// Starts the authority where it does not take turns with the callers.
async fn authority_on_a_thread() -> Result<(Arc<Running>, oneshot::Sender<()>), Failure> {
    let (started, running) = oneshot::channel();
    let (lives, gone) = oneshot::channel::<()>();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let authority = Authority::builder().port(0).start().await;
            if started.send(authority.map(Arc::new)).is_ok() {
                let _ = gone.await;
            }
        });
    });
    Ok((running.await??, lives))
}

fn resident_mib(process: Option<u32>) -> Result<f64, Failure> {
    let process = process.ok_or("a process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or("the kernel does not tell the resident size")?
        .trim()
        .parse()?;
    Ok(kib / 1024.0)
}
