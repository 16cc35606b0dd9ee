//! `keyward device`.

use keyward::manage::{DeviceDescription, DeviceReport, ManageAnswer, ManageRequest};
use keyward::{ErrorKind, KeyProtection};
use keyward_config::Environment;

use crate::args::DeviceCommand;
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::table::table;

/// Shows what holds the keys.
pub async fn run(
    command: DeviceCommand,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let DeviceCommand::Show { json } = command;
    let broker = Defaults::of(environment).broker();
    let ManageAnswer::Device(report) = broker.manage(ManageRequest::Device).await? else {
        return Err(unexpected());
    };
    if json {
        return console.json(&report);
    }
    shown(&report, console)
}

fn shown(report: &DeviceReport, console: &mut Console<'_>) -> Result<(), Failure> {
    let held = match &report.device {
        Some(device) => held_by(report.key_protection, device),
        None => report.key_protection.to_string(),
    };
    console.line(&format!("new keys: {held}"))?;
    if let Some(decision) = &report.decision {
        let (choice, date) = (decision.choice, &decision.decided_at);
        console.line(&format!(
            "decided: {choice} on {date}, because {}",
            decision.reason
        ))?;
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
