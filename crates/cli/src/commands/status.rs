//! `keyward status`.

use std::time::Duration;

use keyward::manage::{Decision, ManageAnswer, ManageRequest};
use keyward::{BrokerStatus, NativeBrokerPlugin, diagnostics};
use keyward_config::Environment;
use tokio::time::timeout;

use crate::args::StatusArguments;
use crate::commands::device;
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::doctor;
use crate::failure::Failure;
use crate::shapes;
use crate::table::table;

/// How long the bus may take to say who owns a name.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows what is bound to what.
pub async fn run(
    arguments: &StatusArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let broker = Defaults::of(environment).broker();
    let (status, elsewhere) = tokio::join!(broker.broker_status(), another_broker(environment));
    let mut status = status?;
    let decision = decision(&status, &broker).await;
    let outdated = status.outdated.take();
    status
        .problems
        .extend(outdated.into_iter().chain(elsewhere));
    if arguments.json {
        return console.json(&shapes::Status::of(&status, decision.as_ref()));
    }
    console.line(&heading(&status))?;
    if let Some(decision) = &decision {
        console.line(&device::decided(decision))?;
    }
    if status.is_foreign() {
        console
            .line("it does not say who is signed in; `keyward accounts` asks as one application")?;
    } else if status.accounts.is_empty() {
        console.line("nobody is signed in")?;
    } else {
        console.line("")?;
        console.line(&accounts(&status))?;
    }
    for problem in &status.problems {
        let word = console.paint(Color::Yellow, "problem");
        console.line(&format!("{word}: {problem}"))?;
    }
    Ok(())
}

/// Why new keys are made where they are. A broker that cannot say so says more with its status.
async fn decision(status: &BrokerStatus, broker: &NativeBrokerPlugin) -> Option<Decision> {
    if status.is_foreign() || status.key_protection.is_none() {
        return None;
    }
    match broker.manage(ManageRequest::Device).await.ok()? {
        ManageAnswer::Device(report) => report.decision,
        _ => None,
    }
}

/// Who else answers unmodified Microsoft clients. A bus that does not say so at once is for
/// `keyward doctor` to look at.
async fn another_broker(environment: &Environment) -> Option<String> {
    let owners = diagnostics::owners(environment);
    let owners = timeout(PATIENCE, owners).await.ok()?.ok()?;
    doctor::bus::another_broker(owners.microsoft.as_ref(), owners.keyward.as_ref())
}

fn heading(status: &BrokerStatus) -> String {
    let keys = status
        .key_protection
        .map_or("not said", |protection| protection.as_str());
    let BrokerStatus { version, form, .. } = status;
    if status.is_foreign() {
        return format!("another broker than Keyward's, version {version}, new keys: {keys}");
    }
    format!("keyward {version}, {form} form, new keys: {keys}")
}

fn accounts(status: &BrokerStatus) -> String {
    let rows = status.accounts.iter().map(|row| {
        vec![
            row.account.username.clone(),
            row.authority.clone(),
            row.binding.to_string(),
            row.key_protection.to_string(),
        ]
    });
    table(&["ACCOUNT", "AUTHORITY", "BINDING", "KEY"], rows)
}
