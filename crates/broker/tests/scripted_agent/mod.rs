//! A user agent that follows a script: it fills in the authority's pages as a person would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyward_client::oauth::question::{Answer, ConsentQuestion, PinQuestion, Question};
use keyward_client::oauth::secret::PinText;
use keyward_client::oauth::transport::{
    HttpClient, HttpRequest, HttpResponse, Redirect, ShowOptions, Sitting, UserAgent,
    UserAgentError,
};
use keyward_dev_authority::scripted::{Choice, Person, Reply};
use url::Url;
use zeroize::Zeroizing;

/// Where nobody listens: the redirect is read from the answer that names it.
const REDIRECT_URI: &str = "http://localhost:1/";

/// Shows sign-ins to one person.
pub struct ScriptedAgent {
    person: Person,
    shown: Arc<AtomicUsize>,
    /// What is answered to questions.
    says: Mutex<Says>,
    /// The questions that were asked.
    asked: Mutex<Vec<ConsentQuestion>>,
    /// The PINs the person types, one after the other. Without one they give up.
    types: Mutex<VecDeque<&'static str>>,
    /// What was asked about PINs.
    wanted: Mutex<Vec<PinQuestion>>,
}

/// What the person answers when asked about a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(dead_code)] // not every test asks
pub enum Says {
    Yes,
    /// Not now.
    #[default]
    Nothing,
    Never,
    /// Nobody is there.
    NobodyIsThere,
}

impl ScriptedAgent {
    pub fn new(user_name: &str, choice: Choice) -> Arc<Self> {
        Arc::new(Self {
            person: Person::new(user_name, "pw").choosing(choice),
            shown: Arc::default(),
            says: Mutex::default(),
            asked: Mutex::default(),
            types: Mutex::default(),
            wanted: Mutex::default(),
        })
    }

    /// The person types these PINs when asked for one.
    #[allow(dead_code)] // not every test has PINs
    pub fn types(&self, pins: &[&'static str]) {
        self.types.lock().unwrap().extend(pins);
    }

    /// Takes what was asked about PINs.
    #[allow(dead_code)] // not every test has PINs
    pub fn wanted(&self) -> Vec<PinQuestion> {
        std::mem::take(&mut self.wanted.lock().unwrap())
    }

    /// From now on this is what the person answers to questions.
    #[allow(dead_code)] // not every test asks
    pub fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// Takes the questions that were asked.
    #[allow(dead_code)] // not every test asks
    pub fn asked(&self) -> Vec<ConsentQuestion> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// How many sign-ins were shown.
    pub fn shown(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl UserAgent for ScriptedAgent {
    async fn prepare(&self, _: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        Ok(Box::new(ScriptedSitting {
            shown: Arc::clone(&self.shown),
            person: self.person.clone(),
            redirect_uri: REDIRECT_URI.parse().unwrap(),
            http: keyward_http::Client::new(),
            cookies: Mutex::default(),
        }))
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let question = match question {
            Question::Consent(question) => question,
            Question::Pin(question) => {
                self.wanted.lock().unwrap().push(question);
                let typed = self.types.lock().unwrap().pop_front();
                let typed = typed.ok_or(UserAgentError::Canceled)?;
                return Ok(Answer::Pin(PinText::new(typed.to_owned())));
            }
            other => panic!("nobody knows an answer: {other:?}"),
        };
        self.asked.lock().unwrap().push(*question);
        let says = *self.says.lock().unwrap();
        match says {
            Says::Yes => Ok(Answer::Allow),
            Says::Nothing => Err(UserAgentError::Canceled),
            Says::Never => Ok(Answer::Deny),
            Says::NobodyIsThere => std::future::pending().await,
        }
    }
}

struct ScriptedSitting {
    shown: Arc<AtomicUsize>,
    person: Person,
    redirect_uri: Url,
    http: keyward_http::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

#[async_trait]
impl Sitting for ScriptedSitting {
    fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        self.shown.fetch_add(1, Ordering::SeqCst);
        let mut at = url;
        let mut answer = self.get(&at).await;
        loop {
            if let Some(location) = answer.headers.get(http::header::LOCATION) {
                let next = at.join(location.to_str().unwrap()).unwrap();
                if next.as_str().starts_with(REDIRECT_URI) {
                    return Ok(Redirect { url: next });
                }
                at = next;
                answer = self.get(&at).await;
                continue;
            }
            let page = String::from_utf8(answer.body.to_vec()).unwrap();
            let reply = self.person.reply(&page);
            let Reply::Submit { action, body } = reply.expect("the page can be filled in") else {
                panic!("no form to send: {page}");
            };
            at = at.join(&action).unwrap();
            answer = self.post(&at, &body).await;
        }
    }
}

impl ScriptedSitting {
    async fn get(&self, url: &Url) -> HttpResponse {
        self.send(http::Method::GET, url, "").await
    }

    async fn post(&self, url: &Url, body: &str) -> HttpResponse {
        self.send(http::Method::POST, url, body).await
    }

    async fn send(&self, method: http::Method, url: &Url, body: &str) -> HttpResponse {
        let mut headers = http::HeaderMap::new();
        let form = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(http::header::CONTENT_TYPE, form);
        let cookies = self.cookies.lock().unwrap().clone();
        let cookies: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        headers.insert(http::header::COOKIE, cookies.join("; ").parse().unwrap());
        let request = HttpRequest {
            method,
            url: url.clone(),
            headers,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let answer = self.http.send(request).await.unwrap();
        for cookie in answer.headers.get_all(http::header::SET_COOKIE) {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}
