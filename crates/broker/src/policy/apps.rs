//! The programs that have asked for tokens, and what the person said about them. Kept in a file
//! beside the vault, so that an answer holds after a restart and can be taken back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyward_broker_ipc::program::Program;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::manage::{AppReport, AppVerdict};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::durable;

/// The file, in the folder of the vault.
const FILE: &str = "apps.json";
/// The version of its format that is written and read.
const FORMAT: u32 = 1;
/// How many entries are kept. Beyond that, what was not asked about goes first, the least recently
/// used of it.
const MOST: usize = 1000;
/// How many scopes are kept of a program nobody was asked about.
const MOST_SCOPES: usize = 64;
/// How much older the last use in the file may be than the one in memory.
const A_DAY: u64 = 24 * 60 * 60;

/// What is known of the programs that have asked.
#[derive(Debug)]
pub(super) struct Apps {
    path: PathBuf,
    state: Mutex<State>,
    /// One writes at a time, and what is written last is the newest.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By program, then by client id.
    apps: HashMap<String, HashMap<String, Vec<App>>>,
    /// Why the file is left as it is.
    problem: Option<String>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    apps: Vec<App>,
}

/// What every version of it begins with.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A program with one client id: that it has asked, or what was answered about it for one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct App {
    /// What tells it from other programs.
    program: String,
    /// How it is shown.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path: Option<String>,
    /// Empty: it manages the broker itself.
    client_id: String,
    scopes: Scopes,
    /// The home account id. `None`: any.
    #[serde(default)]
    account: Option<String>,
    verdict: AppVerdict,
    /// Seconds since the epoch: of the answer, or of the first request.
    since: u64,
    #[serde(default)]
    last_used: Option<u64>,
    /// The last use as the file has it.
    #[serde(skip)]
    last_kept: Option<u64>,
}

/// What the person said about a program before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may.
    Allowed,
    /// It may not, said at this time.
    Denied(UnixTime),
    /// Nothing about this.
    Open,
}

/// A program and the client id it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct AppId<'a> {
    pub(super) program: &'a str,
    pub(super) client_id: &'a str,
}

