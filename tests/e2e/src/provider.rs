//! npm's oidc-provider, an OpenID provider nobody of us wrote (`node/oidc-provider.mjs`).

use keyward_testkit::Dialogue;
use serde_json::{Value, json};

use crate::stack::Stack;
use crate::typed::Typed;
use crate::{SOON, programs};

/// A running provider.
pub struct Provider {
    dialogue: Dialogue,
    issuer: String,
}

/// The client it knows.
pub const PROVIDER_CLIENT: &str = "native-app";

/// That client's redirect URI; any port is good (RFC 8252 §7.3).
pub const PROVIDER_REDIRECT: &str = "http://127.0.0.1/callback";

impl Provider {
    /// Starts it on a free port.
    pub fn start(stack: &Stack) -> Self {
        let mut command = stack.command("node");
        command
            .arg(programs::node_folder().join("oidc-provider.mjs"))
            .env("CLIENT_ID", PROVIDER_CLIENT)
            .env("REDIRECT_URI", PROVIDER_REDIRECT);
        let logs = stack.login.logs();
        let mut dialogue = Dialogue::start("oidc-provider", &mut command, &logs);
        let first = dialogue.hear(SOON, |line| line.starts_with('{'));
        let first: Value = serde_json::from_str(&first).expect("the first line is JSON");
        let issuer = first["issuer"]
            .as_str()
            .expect("it names its issuer")
            .to_owned();
        Self { dialogue, issuer }
    }

    /// Starts it, and the broker of a stack that has none yet: its configuration names the
    /// provider, and the browser fills in its pages.
    pub fn with_broker(stack: &mut Stack) -> Self {
        let provider = Self::start(stack);
        let issuer = provider.issuer();
        stack.configure_with(&format!(
            "[[authority]]\nmatch = [{issuer:?}]\nissuer = {issuer:?}\nkind = \"oidc\"\n\
             dpop = \"required\"\n"
        ));
        stack.browser.uses_provider_pages();
        stack.start_keywardd();
        stack.start_session();
        provider
    }

    /// A request of the typed interface for a token of this provider.
    pub fn request(&self, more: &Value) -> Value {
        let mut request = json!({
            "client_id": PROVIDER_CLIENT,
            "authority": self.issuer(),
            "scopes": "openid profile offline_access",
            "authentication_scheme": "DPoP",
            "redirect_uri": PROVIDER_REDIRECT,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        request
    }

    /// Signs in. This provider keeps `offline_access` only where the person is asked for consent
    /// (OpenID Connect Core §11).
    ///
    /// Panics when that does not work.
    pub fn sign_in(&self, typed: &Typed) -> Value {
        let asked = self.request(&json!({"prompt": "consent"}));
        let token = typed.ask("AcquireTokenInteractive", &asked);
        token.unwrap_or_else(|error| panic!("the sign-in failed: {error:?}"))
    }

    /// Its token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Makes every nonce it gave out worthless.
    pub fn change_nonces(&mut self) {
        self.ask("new-nonces");
    }

    /// Every refresh token it issued.
    pub fn refresh_tokens(&mut self) -> Vec<String> {
        let answer = self.ask("tokens");
        let tokens = answer["refreshTokens"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        tokens
            .iter()
            .filter_map(|token| token.as_str().map(str::to_owned))
            .collect()
    }

    /// The statuses the token endpoint answered with since this was asked last.
    pub fn token_answers(&mut self) -> Vec<u64> {
        let answers = self.ask("token-answers")["answers"].take();
        serde_json::from_value(answers).expect("a list of numbers")
    }

    fn ask(&mut self, question: &str) -> Value {
        self.dialogue.say(question);
        let line = self.dialogue.hear(SOON, |line| line.starts_with('{'));
        serde_json::from_str(&line).expect("it answers JSON")
    }
}
