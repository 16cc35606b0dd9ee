//! `keyward doctor`: what is wrong, and the command that mends it.

mod broker;
pub mod bus;
mod check;
mod configuration;
mod libraries;
mod loader;
mod state;

use keyward::diagnostics;
use keyward_config::Environment;

use crate::args::DoctorArguments;
use crate::console::Console;
use crate::failure::Failure;
use check::Report;

/// Runs every check, in the order in which one failure explains the next.
pub async fn run(
    arguments: &DoctorArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut report = Report::default();
    report.add(configuration::check(environment));
    report.add(state::check(environment));
    let bus = diagnostics::session_bus(environment).await;
    report.add(broker::check(environment, bus::offers_keyward(&bus)).await);
    report.add(bus::check(&bus));
    report.add(libraries::check(environment));
    if arguments.json {
        console.json(&report)?;
    } else {
        report.print(console)?;
    }
    report.verdict()
}
