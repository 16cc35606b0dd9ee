//! `keyward status`.

use keyward::BrokerStatus;
use keyward_config::Environment;

use crate::args::StatusArguments;
use crate::console::{Color, Console};
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::shapes;
use crate::table::table;

/// Shows what is bound to what.
pub async fn run(
    arguments: &StatusArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let status = Defaults::of(environment).broker().broker_status().await?;
    if arguments.json {
        return console.json(&shapes::Status::of(&status));
    }
    console.line(&heading(&status))?;
    if status.accounts.is_empty() {
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

fn heading(status: &BrokerStatus) -> String {
    let keys = status
        .key_protection
        .map_or("not said", |protection| protection.as_str());
    format!(
        "keyward {}, {} form, new keys: {keys}",
        status.version, status.form
    )
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
