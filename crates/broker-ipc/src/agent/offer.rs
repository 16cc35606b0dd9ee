//! The client's side: serves a user agent at its end of a connection to the broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use url::Url;
use zbus::message::Message;
use zbus::names::MemberName;

use keyward_client::oauth::question::{Answer, Question};
use keyward_client::oauth::transport::{ShowOptions, Sitting, UserAgent, UserAgentError};

use crate::dispatch::{Call, Handler};
use crate::names::keyward::{USER_AGENT_ERROR_PREFIX, USER_AGENT_INTERFACE, USER_AGENT_PATH};
use crate::secret_service::{Secret, SecretStore, SecretStoreError};
use crate::wire::WireError;
use crate::wire::dict::Dict;

use super::{ALLOW, DENY, PIN};

/// The introspection data.
pub(crate) const XML: &str = include_str!("../../interfaces/dev.keyward.UserAgent1.xml");

/// More sittings than a broker shows at once.
const MOST_SITTINGS: usize = 32;

/// Serves a user agent.
pub(crate) struct Offer {
    agent: Arc<dyn UserAgent>,
    secrets: Option<Arc<dyn SecretStore>>,
    sittings: Mutex<HashMap<String, Stage>>,
}

/// How far a sitting is.
enum Stage {
    /// Being prepared or shown; ends when aborted.
    Working(AbortHandle),
    Prepared(Box<dyn Sitting>),
}

impl Offer {
    pub(crate) fn new(
        agent: Arc<dyn UserAgent>,
        secrets: Option<Arc<dyn SecretStore>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            agent,
            secrets,
            sittings: Mutex::default(),
        })
    }

    async fn prepare(&self, id: &str, options: ShowOptions) -> Result<Url, UserAgentError> {
        let (abort, registration) = AbortHandle::new_pair();
        {
            let mut sittings = self.sittings();
            if sittings.len() >= MOST_SITTINGS || sittings.contains_key(id) {
                return Err(UserAgentError::Unavailable(
                    "too many sign-ins are shown already".to_owned(),
                ));
            }
            sittings.insert(id.to_owned(), Stage::Working(abort));
        }
        let prepared = Abortable::new(self.agent.prepare(options), registration)
            .await
            .unwrap_or(Err(UserAgentError::Canceled));
        let mut sittings = self.sittings();
        let known = sittings.remove(id).is_some();
        let sitting = prepared?;
        if !known {
            return Err(UserAgentError::Canceled);
        }
        let redirect_uri = sitting.redirect_uri().clone();
        sittings.insert(id.to_owned(), Stage::Prepared(sitting));
        Ok(redirect_uri)
    }

    async fn show(&self, id: &str, url: Url) -> Result<Url, UserAgentError> {
        let (abort, registration) = AbortHandle::new_pair();
        let sitting = {
            let mut sittings = self.sittings();
            match sittings.remove(id) {
                Some(Stage::Prepared(sitting)) => {
                    sittings.insert(id.to_owned(), Stage::Working(abort));
                    sitting
                }
                Some(working) => {
                    sittings.insert(id.to_owned(), working);
                    return Err(UserAgentError::Unavailable(
                        "it is shown already".to_owned(),
                    ));
                }
                None => return Err(UserAgentError::Canceled),
            }
        };
        let shown = Abortable::new(sitting.show(url), registration).await;
        self.sittings().remove(id);
        shown
            .unwrap_or(Err(UserAgentError::Canceled))
            .map(|redirect| redirect.url)
    }

    async fn ask(&self, id: &str, question: Question) -> Result<Answer, UserAgentError> {
        let (abort, registration) = AbortHandle::new_pair();
        {
            let mut sittings = self.sittings();
            if sittings.len() >= MOST_SITTINGS || sittings.contains_key(id) {
                return Err(UserAgentError::Unavailable(
                    "too many questions are asked already".to_owned(),
                ));
            }
            sittings.insert(id.to_owned(), Stage::Working(abort));
        }
        let asked = Abortable::new(self.agent.ask(question), registration).await;
        self.sittings().remove(id);
        asked.unwrap_or(Err(UserAgentError::Canceled))
    }

    async fn read_secret(&self, name: &str) -> Result<Option<Secret>, UserAgentError> {
        let secrets = self.secrets.as_ref().ok_or_else(keeps_none)?;
        secrets.read(name).await.map_err(secrets_failed)
    }

    async fn write_secret(&self, name: &str, secret: &[u8]) -> Result<(), UserAgentError> {
        let secrets = self.secrets.as_ref().ok_or_else(keeps_none)?;
        secrets.write(name, secret).await.map_err(secrets_failed)
    }

    fn close(&self, id: &str) {
        let stage = self.sittings().remove(id);
        if let Some(Stage::Working(abort)) = stage {
            abort.abort();
        }
    }

    fn sittings(&self) -> MutexGuard<'_, HashMap<String, Stage>> {
        self.sittings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, call: &Call) -> zbus::Result<Message> {
        let header = call.header();
        let body = call.message().body();
        match header.member().map(MemberName::as_str) {
            Some("Prepare") => {
                let (id, options) = match body
                    .deserialize()
                    .map_err(|_| WireError::Body("a{sv}"))
                    .and_then(|dict| read_options(&dict))
                {
                    Ok(read) => read,
                    Err(error) => return call.fail(&error.in_request()),
                };
                match self.prepare(&id, options).await {
                    Ok(redirect_uri) => call.reply(&(id.as_str(), redirect_uri.as_str())),
                    Err(error) => fail(call, &error),
                }
            }
            Some("Show") => {
                let read = body
                    .deserialize::<(String, &str)>()
                    .ok()
                    .and_then(|(id, url)| Some((id, Url::parse(url).ok()?)));
                let Some((id, url)) = read else {
                    return call.fail(&WireError::Body("ss").in_request());
                };
                match self.show(&id, url).await {
                    Ok(redirected) => call.reply(&redirected.as_str()),
                    Err(error) => fail(call, &error),
                }
            }
            Some("Ask") => {
                let read = body
                    .deserialize::<(String, &str)>()
                    .ok()
                    .and_then(|(id, text)| Some((id, serde_json::from_str(text).ok()?)));
                let Some((id, question)) = read else {
                    return call.fail(&WireError::Body("ss").in_request());
                };
                match self.ask(&id, question).await {
                    Ok(Answer::Allow) => call.reply(&(ALLOW, "")),
                    Ok(Answer::Deny) => call.reply(&(DENY, "")),
                    Ok(Answer::Pin(pin)) => call.reply(&(PIN, pin.expose_secret())),
                    Ok(_) => fail(call, &UserAgentError::Canceled),
                    Err(error) => fail(call, &error),
                }
            }
            Some("ReadSecret") => {
                let Ok(name) = body.deserialize::<&str>() else {
                    return call.fail(&WireError::Body("s").in_request());
                };
                match self.read_secret(name).await {
                    Ok(Some(secret)) => call.reply(&(true, secret.as_slice())),
                    Ok(None) => call.reply(&(false, &[] as &[u8])),
                    Err(error) => fail(call, &error),
                }
            }
            Some("WriteSecret") => {
                let Ok((name, secret)) = body.deserialize::<(&str, &[u8])>() else {
                    return call.fail(&WireError::Body("say").in_request());
                };
                match self.write_secret(name, secret).await {
                    Ok(()) => call.reply(&()),
                    Err(error) => fail(call, &error),
                }
            }
            Some("Close") => {
                let Ok(id) = body.deserialize::<&str>() else {
                    return call.fail(&WireError::Body("s").in_request());
                };
                self.close(id);
                call.reply(&())
            }
            _ => call.unknown_method(),
        }
    }
}

