//! Serving callers, as a process somebody watches over, until nobody wants anything any more.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use keyward_broker_ipc::program::{Links, Lookup};
use keyward_broker_ipc::server::{self, Ended, Idle, Terms};
use keyward_broker_ipc::service::BrokerService;
use keyward_config::supervisor::Supervisor;
use keyward_config::{Config, ConfigError, Form, IdleExit, Places};

use crate::Options;
use crate::holdings::Holdings;
use crate::opened::Opened;
use crate::run::StartupError;
use crate::service::Service;
use crate::users::Users;

/// How long work that outlives its callers may take at the end.
const FINISHING: Duration = Duration::from_secs(10);
/// The same where nobody told us to end: longer than an authority may take for an answer.
const FINISHING_UNHURRIED: Duration = Duration::from_secs(60);

/// Serves until `shutdown` is ready, or nobody has asked for as long as configured.
pub(crate) async fn serve(
    options: Options,
    config: Result<Config, ConfigError>,
    opened: Opened,
    links: Links,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartupError> {
    let form = options.environment.form();
    let terms = Terms {
        lookup: Lookup::on_a_thread(links)?,
        idle: idle(config.as_ref().ok(), &opened, form),
        ..Terms::default()
    };
    let Opened {
        socket, supervisor, ..
    } = opened;
    let listener = waitable(socket.listener)?;
    let served = match form {
        Form::Session => {
            let holdings = Holdings::open(options, config).await;
            let finished = holdings.finished();
            let service = Arc::new(Service::new(holdings));
            let served = watched(&supervisor, form, listener, service, terms, shutdown).await;
            finish(&served, finished).await;
            served
        }
        Form::System => {
            let state_dir = Places::state_dir(&options.environment)?;
            let users = Users::new(options, &state_dir.value)
                .map_err(|error| StartupError::new(error.kind(), error.message()))?;
            let users = Arc::new(users);
            let service: Arc<Users> = Arc::clone(&users);
            let served = tokio::select! {
                served = watched(&supervisor, form, listener, service, terms, shutdown) => served,
                () = users.close_idle_ones() => Ok(Ended::Told),
            };
            users.finish().await;
            served
        }
    };
    tracing::info!("stopped");
    drop(socket.place);
    served.map(drop).map_err(StartupError::from)
}

/// When to end because nobody asks. In the system form, everybody's keyward-session would wake it
/// again at once, to offer itself.
fn idle(config: Option<&Config>, opened: &Opened, form: Form) -> Option<Idle> {
    let chosen = config.map_or(IdleExit::Automatic, |config| config.idle_exit.value);
    let socket_stays = opened.socket.is_passed;
    let after = chosen.after(socket_stays && form == Form::Session)?;
    Some(Idle {
        after,
        socket_stays,
    })
}

/// Serves, and shows whoever watches that the loop that serves is not stuck: the same thread does
/// both, in turn.
async fn watched(
    supervisor: &Supervisor,
    form: Form,
    listener: tokio::net::UnixListener,
    service: Arc<dyn BrokerService>,
    terms: Terms,
    shutdown: impl Future<Output = ()>,
) -> io::Result<Ended> {
    if let Err(error) = supervisor.ready() {
        tracing::warn!(%error, "whoever started this cannot be told that it serves");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %form, "serving");
    let served = tokio::select! {
        served = server::serve_with(listener, service, terms, shutdown) => served,
        () = show_life(supervisor) => Ok(Ended::Told),
    };
    let _ = supervisor.stopping();
    served
}

/// Never ends.
async fn show_life(supervisor: &Supervisor) {
    let Some(interval) = supervisor.watchdog() else {
        return std::future::pending().await;
    };
    let mut due = tokio::time::interval(interval);
    loop {
        due.tick().await;
        // If it cannot be told, it will see that for itself.
        let _ = supervisor.alive();
    }
}

/// Nobody can ask any more. A renewal that is under way has rotated a refresh token, or may have:
/// its successor is still to be kept.
async fn finish(served: &io::Result<Ended>, finished: impl Future<Output = ()>) {
    let patience = match served {
        Ok(Ended::Idle) => {
            tracing::info!("nobody has asked for a while");
            FINISHING_UNHURRIED
        }
        _ => FINISHING,
    };
    if tokio::time::timeout(patience, finished).await.is_err() {
        tracing::warn!("stopped although something was not finished");
    }
}

fn waitable(listener: UnixListener) -> io::Result<tokio::net::UnixListener> {
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}
