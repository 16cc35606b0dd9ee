//! Signing a test user in over the authority's real pages, without a browser.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};
use keyward_dev_authority::scripted::{Choice, Person, Reply, Stuck};
use keyward_http::Client;
use keyward_oauth::transport::{
    HttpClient as _, HttpRequest, HttpResponse, Redirect, ShowOptions, Sitting, UserAgent,
    UserAgentError,
};
use url::Url;
use zeroize::Zeroizing;

use crate::DevError;
use crate::args::SignInArguments;

/// Every test user's password.
pub const PASSWORD: &str = "pw";

/// What a test user who must change the password changes it to.
const NEW_PASSWORD: &str = "pw-changed";

/// Pages a sign-in may take; more is a loop.
const MOST_PAGES: usize = 16;

/// Signs in as the browser of [`SystemBrowser`](keyward_user_agent::SystemBrowser) would, and
/// follows the redirect to whoever listens for it.
///
/// # Errors
///
/// When the authority's pages lead nowhere.
pub async fn run(arguments: &SignInArguments) -> Result<ExitCode, DevError> {
    let mut browser = Browser::new(&arguments.user, arguments.choice.into());
    let redirect = browser.sign_in(arguments.url.clone()).await?;
    browser.get(redirect).await?;
    Ok(ExitCode::SUCCESS)
}

/// A user agent that fills in the pages itself.
#[derive(Clone, Debug)]
pub struct ScriptedUserAgent {
    user: String,
}

impl ScriptedUserAgent {
    /// Signs in whom the page names, else this user.
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
        }
    }
}

#[async_trait]
impl UserAgent for ScriptedUserAgent {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        let registered = show.redirect_uri.filter(|uri| {
            uri.scheme() == "http" && matches!(uri.host_str(), Some("localhost" | "127.0.0.1"))
        });
        // Nobody listens there: the redirect is read, not followed.
        let nowhere = Url::parse("http://localhost:4711/");
        let redirect_uri = match (registered, nowhere) {
            (Some(uri), _) | (None, Ok(uri)) => uri,
            (None, Err(error)) => return Err(UserAgentError::Listen(error.to_string())),
        };
        Ok(Box::new(ScriptedSitting {
            user: self.user.clone(),
            redirect_uri,
        }))
    }
}

struct ScriptedSitting {
    user: String,
    redirect_uri: Url,
}

#[async_trait]
impl Sitting for ScriptedSitting {
    fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        let url = Browser::new(&self.user, Choice::Accept)
            .sign_in(url)
            .await
            .map_err(|error| UserAgentError::Unavailable(error.to_string()))?;
        Ok(Redirect { url })
    }
}

/// Somebody with a browser: knows the user name and password, and keeps cookies.
struct Browser {
    user: String,
    choice: Choice,
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(user: &str, choice: Choice) -> Self {
        Self {
            user: user.to_owned(),
            choice,
            client: Client::new(),
            cookies: BTreeMap::new(),
        }
    }

    /// Follows the pages from the authorize URL to the first redirect that leaves the authority.
    async fn sign_in(&mut self, url: Url) -> Result<Url, DevError> {
        let person = self.person(&url);
        let origin = url.origin();
        let mut at = url.clone();
        let mut answer = self.get(url).await?;
        for _ in 0..MOST_PAGES {
            if let Some(target) = redirect(&answer, &at)? {
                if target.origin() != origin {
                    return Ok(target);
                }
                at = target.clone();
                answer = self.get(target).await?;
                continue;
            }
            match reply(&person, &String::from_utf8_lossy(&answer.body))? {
                Reply::Submit { action, body } => {
                    at = join(&at, &action)?;
                    answer = self.post(at.clone(), body).await?;
                }
                Reply::FormPost { action, body } => {
                    return Ok(with_query(join(&at, &action)?, &body));
                }
                Reply::Done => {
                    return Err(DevError::SignIn(
                        "the pages ended without a redirect".to_owned(),
                    ));
                }
            }
        }
        Err(DevError::SignIn("the pages never end".to_owned()))
    }

    /// Whom the authorize URL names, else the user this browser belongs to.
    fn person(&self, url: &Url) -> Person {
        let hint = url
            .query_pairs()
            .find(|(name, value)| name == "login_hint" && !value.is_empty());
        let user = hint.map_or_else(|| self.user.clone(), |(_, hint)| hint.into_owned());
        Person::new(user, PASSWORD)
            .choosing(self.choice)
            .with_new_password(NEW_PASSWORD)
    }

    async fn get(&mut self, url: Url) -> Result<HttpResponse, DevError> {
        self.send(Method::GET, url, String::new()).await
    }

    async fn post(&mut self, url: Url, body: String) -> Result<HttpResponse, DevError> {
        self.send(Method::POST, url, body).await
    }

    async fn send(
        &mut self,
        method: Method,
        url: Url,
        body: String,
    ) -> Result<HttpResponse, DevError> {
        let mut headers = HeaderMap::new();
        if method == Method::POST {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
        }
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if let Ok(value) = HeaderValue::from_str(&cookies.join("; "))
            && !cookies.is_empty()
        {
            headers.insert(COOKIE, value);
        }
        let body = Zeroizing::new(body.into_bytes());
        let answer = self
            .client
            .send(HttpRequest {
                method,
                url,
                headers,
                body,
            })
            .await
            .map_err(|error| DevError::SignIn(error.to_string()))?;
        self.keep_cookies(&answer.headers);
        Ok(answer)
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next());
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
                self.cookies
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

/// What the person does with a page; one that is refused leaves, as people do, and the application
/// hears of it.
fn reply(person: &Person, page: &str) -> Result<Reply, DevError> {
    let refused = match person.reply(page) {
        Ok(reply) => return Ok(reply),
        Err(refused) => refused,
    };
    let leaving = person.clone().leaving();
    match (&refused, leaving.reply(page)) {
        (Stuck::Refused { .. }, Ok(left)) => {
            // Whoever reads the session's log wonders why nobody signed in.
            let _ = writeln!(io::stderr(), "keyward-dev: nobody signed in: {refused}");
            Ok(left)
        }
        _ => Err(DevError::SignIn(refused.to_string())),
    }
}

/// Where an answer redirects to, if it does.
fn redirect(answer: &HttpResponse, at: &Url) -> Result<Option<Url>, DevError> {
    if !answer.status.is_redirection() {
        return Ok(None);
    }
    match answer
        .headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
    {
        Some(location) => join(at, location).map(Some),
        None => Err(DevError::SignIn("a redirect leads nowhere".to_owned())),
    }
}

fn join(at: &Url, target: &str) -> Result<Url, DevError> {
    at.join(target)
        .map_err(|error| DevError::SignIn(format!("a page leads to no URL: {error}")))
}

/// What `response_mode=form_post` would have posted, as a query.
fn with_query(mut url: Url, query: &str) -> Url {
    url.set_query(Some(query));
    url
}
