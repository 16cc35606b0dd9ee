//! The user agent: a listener, then a browser, then the first redirect.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use keyward_oauth::question::{Answer, Question};
use keyward_oauth::transport::{Redirect, ShowOptions, Sitting, UserAgent, UserAgentError};

use crate::launcher::Launcher;
use crate::listener::Listener;
use crate::question::Asking;

/// How long a page waits for an answer if nobody takes it away before. A tab that was closed says
/// nothing to us.
const LONGEST_QUESTION: Duration = Duration::from_secs(600);

/// The system browser with a loopback redirect.
#[derive(Clone, Debug)]
pub struct SystemBrowser {
    launcher: Launcher,
    announce: fn(),
}

impl SystemBrowser {
    /// A browser started by this launcher.
    pub fn new(launcher: Launcher) -> Self {
        Self {
            launcher,
            announce: || {},
        }
    }

    /// Calls this whenever a page is about to be shown.
    #[must_use]
    pub fn announced_by(mut self, announce: fn()) -> Self {
        self.announce = announce;
        self
    }

    /// The browser of the environment: `$BROWSER`, else `xdg-open`.
    pub fn from_environment() -> Self {
        Self::new(Launcher::from_environment())
    }
}

#[async_trait]
impl UserAgent for SystemBrowser {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        self.launcher.check()?;
        let listener = Listener::open(show.redirect_uri.as_ref()).await?;
        Ok(Box::new(BrowserSitting {
            launcher: self.launcher.clone(),
            announce: self.announce,
            listener,
        }))
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        self.launcher.check()?;
        let asking = Asking::open(question).await?;
        (self.announce)();
        let failed = self.launcher.open(asking.address().clone());
        let answered = tokio::time::timeout(LONGEST_QUESTION, asking.answer());
        tokio::select! {
            answer = answered => answer.unwrap_or(Err(UserAgentError::Canceled)),
            error = failed => Err(error),
        }
    }
}

/// One sign-in: the listener is open, the browser not yet started.
struct BrowserSitting {
    launcher: Launcher,
    announce: fn(),
    listener: Listener,
}

#[async_trait]
impl Sitting for BrowserSitting {
    fn redirect_uri(&self) -> &Url {
        self.listener.redirect_uri()
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        let state = url
            .query_pairs()
            .find(|(name, _)| name == "state")
            .map(|(_, state)| state.into_owned());
        (self.announce)();
        // The listener comes first: a quick browser must find it, and a launcher that only ends
        // with the browser must not hold up the redirect.
        let failed = self.launcher.open(url);
        tokio::select! {
            redirect = self.listener.redirect(state) => redirect,
            error = failed => Err(error),
        }
    }
}
