//! Posing as the one who shows sign-ins and answers questions.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyward_broker_ipc::AgentScope;
use keyward_broker_ipc::client::oauth::question::{Answer, Question};
use keyward_broker_ipc::client::oauth::transport::{
    Redirect, ShowOptions, Sitting, UserAgent, UserAgentError,
};
use keyward_broker_ipc::proxy::{SocketBroker, SocketOptions};
use keyward_testkit::http;
use url::Url;

use super::{Attempt, Bag, Target};
use crate::typed::Typed;

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    vec![
        Attempt::of(
            "prompts",
            "catch the code of a sign-in as its user agent",
            |bag| catch(target, &target.allowed, bag),
        ),
        Attempt::of(
            "prompts",
            "consent to what the policy denies, and sign in for it",
            |bag| catch(target, &target.denied, bag),
        ),
        Attempt::of(
            "prompts",
            "answer what the policy asks the person, and sign in for it",
            |bag| catch(target, &target.asked, bag),
        ),
    ]
}

/// Offers itself for everybody's sign-ins, has one begun, shows it in the person's own browser, and
/// redeems the code that comes back.
fn catch(target: &Target, client: &str, bag: &mut Bag) -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let poser = Arc::new(Poser {
        token_endpoint: target.token_endpoint.clone(),
        client: client.to_owned(),
        caught: Arc::default(),
    });
    let agent: Arc<dyn UserAgent> = Arc::clone(&poser) as Arc<dyn UserAgent>;
    let options = SocketOptions::new(&target.socket).with_agent(agent, AgentScope::Everyone);
    let broker = SocketBroker::new(options);
    runtime
        .block_on(broker.connect())
        .map_err(io::Error::other)?;
    // Asked for over another connection, as another program would; this one's agent is the newest.
    let asked = serde_json::json!({
        "client_id": client, "authority": target.authority, "scopes": "User.Read",
        "login_hint": crate::ALICE, "prompt": "login",
    });
    let answer = Typed::at_socket(&target.socket)?.ask("AcquireTokenInteractive", &asked);
    let mut said = match answer {
        Ok(answer) => {
            bag.keep(answer.to_string());
            "signed in".to_owned()
        }
        Err(error) => format!("refused: {}", error.kind),
    };
    let caught = poser.caught.lock().unwrap_or_else(PoisonError::into_inner);
    for (what, bytes) in caught.iter() {
        said = format!("{said}; {what}");
        bag.keep(bytes.clone());
    }
    Ok(said)
}

/// What came by, in a word, and itself.
type Caught = (String, Vec<u8>);

/// A user agent that shows what it is given and keeps what comes back.
#[derive(Clone)]
struct Poser {
    token_endpoint: String,
    client: String,
    caught: Arc<Mutex<Vec<Caught>>>,
}

impl Poser {
    fn note(&self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let mut caught = self.caught.lock().unwrap_or_else(PoisonError::into_inner);
        caught.push((what.into(), bytes.into()));
    }

    /// RFC 6749 §4.1.3, without the verifier (RFC 7636 §4.5) and with one of the thief's own.
    fn redeem(&self, redirect: &Url, redirect_uri: &Url) {
        let code = redirect.query_pairs().find(|(name, _)| name == "code");
        let Some((_, code)) = code else { return };
        self.note("a code was caught", code.as_bytes());
        for verifier in ["", "thief-thief-thief-thief-thief-thief-thief-thief"] {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "authorization_code")
                .append_pair("client_id", &self.client)
                .append_pair("code", &code)
                .append_pair("redirect_uri", redirect_uri.as_str());
            if !verifier.is_empty() {
                form.append_pair("code_verifier", verifier);
            }
            match http::post_form(&self.token_endpoint, &[], &form.finish()) {
                Ok(answer) => {
                    let said = format!("redeeming it: {}", answer.status);
                    self.note(said, format!("{answer:?}"));
                }
                Err(error) => self.note(format!("redeeming it: {error}"), []),
            }
        }
    }
}

#[async_trait]
impl UserAgent for Poser {
    async fn prepare(&self, _show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        let listening = |error: io::Error| UserAgentError::Listen(error.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").map_err(listening)?;
        let port = listener.local_addr().map_err(listening)?.port();
        let redirect_uri = Url::parse(&format!("http://localhost:{port}"))
            .map_err(|error| UserAgentError::Listen(error.to_string()))?;
        Ok(Box::new(Posed {
            poser: self.clone(),
            listener,
            redirect_uri,
        }))
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        self.note("a question was answered with yes", format!("{question:?}"));
        Ok(Answer::Allow)
    }
}

struct Posed {
    poser: Poser,
    listener: TcpListener,
    redirect_uri: Url,
}

#[async_trait]
impl Sitting for Posed {
    fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    async fn show(self: Box<Self>, url: Url) -> Result<Redirect, UserAgentError> {
        let shown = tokio::task::spawn_blocking(move || self.shown(&url)).await;
        let url = shown
            .map_err(io::Error::other)
            .and_then(|redirected| redirected)
            .map_err(|error| UserAgentError::Unavailable(error.to_string()))?;
        Ok(Redirect { url })
    }
}

impl Posed {
    /// Lets the person's browser show the page, and takes the redirect.
    fn shown(&self, url: &Url) -> io::Result<Url> {
        let browser = std::env::var("BROWSER").map_err(io::Error::other)?;
        let mut browser = Command::new(browser)
            .arg(url.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let (mut stream, _) = self.listener.accept()?;
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        drop(stream);
        let _ = browser.wait();
        let path = line.split(' ').nth(1).unwrap_or("/");
        let redirected = self.redirect_uri.join(path).map_err(io::Error::other)?;
        self.poser.redeem(&redirected, &self.redirect_uri);
        Ok(redirected)
    }
}
