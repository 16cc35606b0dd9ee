//! A connection that is opened when it is needed, and again when it has broken.

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zbus::Connection;

use keyward_client::error::AcquireTokenError;

type Open = dyn Fn() -> BoxFuture<'static, Result<Opened, AcquireTokenError>> + Send + Sync;

/// At most one connection, opened by whoever needs it first; the others wait for that.
pub(crate) struct Reconnecting {
    open: Box<Open>,
    current: Mutex<Option<Opened>>,
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
            current: Mutex::new(None),
        }
    }

    /// The open connection, or a new one.
    pub(crate) async fn connection(&self) -> Result<Connection, AcquireTokenError> {
        let mut current = self.current.lock().await;
        if let Some(opened) = &*current
            && !opened.connection.is_closed()
        {
            return Ok(opened.connection.clone());
        }
        *current = None;
        let opened = (self.open)().await?;
        let connection = opened.connection.clone();
        *current = Some(opened);
        Ok(connection)
    }
}
