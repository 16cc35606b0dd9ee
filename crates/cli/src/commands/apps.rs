//! `keyward apps`.

use keyward::manage::{
    AppReport, AppVerdict, AppsReport, ManageAnswer, ManageRequest, PromptKind, PromptStatus,
};
use keyward::{ErrorKind, NativeBrokerPlugin};
use keyward_config::Environment;

use crate::agent::agent;
use crate::args::{AppsArguments, AppsCommand};
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::table::table;

/// Lists the programs that have asked for tokens, or takes back what was answered about them.
pub async fn run(
    arguments: AppsArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let defaults = Defaults::of(environment);
    let broker = defaults.broker().user_agent(agent(&defaults, console)?);
    match arguments.command {
        Some(AppsCommand::Revoke { name, .. }) => revoke(&broker, name, console).await,
        None => list(&broker, arguments.json, console).await,
    }
}

async fn list(
    broker: &NativeBrokerPlugin,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let ManageAnswer::Apps(report) = broker.manage(ManageRequest::Apps).await? else {
        return Err(unexpected());
    };
    if json {
        return console.json(&report);
    }
    shown(&report, console)
}

/// `None`: everything.
async fn revoke(
    broker: &NativeBrokerPlugin,
    name: Option<String>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let request = ManageRequest::RevokeApp { name };
    let ManageAnswer::RevokeApp { revoked } = broker.manage(request).await? else {
        return Err(unexpected());
    };
    console.line(&format!("taken back: {revoked}"))
}

fn shown(report: &AppsReport, console: &mut Console<'_>) -> Result<(), Failure> {
    if report.apps.is_empty() {
        console.line("no program has asked yet")?;
    } else {
        let rows = report.apps.iter().map(row);
        let headings = [
            "PROGRAM",
            "CLIENT ID",
            "SCOPES",
            "ACCOUNT",
            "VERDICT",
            "SINCE",
            "LAST USED",
        ];
        console.line(&table(&headings, rows))?;
    }
    for prompt in &report.prompts {
        console.line(&waiting(prompt))?;
    }
    for problem in &report.problems {
        let word = console.paint(Color::Yellow, "problem");
        console.line(&format!("{word}: {problem}"))?;
    }
    Ok(())
}

fn row(app: &AppReport) -> Vec<String> {
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    let program = match (&app.path, &app.name) {
        // A sandbox has a name of its own; its paths mean nothing here.
        _ if app.program.contains(':') => app.program.clone(),
        (Some(path), _) => path.clone(),
        (None, Some(name)) => format!("{} ({name:?})", app.program),
        (None, None) => app.program.clone(),
    };
    let client = match app.client_id.as_str() {
        "" => "(manages the broker)",
        client => client,
    };
    let verdict = match app.verdict {
        AppVerdict::Unasked => "allowed by the rules",
        AppVerdict::Allowed => "allowed",
        AppVerdict::Denied => "refused",
    };
    let account = app.username.as_ref().or(app.home_account_id.as_ref());
    let cells = [
        program,
        client.to_owned(),
        app.scopes.join(" "),
        or(&account.cloned(), "any"),
        verdict.to_owned(),
        app.since.clone(),
        or(&app.last_used, "never"),
    ];
    cells.iter().map(|cell| visible(cell)).collect()
}

fn waiting(prompt: &PromptStatus) -> String {
    let what = match prompt.kind {
        PromptKind::SignIn => "a sign-in",
        PromptKind::Consent => "a question about a program",
        PromptKind::Pin => "a question for a PIN",
    };
    let how = if prompt.shown { "shown now" } else { "waits" };
    let whose = match prompt.client_id.as_str() {
        "" => String::new(),
        client => format!(" of client {}", visible(client)),
    };
    format!("{how}: {what}{whose}")
}

/// A program may call itself anything, but not write to the terminal past its cell.
fn visible(text: &str) -> String {
    let visible = |character: char| match character {
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.chars().map(visible).collect()
}

fn unexpected() -> Failure {
    let message = "the broker answers another question than was asked";
    Failure::new(ErrorKind::InvalidResponse, message)
}