impl Apps {
    /// Reads what was kept below this folder. What cannot be read is left where it is, and says so.
    pub(super) fn open(folder: &Path) -> Arc<Self> {
        let path = folder.join(FILE);
        let mut state = State::default();
        match read(&path) {
            Ok(apps) => {
                for mut app in apps {
                    app.last_kept = app.last_used;
                    state.of(&app.program, &app.client_id).push(app);
                }
            }
            Err(why) => {
                let why = format!(
                    "{} cannot be used, so nothing is known of what programs were allowed, and \
                     nothing new is kept: {why}; move it away",
                    path.display()
                );
                tracing::error!(problem = why, "asking again");
                state.problem = Some(why);
            }
        }
        Arc::new(Self {
            path,
            state: Mutex::new(state),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// What is wrong with the file.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// What the person said about a program that asks for these scopes. `account`: for this one, or
    /// for any that was ever allowed.
    pub(super) fn standing(
        &self,
        id: AppId<'_>,
        scopes: &Scopes,
        account: Option<&str>,
    ) -> Standing {
        let state = self.state();
        let apps = state.apps.get(id.program);
        let apps = apps.and_then(|clients| clients.get(id.client_id));
        let mut standing = Standing::Open;
        for app in apps.into_iter().flatten() {
            match app.verdict {
                AppVerdict::Denied => return Standing::Denied(UnixTime::from_secs(app.since)),
                AppVerdict::Allowed if app.is_for(account) && app.covers(scopes) => {
                    standing = Standing::Allowed;
                }
                AppVerdict::Allowed | AppVerdict::Unasked => {}
            }
        }
        standing
    }

    /// Remembers what the person said, durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`]: it holds until the broker ends, and no longer.
    pub(super) async fn remember(
        &self,
        (program, client_id): (&Program, &str),
        verdict: AppVerdict,
        (scopes, account): (&Scopes, Option<&str>),
        now: UnixTime,
    ) -> Result<(), AcquireTokenError> {
        let answer = App {
            account: account.map(str::to_owned),
            verdict,
            ..App::new(program, client_id, scopes, now)
        };
        self.state().remember(answer);
        self.save().await.map_err(|why| {
            let message = format!("the answer cannot be kept: {why}");
            AcquireTokenError::new(ErrorKind::Storage, message)
        })
    }

    /// Takes note that a program was answered, also where nobody was asked about it. Cheap, as it
    /// comes with every token.
    pub(super) fn used(
        self: &Arc<Self>,
        program: &Program,
        client_id: &str,
        scopes: &Scopes,
        now: UnixTime,
    ) {
        let save = self.state().used(program, client_id, scopes, now);
        if save {
            let apps = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(why) = apps.save().await {
                    tracing::warn!(why, "what programs have asked cannot be kept");
                }
            });
        }
    }

    /// Every program, in the order of their names.
    pub(super) fn list(&self) -> Vec<AppReport> {
        let mut apps: Vec<_> = self.state().all().map(App::report).collect();
        apps.sort_by(|a, b| (&a.program, &a.client_id).cmp(&(&b.program, &b.client_id)));
        apps
    }

    /// Forgets the programs of this name (`None`: all), durably. Says how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`]: they are forgotten until the broker ends, and no longer.
    pub(super) async fn revoke(&self, name: Option<&str>) -> Result<usize, AcquireTokenError> {
        let revoked = self.state().revoke(name);
        if revoked > 0 {
            self.save().await.map_err(|why| {
                let message = format!("what was taken back cannot be kept: {why}");
                AcquireTokenError::new(ErrorKind::Storage, message)
            })?;
        }
        Ok(revoked)
    }

    async fn save(&self) -> Result<(), String> {
        let _writing = self.writing.lock().await;
        let content = {
            let mut state = self.state();
            if let Some(problem) = &state.problem {
                return Err(problem.clone());
            }
            state.kept()
        };
        let content = content.map_err(|error| error.to_string())?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || durable::write(&path, &content)).await;
        match written {
            Ok(written) => written.map_err(|e| format!("{}: {e}", self.path.display())),
            Err(_) => Err("writing it panicked; this is a bug, please report it".to_owned()),
        }
    }

    /// The state is whole after every statement, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Vec<App>, String> {
    let Some(content) = durable::read(path).map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let damaged = |error: serde_json::Error| format!("it is damaged ({error})");
    let Format { format } = serde_json::from_slice(&content).map_err(damaged)?;
    if format != FORMAT {
        return Err(format!(
            "it is of format {format}, and this version knows {FORMAT}"
        ));
    }
    let kept: Kept = serde_json::from_slice(&content).map_err(damaged)?;
    Ok(kept.apps)
}

impl State {
    fn of(&mut self, program: &str, client_id: &str) -> &mut Vec<App> {
        let clients = self.apps.entry(program.to_owned()).or_default();
        clients.entry(client_id.to_owned()).or_default()
    }

    fn all(&self) -> impl Iterator<Item = &App> {
        self.apps.values().flat_map(HashMap::values).flatten()
    }

    fn remember(&mut self, mut answer: App) {
        let apps = self.of(&answer.program, &answer.client_id);
        let denied = answer.verdict == AppVerdict::Denied;
        let replaced = |app: &App| {
            denied || app.verdict != AppVerdict::Allowed || app.account == answer.account
        };
        for app in apps.iter().filter(|app| replaced(app)) {
            answer.last_used = answer.last_used.max(app.last_used);
            if !denied && app.verdict == AppVerdict::Allowed {
                answer.scopes = answer.scopes.union(&app.scopes);
            }
        }
        apps.retain(|app| !replaced(app));
        apps.push(answer);
        self.bound();
    }

