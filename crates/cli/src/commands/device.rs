//! `keyward device`.

use std::io::{self, IsTerminal as _};

use keyward::manage::{Decision, DeviceDescription, DeviceReport, ManageAnswer, ManageRequest};
use keyward::{ErrorKind, KeyProtection, NativeBrokerPlugin};
use keyward_config::Environment;

use crate::agent::agent;
use crate::args::{DeviceCommand, RebindArguments};
use crate::commands::login::interrupted;
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::table::table;

/// Shows what holds the keys, moves accounts to others, or destroys them.
pub async fn run(
    command: DeviceCommand,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let defaults = Defaults::of(environment);
    match command {
        DeviceCommand::Show { json } => {
            let report = report(&defaults.broker()).await?;
            if json {
                return console.json(&report);
            }
            shown(&report, console)
        }
        DeviceCommand::Rebind(arguments) => rebind(arguments, &defaults, console).await,
        DeviceCommand::Forget { yes } => forget(yes, &defaults, console).await,
    }
}

async fn report(broker: &NativeBrokerPlugin) -> Result<DeviceReport, Failure> {
    match broker.manage(ManageRequest::Device).await? {
        ManageAnswer::Device(report) => Ok(report),
        _ => Err(unexpected()),
    }
}

/// Moves every account, one after the other. Each move is whole: between any two this command may
/// end, and go on another time.
async fn rebind(
    arguments: RebindArguments,
    defaults: &Defaults<'_>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let broker = defaults.broker().user_agent(agent(defaults, console)?);
    let bound = report(&broker).await?.accounts.len();
    let question = format!(
        "Every account moves to new keys ({bound} refresh tokens are kept now); where its authority \
         binds refresh tokens to keys, its person signs in again. Go on?"
    );
    confirmed(arguments.yes, &question, console)?;
    let begin = ManageRequest::RebindBegin {
        to: arguments.to.map(Into::into),
        account: arguments.account,
    };
    let ManageAnswer::RebindBegin(plan) = broker.manage(begin).await? else {
        return Err(unexpected());
    };
    let again = if plan.resumed {
        ", going on where it stopped"
    } else {
        ""
    };
    console.line(&format!("new keys: {}{again}", plan.to))?;
    let (count, mut failed) = (plan.steps.len(), None);
    for (number, step) in plan.steps.into_iter().enumerate() {
        let (who, at) = (&step.bound.username, &step.bound.authority);
        let what = format!("[{}/{count}] {who} at {at}", number + 1);
        if step.sign_in {
            console.say(&format!("{what}: sign in again"));
        }
        let moved = tokio::select! {
            moved = broker.manage(ManageRequest::RebindAccount(Box::new(step.bound))) => moved,
            () = interrupted() => return Err(Failure::new(ErrorKind::UserCanceled, "stopped")
                .with_hint("keyward device rebind goes on where it stopped")),
        };
        match moved {
            Ok(_) => console.line(&format!("{what}: moved"))?,
            Err(error) => {
                console.line(&format!("{what}: not moved: {error}"))?;
                failed = Some(error.kind());
            }
        }
    }
    match failed {
        None => console.line("done: every old key is destroyed"),
        Some(kind) => Err(Failure::new(
            kind,
            "not everything has moved; what has not works as before",
        )
        .with_hint("keyward device rebind goes on where it stopped")),
    }
}

/// Signs everybody out and destroys every key.
async fn forget(
    yes: bool,
    defaults: &Defaults<'_>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let broker = defaults.broker();
    let report = report(&broker).await?;
    if !report.accounts.is_empty() {
        console.say(&accounts(&report));
    }
    let question = format!(
        "{} refresh tokens and {} keys are destroyed; every account has to sign in again. Go on?",
        report.accounts.len(),
        report.keys.len()
    );
    confirmed(yes, &question, console)?;
    let ManageAnswer::Forget(gone) = broker.manage(ManageRequest::Forget).await? else {
        return Err(unexpected());
    };
    console.line(&format!(
        "signed out {} accounts, destroyed {} keys; no record is left in the vault",
        gone.accounts, gone.keys
    ))?;
    for problem in &gone.problems {
        console.line(&format!(
            "{}: {problem}",
            console.paint(Color::Yellow, "problem")
        ))?;
    }
    if gone.problems.is_empty() {
        return Ok(());
    }
    Err(Failure::shown(ErrorKind::Storage))
}

/// Goes on if the person says so.
fn confirmed(yes: bool, question: &str, console: &mut Console<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nobody is here to be asked whether to go on",
            "pass --yes",
        ));
    }
    console.say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(ErrorKind::UserCanceled, "nothing was changed"))
}

fn shown(report: &DeviceReport, console: &mut Console<'_>) -> Result<(), Failure> {
    let held = match &report.device {
        Some(device) => held_by(report.key_protection, device),
        None => report.key_protection.to_string(),
    };
    console.line(&format!("new keys: {held}"))?;
    if let Some(decision) = &report.decision {
        console.line(&decided(decision))?;
    }
    console.line(&format!("keys: {}", report.keys.len()))?;
    if !report.accounts.is_empty() {
        console.line("")?;
        console.line(&accounts(report))?;
    }
    for problem in &report.problems {
        let word = console.paint(Color::Yellow, "problem");
        console.line(&format!("{word}: {problem}"))?;
    }
    Ok(())
}

/// Why new keys are made where they are.
pub fn decided(decision: &Decision) -> String {
    let Decision {
        choice,
        reason,
        decided_at,
        ..
    } = decision;
    format!("decided: {choice} on {decided_at}, because {reason}")
}

/// Protection and device, for example `tpm (STM, firmware 1.258)`.
fn held_by(protection: KeyProtection, device: &DeviceDescription) -> String {
    let firmware = device
        .firmware
        .as_ref()
        .map(|text| format!("firmware {text}"));
    let simulator = device
        .simulator
        .then(|| "a simulator, which protects nothing from this computer".to_owned());
    let parts = [
        device.maker.clone(),
        device.model.clone(),
        firmware,
        simulator,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return protection.to_string();
    }
    format!("{protection} ({})", parts.join(", "))
}

fn accounts(report: &DeviceReport) -> String {
    let rows = report.accounts.iter().map(|row| {
        vec![
            row.username.clone(),
            row.authority.clone(),
            row.client_id.clone(),
            row.binding.to_string(),
            row.key_protection.to_string(),
            row.key.clone().unwrap_or_else(|| "none".to_owned()),
        ]
    });
    table(
        &[
            "ACCOUNT",
            "AUTHORITY",
            "CLIENT",
            "BINDING",
            "PROTECTION",
            "KEY",
        ],
        rows,
    )
}

/// The broker answered something else than it was asked.
fn unexpected() -> Failure {
    Failure::new(
        ErrorKind::Unexpected,
        "the broker answered something else than it was asked",
    )
}
