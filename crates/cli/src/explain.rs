//! `--explain`: what was decided on the way to a token, and why. On stderr: the token is the data.

use keyward::{
    AuthenticationResult, Binding, BrokerStatus, KeyProtection, NativeBrokerPlugin, TokenSource,
};

use crate::console::Console;

/// Says who answered, before it is known what.
pub async fn broker(plugin: &NativeBrokerPlugin, console: &mut Console<'_>) {
    let found = plugin.is_broker_available().await;
    say(console, "broker", &found.reason);
    match plugin.broker_status().await {
        Ok(status) => say(console, "form", &form(&status)),
        Err(error) => say(console, "form", &format!("not known: {error}")),
    }
}

/// Says what came of it.
pub fn result(result: &AuthenticationResult, console: &mut Console<'_>) {
    let account = &result.account;
    let who = format!("{} at {}", account.username, result.authority);
    say(console, "account", &who);
    let source = match result.token_source {
        TokenSource::Cache => "from the broker's cache: it is still fresh",
        TokenSource::IdentityProvider => "from the authority, over the network",
    };
    let kind = result.token_type.as_str();
    say(
        console,
        "token",
        &format!("{kind}, {source}, until {}", result.expires_on.rfc3339()),
    );
    say(console, "binding", binding(result.binding));
    say(
        console,
        "key protection",
        key_protection(result.key_protection),
    );
}

fn form(status: &BrokerStatus) -> String {
    let what = match status.form.as_str() {
        "system" => "system: under a uid of its own, out of reach for programs of this user",
        "session" => "session: under this user's uid, which its programs share",
        BrokerStatus::FOREIGN => "foreign: somebody else's broker",
        other => other,
    };
    format!("{what} (version {})", status.version)
}

fn binding(binding: Option<Binding>) -> &'static str {
    match binding {
        Some(Binding::Dpop) => {
            "sender-constrained:dpop: the authority refuses the refresh token without a proof by \
             this device's key"
        }
        Some(Binding::SealedAtRest) => {
            "sealed-at-rest: the authority does not bind the refresh token, or did not prove that \
             it does; it never leaves the broker"
        }
        Some(other) => other.as_str(),
        None => "not said by this broker",
    }
}

fn key_protection(protection: Option<KeyProtection>) -> &'static str {
    match protection {
        Some(KeyProtection::Tpm) => "tpm: the key cannot leave this device",
        Some(KeyProtection::Software) => {
            "software: the key is in a file only the broker's user may read"
        }
        None => "not said by this broker",
    }
}

fn say(console: &mut Console<'_>, what: &str, text: &str) {
    console.say(&format!("explain: {what}: {text}"));
}
