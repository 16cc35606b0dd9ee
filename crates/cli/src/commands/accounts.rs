//! `keyward accounts`.

use keyward_config::Environment;

use crate::args::AccountsArguments;
use crate::console::Console;
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::shapes;
use crate::table::table;

/// Lists who is signed in.
pub async fn run(
    arguments: AccountsArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let application = Defaults::of(environment).application(&arguments.application)?;
    let accounts = application.accounts().await?;
    if arguments.json {
        return console.json(&shapes::Accounts {
            accounts: &accounts,
        });
    }
    if accounts.is_empty() {
        console.say("nobody is signed in");
        return Ok(());
    }
    let rows = accounts.into_iter().map(|account| {
        vec![
            account.username,
            account.environment,
            account.home_account_id.to_string(),
        ]
    });
    console.line(&table(&["ACCOUNT", "ENVIRONMENT", "HOME ACCOUNT ID"], rows))
}
