//! `keyward login`.

use std::io::{self, Write as _};

use keyward::{
    AuthenticationResult, AuthenticationScheme, ErrorKind, InteractiveRequest, KeyProtection,
};
use keyward_config::Environment;
use keyward_user_agent::{Launcher, SystemBrowser};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::agent::agent;
use crate::args::LoginArguments;
use crate::console::Console;
use crate::defaults::{Defaults, scopes};
use crate::explain;
use crate::failure::Failure;
use crate::shapes;

/// Signs somebody in.
pub async fn run(
    arguments: LoginArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let defaults = Defaults::of(environment);
    let plugin = defaults.broker().user_agent(agent(&defaults, console)?);
    let explain = arguments.rests_on.explain;
    let application = defaults.application_with(&arguments.application, plugin.clone())?;
    if explain {
        explain::broker(&plugin, console).await;
    }
    let request = InteractiveRequest {
        scopes: scopes(&arguments.scope),
        login_hint: defaults.login_hint(arguments.login_hint.as_deref())?,
        prompt: arguments.prompt.map(Into::into),
        claims: arguments.claims,
        deadline: arguments.timeout,
        require_binding: arguments.rests_on.require_binding.map(Into::into),
        require_key_protection: arguments.rests_on.require_key_protection.map(Into::into),
        authentication_scheme: if arguments.dpop {
            AuthenticationScheme::Dpop
        } else {
            AuthenticationScheme::Bearer
        },
        ..Default::default()
    };
    let result = tokio::select! {
        answer = application.acquire_token_interactive(request) => answer?,
        // Dropping the request cancels it at the broker, which closes the redirect listener.
        () = interrupted() => return Err(Failure::new(
            ErrorKind::UserCanceled,
            "the sign-in was cancelled",
        )),
    };
    if explain {
        explain::result(&result, console);
    }
    if arguments.json {
        return console.json(&shapes::SignedIn::of(&result));
    }
    console.line(&signed_in(&result))
}

/// The browser for this sign-in: the configured command, else the environment's. On a terminal the
/// person opens the address where neither can.
pub(crate) fn browser(defaults: &Defaults<'_>, terminal: bool) -> Result<SystemBrowser, Failure> {
    let command = defaults.config()?.user_agent_command.value.clone();
    let launcher = if command.is_empty() {
        Launcher::from_environment()
    } else {
        Launcher::command(command)
            .map_err(|error| Failure::new(ErrorKind::IncorrectConfiguration, error.to_string()))?
    };
    let browser = SystemBrowser::new(if terminal {
        launcher.or_tell(tell)
    } else {
        launcher
    });
    Ok(browser.announced_by(announce))
}

/// Says what is waited for, once there is a page to wait for.
fn announce() {
    // Nobody is left to tell when even this cannot be written.
    let _ = writeln!(
        io::stderr(),
        "waiting for the sign-in in your browser (Ctrl-C cancels)…"
    );
}

/// Asks the person at the terminal to open the address. It says for itself where it leads back to.
fn tell(why: &str, url: &Url) {
    let back = url.query_pairs().find(|(name, _)| name == "redirect_uri");
    let port = back.and_then(|(_, uri)| Url::parse(&uri).ok()?.port());
    let elsewhere = port.map_or_else(String::new, |port| {
        format!(", or elsewhere after ssh -L {port}:localhost:{port}")
    });
    // Nobody is left to tell when even this cannot be written.
    let _ = writeln!(
        io::stderr(),
        "{why}\nopen this address in a browser on this machine{elsewhere}:\n\n{url}\n"
    );
}

fn signed_in(result: &AuthenticationResult) -> String {
    let who = &result.account.username;
    let key = result.key_protection.map(KeyProtection::as_str);
    match result.binding {
        Some(binding) => {
            let key = key.unwrap_or("not said by this broker");
            format!("signed in as {who} ({binding}, key: {key})")
        }
        None => format!("signed in as {who} (binding: not said by this broker)"),
    }
}

/// Ends when somebody wants us to stop: Ctrl-C, or a supervisor.
pub(super) async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without a handler the signal ends the process, which cancels as well.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
