//! A browser without a screen: keeps cookies, follows redirects within the authority, and lets a
//! scripted person fill in the pages.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use keyward_dev_authority::pages::Page;
use keyward_dev_authority::scripted::{Person, Reply, Stuck};
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Response, Url};

/// A client that follows nothing and keeps nothing, not even connections: tests share it, and each
/// has a runtime of its own.
pub fn http() -> Client {
    static HTTP: LazyLock<Client> = LazyLock::new(|| {
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(0);
        builder
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
    });
    HTTP.clone()
}

/// What a page load led to.
#[derive(Debug)]
pub enum Shown {
    Page {
        url: Url,
        html: String,
    },
    /// A redirect away from the authority.
    Left(Url),
}

impl Shown {
    pub fn page(&self) -> Page {
        Page::parse(self.html())
    }

    pub fn html(&self) -> &str {
        match self {
            Self::Page { html, .. } => html,
            Self::Left(url) => panic!("the browser was sent to {}", url.path()),
        }
    }

    pub fn name(&self) -> String {
        self.page().name
    }

    pub fn error(&self) -> String {
        self.page().error.unwrap_or_default()
    }

    pub fn left(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::Page { html, .. } => panic!("still on a page: {html}"),
        }
    }
}

pub struct Browser {
    http: Client,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new() -> Self {
        Self {
            http: http(),
            cookies: BTreeMap::new(),
        }
    }

    pub async fn get(&mut self, url: &Url) -> Shown {
        self.load(Method::GET, url.clone(), String::new()).await
    }

    pub async fn post(&mut self, url: Url, body: String) -> Shown {
        self.load(Method::POST, url, body).await
    }

    /// Presses a button of the shown page, after filling in some inputs.
    pub async fn press(
        &mut self,
        shown: &Shown,
        inputs: &[(&str, &str)],
        button: (&str, &str),
    ) -> Shown {
        let Shown::Page { url, html, .. } = shown else {
            panic!("no page")
        };
        let mut form = Page::parse(html).form.expect("a form");
        for (name, value) in inputs {
            assert!(form.fill(name, value), "no input {name} in {html}");
        }
        assert!(
            form.has_button(button.0, button.1),
            "no button {button:?} in {html}"
        );
        let action = url.join(&form.action).unwrap();
        self.post(action, form.submission(Some(button))).await
    }

    /// Lets the person act until the browser leaves, or nothing is left to do.
    pub async fn drive(&mut self, mut shown: Shown, person: &Person) -> Result<Shown, Stuck> {
        for _ in 0..12 {
            let Shown::Page { url, html, .. } = &shown else {
                return Ok(shown);
            };
            match person.reply(html)? {
                Reply::Submit { action, body } => {
                    let action = url.join(&action).unwrap();
                    shown = self.post(action, body).await;
                }
                Reply::FormPost { action, body } => {
                    let mut url = Url::parse(&action).unwrap();
                    url.set_query(Some(&body));
                    return Ok(Shown::Left(url));
                }
                Reply::Done => return Ok(shown),
            }
        }
        panic!("the pages never end");
    }

    /// Signs in and gives the redirect that leaves the authority.
    pub async fn sign_in(&mut self, url: &Url, person: &Person) -> Result<Url, Stuck> {
        let shown = self.get(url).await;
        self.drive(shown, person).await.map(Shown::left)
    }

    async fn load(&mut self, mut method: Method, mut url: Url, mut body: String) -> Shown {
        loop {
            let response = self.send(method, url.clone(), body).await;
            let location = response.headers().get(LOCATION);
            let Some(location) = location.map(|to| to.to_str().unwrap().to_owned()) else {
                let html = response.text().await.unwrap();
                return Shown::Page { url, html };
            };
            let to = url.join(&location).unwrap();
            if to.origin() != url.origin() {
                return Shown::Left(to);
            }
            (method, url, body) = (Method::GET, to, String::new());
        }
    }

    async fn send(&mut self, method: Method, url: Url, body: String) -> Response {
        let mut request = self.http.request(method.clone(), url);
        if method == Method::POST {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}

/// A parameter of a redirect's query.
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}
