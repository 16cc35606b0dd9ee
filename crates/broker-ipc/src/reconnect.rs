//! A connection that is opened when it is needed, and again when it has broken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::JoinHandle;
use zbus::Connection;

use keyward_client::error::{AcquireTokenError, ErrorKind};

type Opening = Shared<BoxFuture<'static, Result<Arc<Opened>, AcquireTokenError>>>;
type Open = dyn Fn() -> BoxFuture<'static, Result<Opened, AcquireTokenError>> + Send + Sync;

/// At most one connection, opened by whoever needs it first; the others wait for that.
pub(crate) struct Reconnecting {
    open: Box<Open>,
    current: Mutex<Current>,
}

enum Current {
    None,
    /// Goes on when those who wait for it give up: opening may start a process, and starting it
    /// twice helps nobody.
    Opening(Opening),
    Open(Arc<Opened>),
}

/// An open connection and what answers the calls that come in over it.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// Held, so that it ends with the connection.
    pub(crate) _serving: Option<Serving>,
}

/// A task that ends with its owner.
pub(crate) struct Serving(pub(crate) JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reconnecting {
    pub(crate) fn new(
        open: impl Fn() -> BoxFuture<'static, Result<Opened, AcquireTokenError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Box::new(open),
            current: Mutex::new(Current::None),
        }
    }

    /// The open connection, or a new one.
    pub(crate) async fn connection(&self) -> Result<Connection, AcquireTokenError> {
        let opening = match self.open_or_opening() {
            Ok(connection) => return Ok(connection),
            Err(opening) => opening,
        };
        let outcome = opening.clone().await;
        let mut current = self.current();
        // Unless somebody has been here before, or has gone on to the next attempt already.
        if matches!(&*current, Current::Opening(this) if this.ptr_eq(&opening)) {
            *current = match &outcome {
                Ok(opened) => Current::Open(Arc::clone(opened)),
                Err(_) => Current::None,
            };
        }
        drop(current);
        outcome.map(|opened| opened.connection.clone())
    }

    fn open_or_opening(&self) -> Result<Connection, Opening> {
        let mut current = self.current();
        match &*current {
            Current::Open(opened) if !opened.connection.is_closed() => {
                return Ok(opened.connection.clone());
            }
            // An outcome that nobody waited for is old: only an open connection is good for longer.
            Current::Opening(opening) => match opening.peek() {
                None => return Err(opening.clone()),
                Some(Ok(opened)) if !opened.connection.is_closed() => return Err(opening.clone()),
                Some(_) => {}
            },
            Current::Open(_) | Current::None => {}
        }
        let opening = tokio::spawn((self.open)());
        let opening: Opening = async move {
            match opening.await {
                Ok(opened) => opened.map(Arc::new),
                Err(_) => Err(AcquireTokenError::new(
                    ErrorKind::BrokerUnavailable,
                    "connecting to the broker was given up",
                )),
            }
        }
        .boxed()
        .shared();
        *current = Current::Opening(opening.clone());
        Err(opening)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
