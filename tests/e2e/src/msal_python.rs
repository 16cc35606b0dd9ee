//! Unmodified MSAL Python with Microsoft's runtime, driven line by line (`python/driver.py`).

use std::env;
use std::path::PathBuf;

use keyward_testkit::Dialogue;
use serde_json::{Value, json};

use crate::stack::{Stack, Tenant};
use crate::{CLIENT, SOON};

/// A running Python program that uses the broker.
pub struct MsalPython {
    dialogue: Dialogue,
    questions: u64,
    /// How often MSAL Python wanted to open a browser itself. It never may.
    browsers_opened: u64,
}

impl MsalPython {
    /// Starts a program for [`CLIENT`] with the development authority's own address for a tenant.
    pub fn start(stack: &Stack, tenant: Tenant) -> Self {
        let authority = format!("{}/{}", tls(stack), stack.authority.tenant(tenant));
        Self::start_with(stack, &[("AUTHORITY", &authority)])
    }

    /// Starts one with an authority of Microsoft's, whose documents are found at ours.
    pub fn start_at(stack: &Stack, authority: &str) -> Self {
        let found_at = tls(stack);
        Self::start_with(stack, &[("AUTHORITY", authority), ("DISCOVERY", &found_at)])
    }

    fn start_with(stack: &Stack, environment: &[(&str, &str)]) -> Self {
        let certificate = stack.login.path("authority.pem");
        std::fs::write(&certificate, stack.authority.certificate()).expect("a file is written");
        let mut command = stack.command(&python().display().to_string());
        command
            .arg(folder().join("driver.py"))
            .envs(environment.iter().copied())
            .env("CERTIFICATE", certificate)
            .env("CLIENT_ID", CLIENT);
        Self {
            dialogue: Dialogue::start("python", &mut command, &stack.login.logs()),
            questions: 0,
            browsers_opened: 0,
        }
    }

    /// Asks for one thing; see `verbs` of the program. The answer is what MSAL Python returned,
    /// `null` and errors included.
    ///
    /// Panics when it raised an exception.
    pub fn ask(&mut self, verb: &str, question: Value) -> Value {
        self.attempt(verb, question)
            .unwrap_or_else(|raised| panic!("{verb}: {raised}"))
    }

    /// The same with the exception, if it raised one.
    ///
    /// # Errors
    ///
    /// The exception: its class and what it says.
    pub fn attempt(&mut self, verb: &str, mut question: Value) -> Result<Value, String> {
        self.questions += 1;
        question["id"] = json!(self.questions);
        question["do"] = json!(verb);
        self.dialogue.say(&question.to_string());
        let start = format!("{{\"id\": {},", self.questions);
        let line = self
            .dialogue
            .hear(SOON * 5, |line| line.starts_with(&start));
        let mut answer: Value = serde_json::from_str(&line).expect("the driver writes JSON");
        self.browsers_opened = answer["browsersOpened"].as_u64().expect("a number");
        match answer["raised"].as_str() {
            None => Ok(answer["ok"].take()),
            Some(raised) => Err(raised.to_owned()),
        }
    }

    /// Signs in interactively; the answer is the token, from the broker.
    ///
    /// Panics when that does not work.
    pub fn sign_in(&mut self) -> Value {
        from_broker(self.ask("interactive", json!({})))
    }

    /// Gets a token silently for a user that no cache can answer: `round` tells it apart.
    pub fn silent(&mut self, user: &str, round: &str) -> Value {
        let claims = json!({"access_token": {"x": {"value": round}}});
        self.ask(
            "silent",
            json!({"user": user, "claims": claims.to_string()}),
        )
    }

    /// The accounts the library sees, by user name.
    pub fn accounts(&mut self) -> Vec<String> {
        let accounts = self.ask("accounts", json!({}));
        let accounts = accounts.as_array().expect("a list").iter();
        let names = accounts.map(|account| account["username"].as_str().expect("a name"));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// How often MSAL Python wanted to open a browser itself, up to the last answer.
    pub fn browsers_opened(&self) -> u64 {
        self.browsers_opened
    }
}

/// This answer, if it is a token that MSAL Python got from the broker; panics if not.
pub fn from_broker(token: Value) -> Value {
    assert_eq!(token["token_source"], "broker", "{token:#}");
    assert!(token["access_token"].is_string(), "{token:#}");
    token
}

/// The status of Microsoft's runtime in an answer that is an error of the broker, such as
/// `UserCanceled`; panics if it is none.
pub fn broker_status(answer: &Value) -> &str {
    assert_eq!(answer["error"], "broker_error", "{answer:#}");
    let description = answer["error_description"].as_str().expect("a description");
    let status = description.split("Response_Status.Status_").nth(1);
    let status = status.and_then(|rest| rest.split(',').next());
    status.unwrap_or_else(|| panic!("no status: {description}"))
}

/// The folder of the Python programs.
pub fn folder() -> PathBuf {
    // At run time: what was compiled in may be another clone's that shares the target folder.
    let project = env::var_os("CARGO_MANIFEST_DIR").expect("tests run under cargo");
    PathBuf::from(project).join("python")
}

/// The Python that has the packages.
pub fn python() -> PathBuf {
    let python = folder().join(".venv/bin/python");
    assert!(
        python.is_file(),
        "the Python packages are not installed; run `cargo xtask setup`"
    );
    python
}

/// The authority's origin for clients that insist on TLS.
fn tls(stack: &Stack) -> String {
    let http = stack.authority.http();
    http.replace("http://127.0.0.1", "https://localhost")
}
