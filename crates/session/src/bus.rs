//! Our life on the bus: join, take the names, answer, and what happens when the bus leaves.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::faces::{Faces, Names, Ownership};
use keyward_broker_ipc::names;
use keyward_broker_ipc::server::Limits;
use keyward_broker_ipc::service::BrokerService;
use keyward_config::supervisor;

use crate::StartError;
use crate::args::Arguments;
use crate::forward::Forwarder;

/// How long to wait before the bus is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Serves the session bus.
///
/// A process the bus started ends with it. One that a person or a supervisor started waits until
/// the bus is there again: a desktop that restarts its bus gets its broker back.
pub(crate) async fn serve(
    forwarder: Arc<Forwarder>,
    arguments: &Arguments,
) -> Result<(), StartError> {
    let address = BusAddress::session()?;
    let activated = env::var_os("DBUS_STARTER_ADDRESS").is_some();
    let mut faces = Faces::join(&address).await.map_err(StartError::Bus)?;
    loop {
        if arguments.take_over {
            faces = faces.taking_over();
        }
        let service: Arc<dyn BrokerService> = Arc::clone(&forwarder) as _;
        faces
            .serve(service, Limits::default(), |taken| {
                on_names(&forwarder, taken);
            })
            .await;
        tracing::info!("the session bus is gone");
        if activated {
            return Ok(());
        }
        faces = rejoin(&address).await;
        tracing::info!("the session bus is back");
    }
}

async fn rejoin(address: &BusAddress) -> Faces {
    let (mut pause, longest) = RETRY;
    loop {
        tokio::time::sleep(pause).await;
        match Faces::join(address).await {
            Ok(faces) => return faces,
            Err(error) => tracing::debug!(%error, "the session bus is not back yet"),
        }
        pause = longest.min(pause * 2);
    }
}

/// Says whom the names belong to, and that we serve now.
fn on_names(forwarder: &Forwarder, taken: Names) {
    let mut problems = Vec::new();
    for (name, ownership) in [
        (names::microsoft::BUS_NAME, taken.microsoft),
        (names::keyward::BUS_NAME, taken.keyward),
    ] {
        match ownership {
            Ownership::Ours => tracing::info!(name, "serving"),
            Ownership::Theirs(owner) => {
                let pid = owner.and_then(|owner| owner.pid);
                tracing::warn!(
                    name,
                    pid,
                    "somebody else owns this name; going on without it"
                );
                let who =
                    pid.map_or_else(|| "another program".to_owned(), |pid| format!("pid {pid}"));
                problems.push(format!("{who} owns {name} on the session bus"));
            }
        }
    }
    forwarder.set_problems(problems);
    if let Err(error) = supervisor::ready() {
        tracing::warn!(%error, "whoever waits for this process cannot be told");
    }
}
