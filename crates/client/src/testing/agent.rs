//! The person in front of the screen.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use url::Url;

use keyward_oauth::question::{Answer, PinQuestion, Question};
use keyward_oauth::secret::PinText;
use keyward_oauth::transport::{Redirect, ShowOptions, Sitting, UserAgent, UserAgentError};

use super::Authority;

/// What the person does with the next sign-in pages.
#[derive(Clone, Copy, Debug)]
pub enum Person {
    /// Signs in with this user.
    SignsIn(&'static str),
    /// Presses cancel on the authority's page.
    Refuses(&'static str),
    /// Closes the window.
    Closes,
    /// Comes back to us with a redirect that belongs to another sign-in.
    IsTricked,
}

pub struct Agent {
    authority: Arc<Authority>,
    pub person: Mutex<Person>,
    /// The person waits for a permit here, if there is a gate.
    pub gate: Mutex<Option<Arc<Semaphore>>>,
    /// The parameters of every page shown.
    pub shown: Mutex<Vec<HashMap<String, String>>>,
    pub options: Mutex<Vec<ShowOptions>>,
    pub open: AtomicUsize,
    pub most_open: AtomicUsize,
    pub unavailable: Mutex<Option<UserAgentError>>,
    /// The PINs the person types, one after the other. Without one they give up.
    pub types: Mutex<VecDeque<&'static str>>,
    /// What they were asked.
    pub asked: Mutex<Vec<PinQuestion>>,
}

impl Agent {
    pub fn new(authority: Arc<Authority>) -> Self {
        Self {
            authority,
            person: Mutex::new(Person::SignsIn("alice")),
            gate: Mutex::default(),
            shown: Mutex::default(),
            options: Mutex::default(),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            unavailable: Mutex::default(),
            types: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    pub fn becomes(&self, person: Person) {
        *self.person.lock().unwrap() = person;
    }

    /// From now on the person takes their time.
    pub fn hesitates(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    pub fn shows(&self) -> usize {
        self.shown.lock().unwrap().len()
    }

    pub fn last_shown(&self) -> HashMap<String, String> {
        self.shown.lock().unwrap().last().cloned().unwrap()
    }
}

/// The agent as the engine gets it.
pub struct Handle(pub Arc<Agent>);

struct Page {
    agent: Arc<Agent>,
    redirect_uri: Url,
}

#[async_trait]
impl UserAgent for Handle {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        if let Some(error) = self.0.unavailable.lock().unwrap().clone() {
            return Err(error);
        }
        self.0.options.lock().unwrap().push(show);
        let open = self.0.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_open.fetch_max(open, Ordering::SeqCst);
        Ok(Box::new(Page {
            agent: Arc::clone(&self.0),
            redirect_uri: Url::parse("http://localhost:4711/").unwrap(),
        }))
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let Question::Pin(question) = question else {
            return Err(UserAgentError::Unavailable("not here".to_owned()));
        };
        self.0.asked.lock().unwrap().push(question);
        let typed = self.0.types.lock().unwrap().pop_front();
        let typed = typed.ok_or(UserAgentError::Canceled)?;
        Ok(Answer::Pin(PinText::new(typed.to_owned())))
    }
}

#[async_trait]
impl Sitting for Page {
    fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        let agent = &self.agent;
        agent
            .shown
            .lock()
            .unwrap()
            .push(url.query_pairs().into_owned().collect());
        let gate = agent.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let person = *agent.person.lock().unwrap();
        let url = match person {
            Person::SignsIn(user) => agent.authority.authorize(&url, user),
            Person::Refuses(error) => Authority::refuse(&url, error),
            Person::Closes => return Err(UserAgentError::Canceled),
            Person::IsTricked => Url::parse("http://localhost:4711/?code=c&state=other").unwrap(),
        };
        Ok(Redirect { url })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.agent.open.fetch_sub(1, Ordering::SeqCst);
    }
}
