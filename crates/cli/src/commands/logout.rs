//! `keyward logout`.

use keyward::SignOutRequest;
use keyward_config::Environment;

use crate::account;
use crate::args::LogoutArguments;
use crate::console::Console;
use crate::defaults::Defaults;
use crate::failure::Failure;

/// Removes one account, or every one.
pub async fn run(
    arguments: LogoutArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let application = Defaults::of(environment).application(&arguments.application)?;
    let accounts = if arguments.all {
        application.accounts().await?
    } else {
        let one = account::the_one(&arguments.account, &application).await?;
        one.into_iter().collect()
    };
    if accounts.is_empty() {
        console.say("nobody is signed in");
    }
    for account in accounts {
        let username = account.username.clone();
        let request = SignOutRequest::builder(account).build();
        application.sign_out(request).await?;
        console.say(&format!("signed out {username}"));
    }
    Ok(())
}
