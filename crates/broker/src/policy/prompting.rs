//! The prompts of one request: whether they may be shown, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use keyward_client::PromptGate;
use keyward_client::error::{AcquireTokenError, ErrorKind};

use super::strikes::Strikes;

/// Watches over the prompts of one request. Dropped while one is shown, the prompt was cancelled.
pub(crate) struct Prompting(Arc<Watch>);

/// What the engine sees of it.
struct Watch {
    strikes: Arc<Strikes>,
    program: String,
    client_id: String,
    shown: AtomicBool,
}

impl Prompting {
    pub(super) fn new(strikes: Arc<Strikes>, program: &str, client_id: &str) -> Self {
        Self(Arc::new(Watch {
            strikes,
            program: program.to_owned(),
            client_id: client_id.to_owned(),
            shown: AtomicBool::new(false),
        }))
    }

    /// What stands between the request and the person.
    pub(crate) fn gate(&self) -> Arc<dyn PromptGate> {
        Arc::clone(&self.0) as _
    }

    /// What came of the prompt, if one was shown: only cancelled, denied and expired ones count
    /// against who asked, and one that was answered makes up for those before it.
    pub(crate) fn ended<T>(&self, outcome: &Result<T, AcquireTokenError>) {
        if !self.0.shown.swap(false, Ordering::SeqCst) {
            return;
        }
        match outcome {
            Ok(_) => self.0.strikes.forgive(&self.0.program, &self.0.client_id),
            Err(error) if came_to_nothing(error.kind()) => self.0.strike(),
            Err(_) => {}
        }
    }
}

fn came_to_nothing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UserCanceled | ErrorKind::ApplicationCanceled | ErrorKind::DeadlineExceeded
    )
}

impl Drop for Prompting {
    fn drop(&mut self) {
        if self.0.shown.load(Ordering::SeqCst) {
            self.0.strike();
        }
    }
}

impl Watch {
    fn strike(&self) {
        let (program, client) = (&self.program, &self.client_id);
        self.strikes.strike(program, client, Instant::now());
    }
}

impl PromptGate for Watch {
    fn admit(&self) -> Result<(), AcquireTokenError> {
        let (program, client) = (&self.program, &self.client_id);
        self.strikes.admit(program, client, Instant::now())
    }

    fn shown(&self) {
        self.shown.store(true, Ordering::SeqCst);
    }
}
