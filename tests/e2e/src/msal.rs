//! Unmodified msal-node with Microsoft's broker plugin, driven line by line (`node/driver.mjs`).

use std::path::Path;
use std::process::{Command, ExitStatus};

use keyward_testkit::Dialogue;
use serde_json::{Value, json};

use crate::private_session::Desktop;
use crate::stack::Stack;
use crate::{CLIENT, SOON, programs};

/// A running Node.js program that uses the broker.
pub struct Msal {
    dialogue: Dialogue,
    questions: u64,
    /// How often msal-node wanted to open a browser itself. It never may.
    browsers_opened: u64,
}

/// Why msal-node gave no token.
#[derive(Clone, Debug)]
pub struct MsalError {
    /// The class, such as `InteractionRequiredAuthError`.
    pub name: String,
    /// msal-node's `errorCode`.
    pub code: String,
    /// The status of Microsoft's runtime behind it, such as `AccountUnusable`.
    pub status: String,
    /// Everything it says.
    pub text: String,
}

impl Msal {
    /// Starts a program for [`CLIENT`] with the library's default authority, `common`.
    pub fn start(stack: &Stack) -> Self {
        Self::start_for(stack, None)
    }

    /// The same with an authority of its own.
    pub fn start_at(stack: &Stack, authority: &str) -> Self {
        Self::start_for(stack, Some(authority))
    }

    fn start_for(stack: &Stack, authority: Option<&str>) -> Self {
        let mut command = stack.command("node");
        if let Some(authority) = authority {
            command.env("AUTHORITY", authority);
        }
        Self::run(&mut command, &stack.login.logs())
    }

    /// Starts a program inside `keyward-dev session` with these options.
    pub fn in_session(desktop: &Desktop, options: &[&str]) -> Self {
        let mut command = desktop.command();
        command.arg("session").args(options).args(["--", "node"]);
        Self::run(&mut command, &desktop.login.logs())
    }

    fn run(command: &mut Command, logs: &Path) -> Self {
        command.arg(programs::node_folder().join("driver.mjs"));
        command.env("CLIENT_ID", CLIENT);
        Self {
            dialogue: Dialogue::start("node", command, logs),
            questions: 0,
            browsers_opened: 0,
        }
    }

    /// Lets the program end, and with it the session it runs in.
    pub fn end(self) -> ExitStatus {
        self.dialogue.close(SOON)
    }

    /// The API of the session it runs in.
    pub fn api(&mut self) -> String {
        let api = self.about()["api"].take();
        api.as_str().expect("it runs in a session").to_owned()
    }

    /// Asks for one thing; see `verbs` of the program.
    ///
    /// # Errors
    ///
    /// What the library threw.
    pub fn ask(&mut self, verb: &str, question: Value) -> Result<Value, MsalError> {
        self.begin(verb, question);
        self.finish()
    }

    /// Asks without waiting for the answer.
    pub fn begin(&mut self, verb: &str, mut question: Value) {
        self.questions += 1;
        question["id"] = json!(self.questions);
        question["do"] = json!(verb);
        self.dialogue.say(&question.to_string());
    }

    /// Waits for the answer to the question asked last.
    ///
    /// # Errors
    ///
    /// What the library threw.
    pub fn finish(&mut self) -> Result<Value, MsalError> {
        let start = format!("{{\"id\":{},", self.questions);
        let line = self
            .dialogue
            .hear(SOON * 5, |line| line.starts_with(&start));
        let mut answer: Value = serde_json::from_str(&line).expect("the driver writes JSON");
        self.browsers_opened = answer["browsersOpened"].as_u64().unwrap_or_default();
        match answer["error"].take() {
            Value::Null => Ok(answer["ok"].take()),
            error => Err(MsalError::read(&error)),
        }
    }

    /// Whether the broker was there when the program started.
    pub fn is_broker_available(&mut self) -> bool {
        self.about()["available"] == true
    }

    /// The program's process id.
    pub fn process(&mut self) -> u32 {
        let process = self.about()["process"].as_u64().unwrap_or_default();
        u32::try_from(process).expect("a process id")
    }

    fn about(&mut self) -> Value {
        self.ask("about", json!({}))
            .expect("the driver tells about itself")
    }

    /// Signs in interactively; the answer is the token.
    ///
    /// Panics when that does not work.
    pub fn sign_in(&mut self) -> Value {
        self.ask("interactive", json!({}))
            .unwrap_or_else(|error| panic!("the sign-in failed: {error:?}"))
    }

    /// Gets a token silently for a user; the answer is the token.
    ///
    /// # Errors
    ///
    /// What the library threw.
    pub fn silent(&mut self, user: &str) -> Result<Value, MsalError> {
        self.ask("silent", json!({"user": user}))
    }

    /// The same past every cache; each `mark` is a request of its own.
    ///
    /// # Errors
    ///
    /// What the library threw.
    pub fn renew(&mut self, user: &str, mark: &str) -> Result<Value, MsalError> {
        self.ask("silent", fresh(user, mark))
    }

    /// The accounts the library sees.
    pub fn accounts(&mut self) -> Vec<String> {
        let accounts = self
            .ask("accounts", json!({}))
            .expect("accounts never fail");
        let accounts = accounts.as_array().cloned().unwrap_or_default();
        let names = accounts.iter().map(|account| account["username"].as_str());
        names
            .map(|name| name.unwrap_or_default().to_owned())
            .collect()
    }

    /// Kills the program while it waits for an answer; its process id.
    pub fn kill(mut self) -> u32 {
        let process = self.dialogue.process();
        let id = process.id();
        process.kill();
        id
    }

    /// How often msal-node wanted to open a browser itself, up to the last answer.
    pub fn browsers_opened(&self) -> u64 {
        self.browsers_opened
    }
}

/// A request for this user that no cache can answer, since it asks for claims of its own.
pub fn fresh(user: &str, mark: &str) -> Value {
    let claims = json!({"access_token": {"x": {"value": mark}}});
    json!({"user": user, "claims": claims.to_string()})
}

/// The access token in an answer.
pub fn access_token(answer: &Value) -> &str {
    let token = answer["accessToken"].as_str();
    token.unwrap_or_else(|| panic!("no access token in {answer}"))
}

impl MsalError {
    fn read(error: &Value) -> Self {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let broker = text("text");
        Self {
            name: text("name"),
            code: text("code"),
            status: broker.split(':').next().unwrap_or_default().to_owned(),
            text: if broker.is_empty() {
                text("message")
            } else {
                broker
            },
        }
    }
}
