//! `keyward vault`.

use keyward::ErrorKind;
use keyward::manage::{Detection, ManageAnswer, ManageRequest, VaultRepair, VaultReport};
use keyward_config::Environment;

use crate::args::VaultCommand;
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::table::table;

/// How many damaged records are named; JSON names them all.
const NAMED: usize = 20;

/// Says what is wrong with the vault, or mends it.
pub async fn run(
    command: VaultCommand,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let broker = Defaults::of(environment).broker();
    let request = match command {
        VaultCommand::Check { .. } => ManageRequest::VaultCheck,
        VaultCommand::Repair { dry_run, .. } => ManageRequest::VaultRepair { dry_run },
    };
    let (VaultCommand::Check { json } | VaultCommand::Repair { json, .. }) = command;
    match broker.manage(request).await? {
        ManageAnswer::VaultCheck(report) => {
            if json {
                console.json(&report)?;
            } else {
                shown(&report, console)?;
            }
            unless_damaged(report.is_whole())
        }
        ManageAnswer::VaultRepair(repair) => {
            if json {
                console.json(&repair)?;
            } else {
                repaired(&repair, console)?;
            }
            unless_damaged(repair.repaired || repair.found.is_whole())
        }
        _ => Err(Failure::new(
            ErrorKind::Unexpected,
            "the broker answered something else than it was asked",
        )),
    }
}

/// What is damaged was shown; the exit code says that something is.
fn unless_damaged(whole: bool) -> Result<(), Failure> {
    if whole {
        Ok(())
    } else {
        Err(Failure::shown(ErrorKind::Storage))
    }
}

fn shown(report: &VaultReport, console: &mut Console<'_>) -> Result<(), Failure> {
    console.line(&format!("vault: {}", report.path))?;
    if !report.readable.is_empty() {
        console.line("")?;
        console.line(&readable(report))?;
        console.line("")?;
    }
    for row in &report.rollback {
        let (protection, detection) = (row.key_protection, detection(row.detection));
        let epoch = row.epoch.map(|epoch| format!(" (epoch {epoch})"));
        let epoch = epoch.unwrap_or_default();
        console.line(&format!("rollback, {protection} keys: {detection}{epoch}"))?;
    }
    wrong(report, console)
}

fn wrong(report: &VaultReport, console: &mut Console<'_>) -> Result<(), Failure> {
    let sealed = report.sealed.iter().map(|sealed| {
        let end = if sealed.lost { "for good" } else { "for now" };
        let (records, protection) = (sealed.records, sealed.key_protection);
        let reason = &sealed.reason;
        format!(
            "{records} records cannot be read {end}, for want of their {protection} key: {reason}"
        )
    });
    let damaged = report.damaged.iter().take(NAMED).map(|damaged| {
        let (row, reason) = (damaged.row, &damaged.reason);
        format!("the record in row {row} is damaged: {reason}")
    });
    let problems: Vec<String> = damaged
        .chain(sealed)
        .chain(report.problems.iter().cloned())
        .collect();
    for problem in problems {
        let word = console.paint(Color::Yellow, "problem");
        console.line(&format!("{word}: {problem}"))?;
    }
    if let Some(more @ 1..) = report.damaged.len().checked_sub(NAMED) {
        console.line(&format!(
            "{more} more records are damaged; --json names them all"
        ))?;
    }
    if report.is_whole() {
        return console.line("everything in it can be read");
    }
    let lost = report.lost();
    console.line(&format!("{lost} records can never be read again"))
}

fn repaired(repair: &VaultRepair, console: &mut Console<'_>) -> Result<(), Failure> {
    shown(&repair.found, console)?;
    match (&repair.kept_aside, repair.lost) {
        (Some(aside), lost) => {
            console.line(&format!(
                "repaired: {lost} records were removed; what was there is kept in {aside}"
            ))?;
            console.line("when everything works, remove it: it holds sealed tokens")
        }
        (None, 0) if repair.found.problems.is_empty() => console.line("there is nothing to repair"),
        (None, lost) => console.line(&format!("a repair would remove {lost} records")),
    }
}

fn readable(report: &VaultReport) -> String {
    let rows = report.readable.iter().map(|row| {
        vec![
            row.kind.as_str().replace('_', " "),
            row.key_protection.to_string(),
            row.records.to_string(),
        ]
    });
    table(&["READABLE", "SEALED BY", "RECORDS"], rows)
}

fn detection(detection: Detection) -> &'static str {
    match detection {
        Detection::Device => "a counter of the device notices it",
        Detection::BestEffort => "a file notices it, unless that was put back as well",
        Detection::None => "not noticed",
    }
}