impl Handler for Offer {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, zbus::Result<Message>> {
        Box::pin(async move {
            let header = call.header();
            if header.path().is_none_or(|path| *path != USER_AGENT_PATH)
                || header
                    .interface()
                    .is_some_and(|interface| *interface != USER_AGENT_INTERFACE)
            {
                return call.unknown_method();
            }
            self.answer(&call).await
        })
    }

    fn objects(&self) -> &'static [(&'static str, &'static str)] {
        &[(USER_AGENT_PATH, XML)]
    }

    fn capacity(&self) -> usize {
        2 * MOST_SITTINGS
    }
}

fn read_options(dict: &Dict<'_>) -> Result<(String, ShowOptions), WireError> {
    let redirect_uri = match dict.text("redirect_uri")? {
        None => None,
        Some(text) => {
            Some(Url::parse(text).map_err(|error| WireError::value("redirect_uri", &error))?)
        }
    };
    let options = ShowOptions {
        redirect_uri,
        caller: dict.owned_text("caller")?,
        parent: dict.owned_text("parent")?,
        login_hint: dict.owned_text("login_hint")?,
    };
    Ok((dict.require_text("id")?.to_owned(), options))
}

fn keeps_none() -> UserAgentError {
    UserAgentError::Unavailable("this process keeps no secrets".to_owned())
}

fn secrets_failed(SecretStoreError(why): SecretStoreError) -> UserAgentError {
    UserAgentError::Unavailable(why)
}

fn fail(call: &Call, error: &UserAgentError) -> zbus::Result<Message> {
    let (name, text) = match error {
        UserAgentError::Canceled => ("Canceled", ""),
        UserAgentError::Unavailable(why) => ("Unavailable", why.as_str()),
        UserAgentError::Listen(why) => ("Listen", why.as_str()),
    };
    Message::error(&call.header(), format!("{USER_AGENT_ERROR_PREFIX}{name}")).build(&text)
}