    /// Whether the file should know.
    fn used(&mut self, program: &Program, client: &str, scopes: &Scopes, now: UnixTime) -> bool {
        let known = self.apps.get_mut(program.id());
        let known = known.and_then(|clients| clients.get_mut(client));
        let Some(known) = known.filter(|apps| !apps.is_empty()) else {
            let app = App::new(program, client, scopes, now);
            self.of(program.id(), client).push(app);
            self.bound();
            return true;
        };
        let seconds = now.as_secs();
        let mut save = false;
        for app in known {
            let unasked = app.verdict == AppVerdict::Unasked;
            let covered = app.covers(scopes);
            if unasked && !covered && app.scopes.iter().count() < MOST_SCOPES {
                app.scopes = app.scopes.union(&scopes.without_oidc());
                save = true;
            }
            if unasked || covered {
                app.last_used = Some(seconds);
                let kept = app.last_kept.unwrap_or_default();
                save |= seconds.saturating_sub(kept) >= A_DAY;
            }
        }
        save
    }

    fn revoke(&mut self, name: Option<&str>) -> usize {
        let before = self.all().count();
        for clients in self.apps.values_mut() {
            for apps in clients.values_mut() {
                apps.retain(|app| name.is_some_and(|name| !app.is_called(name)));
            }
            clients.retain(|_, apps| !apps.is_empty());
        }
        self.apps.retain(|_, clients| !clients.is_empty());
        before - self.all().count()
    }

    /// Keeps no more than [`MOST`].
    fn bound(&mut self) {
        while self.all().count() > MOST {
            let oldest = self.all().min_by_key(|app| {
                let asked_about = app.verdict != AppVerdict::Unasked;
                (asked_about, app.last_used.unwrap_or(app.since))
            });
            let Some(oldest) = oldest.cloned() else {
                return;
            };
            self.of(&oldest.program, &oldest.client_id)
                .retain(|app| *app != oldest);
        }
    }

    /// What the file is to hold.
    fn kept(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        for app in self
            .apps
            .values_mut()
            .flat_map(HashMap::values_mut)
            .flatten()
        {
            app.last_kept = app.last_used.or(Some(app.since));
        }
        serde_json::to_vec_pretty(&Kept {
            format: FORMAT,
            apps: self.all().cloned().collect(),
        })
    }
}

impl App {
    fn new(program: &Program, client_id: &str, scopes: &Scopes, now: UnixTime) -> Self {
        let executable = program.executable.as_ref();
        Self {
            program: program.id().to_owned(),
            name: program.name.clone(),
            path: executable.map(|executable| executable.path.clone()),
            client_id: client_id.to_owned(),
            scopes: scopes.without_oidc(),
            account: None,
            verdict: AppVerdict::Unasked,
            since: now.as_secs(),
            last_used: Some(now.as_secs()),
            last_kept: None,
        }
    }

    /// Whether the answer was about these scopes, too. Who somebody is, is in every answer.
    fn covers(&self, scopes: &Scopes) -> bool {
        scopes
            .of_resources()
            .all(|scope| self.scopes.contains(scope))
    }

    fn is_for(&self, account: Option<&str>) -> bool {
        self.account.is_none() || account.is_none() || self.account.as_deref() == account
    }

    /// Whether a person may mean it by this name.
    fn is_called(&self, name: &str) -> bool {
        let path = self.path.as_deref();
        let file = path.and_then(|path| path.rsplit('/').next());
        let names = [
            Some(self.program.as_str()),
            self.name.as_deref(),
            path,
            file,
        ];
        let sandbox = self.program.split_once(':').map(|(_, id)| id);
        names.contains(&Some(name)) || sandbox == Some(name) || self.client_id == name
    }

    fn report(&self) -> AppReport {
        AppReport {
            program: self.program.clone(),
            name: self.name.clone(),
            path: self.path.clone(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.iter().map(str::to_owned).collect(),
            home_account_id: self.account.clone(),
            username: None,
            verdict: self.verdict,
            since: UnixTime::from_secs(self.since).rfc3339(),
            last_used: self.last_used.map(|at| UnixTime::from_secs(at).rfc3339()),
        }
    }
}

#[cfg(test)]
mod tests;
