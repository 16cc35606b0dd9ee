//! The broker's side: a user agent at the other end of a connection.

use async_trait::async_trait;
use url::Url;
use uuid::Uuid;
use zbus::Connection;
use zbus::message::{Flags, Message};

use keyward_client::oauth::question::{Answer, Question};
use keyward_client::oauth::secret::PinText;
use keyward_client::oauth::transport::{Redirect, ShowOptions, Sitting, UserAgent, UserAgentError};

use crate::names::keyward::{USER_AGENT_ERROR_PREFIX, USER_AGENT_INTERFACE, USER_AGENT_PATH};
use crate::secret_service::{Secret, SecretStore, SecretStoreError};
use crate::wire::dict::Entries;

use super::{ALLOW, DENY, PIN};

/// The user agent at the other end of a connection.
#[derive(Debug)]
pub(crate) struct RemoteAgent(Connection);

impl RemoteAgent {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

#[async_trait]
impl UserAgent for RemoteAgent {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        // The id is ours, so that a sitting can be closed whose preparation was given up.
        let open = Open {
            connection: self.0.clone(),
            id: Uuid::new_v4().to_string(),
        };
        let redirect_uri = show.redirect_uri.as_ref().map(Url::as_str);
        let mut options = Entries::new();
        options
            .text("id", &open.id)
            .maybe_text("redirect_uri", redirect_uri)
            .maybe_text("caller", show.caller.as_deref())
            .maybe_text("parent", show.parent.as_deref())
            .maybe_text("login_hint", show.login_hint.as_deref());
        let reply = call(&self.0, "Prepare", &options).await?;
        let body = reply.body();
        let (_, redirect_uri): (&str, &str) = body.deserialize().map_err(|_| misunderstood())?;
        Ok(Box::new(RemoteSitting {
            redirect_uri: Url::parse(redirect_uri).map_err(|_| misunderstood())?,
            open,
        }))
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let open = Open {
            connection: self.0.clone(),
            id: Uuid::new_v4().to_string(),
        };
        let question = serde_json::to_string(&question).map_err(|_| misunderstood())?;
        let reply = call(&self.0, "Ask", &(open.id.as_str(), question.as_str())).await?;
        let body = reply.body();
        match body
            .deserialize::<(&str, &str)>()
            .map_err(|_| misunderstood())?
        {
            (ALLOW, _) => Ok(Answer::Allow),
            (DENY, _) => Ok(Answer::Deny),
            (PIN, pin) => Ok(Answer::Pin(PinText::new(pin.to_owned()))),
            (_, _) => Err(misunderstood()),
        }
    }
}

#[async_trait]
impl SecretStore for RemoteAgent {
    async fn read(&self, name: &str) -> Result<Option<Secret>, SecretStoreError> {
        let reply = call(&self.0, "ReadSecret", &name).await;
        let reply = reply.map_err(not_kept)?;
        let body = reply.body();
        let (found, secret): (bool, Vec<u8>) =
            body.deserialize().map_err(|_| not_kept(misunderstood()))?;
        let secret = Secret::new(secret);
        Ok(found.then_some(secret))
    }

    async fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretStoreError> {
        let written = call(&self.0, "WriteSecret", &(name, secret)).await;
        written.map(drop).map_err(not_kept)
    }
}

fn not_kept(error: UserAgentError) -> SecretStoreError {
    SecretStoreError(match error {
        UserAgentError::Unavailable(why) | UserAgentError::Listen(why) => why,
        UserAgentError::Canceled => "it was given up".to_owned(),
    })
}

struct RemoteSitting {
    redirect_uri: Url,
    open: Open,
}

#[async_trait]
impl Sitting for RemoteSitting {
    fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        let Open { connection, id } = &self.open;
        let reply = call(connection, "Show", &(id.as_str(), url.as_str())).await?;
        let body = reply.body();
        let redirected: &str = body.deserialize().map_err(|_| misunderstood())?;
        let url = Url::parse(redirected).map_err(|_| misunderstood())?;
        Ok(Redirect { url })
    }
}

/// A sitting or a question the other end may have open. Closed when dropped.
#[derive(Debug)]
struct Open {
    connection: Connection,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        let close = Message::method_call(USER_AGENT_PATH, "Close")
            .interface(USER_AGENT_INTERFACE)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&self.id.as_str());
        let connection = self.connection.clone();
        if let (Ok(close), Ok(runtime)) = (close, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // When it cannot be told, it is gone, and its sittings with it.
                let _ = connection.send(&close).await;
            });
        }
    }
}

async fn call<B>(
    connection: &Connection,
    method: &'static str,
    body: &B,
) -> Result<Message, UserAgentError>
where
    B: serde::Serialize + zbus::DynamicType,
{
    connection
        .call_method(
            None::<&str>,
            USER_AGENT_PATH,
            Some(USER_AGENT_INTERFACE),
            method,
            body,
        )
        .await
        .map_err(|error| match error {
            zbus::Error::MethodError(name, text, _) => {
                let text = text.unwrap_or_default();
                match name.strip_prefix(USER_AGENT_ERROR_PREFIX) {
                    Some("Canceled") => UserAgentError::Canceled,
                    Some("Listen") => UserAgentError::Listen(text),
                    _ => UserAgentError::Unavailable(text),
                }
            }
            _ => UserAgentError::Unavailable("the user agent went away".to_owned()),
        })
}

fn misunderstood() -> UserAgentError {
    UserAgentError::Unavailable("the user agent's answer cannot be understood".to_owned())
}
