//! `keyward migrate`: accounts from one form of the broker to the other.
//!
//! A refresh token is bound to a key that cannot leave its broker, and no broker gives one away. So
//! an account moves by a new sign-in at the other broker, with its name suggested, for each client
//! that has a refresh token; the old one is signed out once all of that has happened. Whatever
//! interrupts it, each account is signed in somewhere, and the next run goes on from there.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyward::manage::{BoundAccount, DeviceReport, ManageAnswer, ManageRequest};
use keyward::{
    Configuration, ErrorKind, InteractiveRequest, NativeBrokerPlugin, PublicClientApplication,
    SignOutRequest,
};
use keyward_config::{BrokerPlace, Environment, Form};

use crate::args::MigrateArguments;
use crate::commands::login;
use crate::console::Console;
use crate::defaults::Defaults;
use crate::failure::Failure;
use crate::table::table;

/// What has to be signed in at the other broker: one client of one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    username: String,
    home_account_id: String,
    authority: String,
    client_id: String,
}

/// One of the two brokers.
struct Side {
    form: Form,
    plugin: NativeBrokerPlugin,
}

/// Moves every account.
pub async fn run(
    arguments: &MigrateArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let to = match arguments.to {
        Some(form) => form.into(),
        None => BrokerPlace::find(environment).map_err(misplaced)?.form,
    };
    let from = match to {
        Form::System => Form::Session,
        Form::Session => Form::System,
    };
    let (from, to) = (Side::of(from, environment)?, Side::of(to, environment)?);
    let grants = grants(&from.report().await?);
    let there = grants_there(&to, arguments.dry_run).await?;
    if grants.is_empty() {
        return console.line(&format!("nobody is signed in at the {} form", from.form));
    }
    if arguments.dry_run {
        return console.line(&plan(&grants, &there));
    }
    let defaults = Defaults::of(environment);
    let browser = Arc::new(login::browser(&defaults, console.is_for_a_person())?);
    let to = Side {
        plugin: to.plugin.user_agent(browser),
        ..to
    };
    sign_in(&to, &grants, &there, console).await?;
    sign_out(&from, &grants, console).await
}

/// Every refresh token's account and client, each once.
fn grants(report: &DeviceReport) -> BTreeSet<Grant> {
    report.accounts.iter().map(Grant::of).collect()
}

/// What is signed in there already. To say what would be done, the other broker need not run.
async fn grants_there(to: &Side, dry_run: bool) -> Result<BTreeSet<Grant>, Failure> {
    match to.report().await {
        Ok(report) => Ok(grants(&report)),
        Err(_) if dry_run => Ok(BTreeSet::new()),
        Err(failure) => Err(failure),
    }
}

async fn sign_in(
    to: &Side,
    grants: &BTreeSet<Grant>,
    there: &BTreeSet<Grant>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let count = grants.len();
    for (done, grant) in grants.iter().enumerate() {
        let number = done + 1;
        let what = format!("{number} of {count}: {grant}");
        if there.contains(grant) {
            console.say(&format!("{what}: signed in already"));
            continue;
        }
        console.say(&format!("{what}: to be signed in at the {} form", to.form));
        let request = InteractiveRequest {
            login_hint: Some(grant.username.clone()),
            ..Default::default()
        };
        let application = to.application(grant)?;
        let signing_in = application.acquire_token_interactive(request);
        let result = tokio::select! {
            result = signing_in => result?,
            () = login::interrupted() => return Err(Failure::new(
                ErrorKind::UserCanceled,
                "the move was interrupted; nothing is lost, and the next run goes on from here",
            )),
        };
        let signed_in = &result.account;
        if signed_in.home_account_id.as_str() != grant.home_account_id {
            return Err(Failure::new(
                ErrorKind::AccountSwitch,
                format!(
                    "{} signed in, not {}: nothing was removed from the old broker",
                    signed_in.username, grant.username
                ),
            ));
        }
    }
    Ok(())
}

/// Only after all of an account is signed in at the other broker.
async fn sign_out(
    from: &Side,
    grants: &BTreeSet<Grant>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for grant in grants {
        let application = from.application(grant)?;
        let accounts = application.accounts().await?;
        let account = accounts
            .into_iter()
            .find(|account| account.home_account_id.as_str() == grant.home_account_id);
        // Signed out with the account's first client.
        if let Some(account) = account {
            let request = SignOutRequest::builder(account).build();
            application.sign_out(request).await?;
            console.line(&format!("moved {}", grant.username))?;
        }
    }
    Ok(())
}

fn plan(grants: &BTreeSet<Grant>, there: &BTreeSet<Grant>) -> String {
    let rows = grants.iter().map(|grant| {
        let step = if there.contains(grant) {
            "signed in already"
        } else {
            "sign in"
        };
        vec![
            grant.username.clone(),
            grant.authority.clone(),
            grant.client_id.clone(),
            step.to_owned(),
        ]
    });
    table(&["ACCOUNT", "AUTHORITY", "CLIENT", "STEP"], rows)
}

impl Side {
    fn of(form: Form, environment: &Environment) -> Result<Self, Failure> {
        let place = match form {
            Form::System => BrokerPlace::system(environment),
            Form::Session => BrokerPlace::session(environment),
        };
        let socket = place.map_err(misplaced)?.socket.value;
        Ok(Self {
            form,
            plugin: NativeBrokerPlugin::at_socket(socket),
        })
    }

    /// What is bound to which key there. Nothing else about it is needed, and no token is asked for.
    async fn report(&self) -> Result<DeviceReport, Failure> {
        let start = match self.form {
            Form::System => "start it with `sudo systemctl start keywardd`",
            Form::Session => {
                "start your own with `systemctl --user start keywardd`, or `keywardd &`"
            }
        };
        match self.plugin.manage(ManageRequest::Device).await {
            Ok(ManageAnswer::Device(report)) => Ok(report),
            Ok(_) => Err(Failure::new(
                ErrorKind::Unexpected,
                "the broker answered something else than it was asked",
            )),
            Err(error) if error.kind() == ErrorKind::BrokerUnavailable => {
                Err(Failure::from(error).with_hint(start))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The application a refresh token belongs to, at this broker.
    fn application(&self, grant: &Grant) -> Result<PublicClientApplication, Failure> {
        let configuration = Configuration::builder(grant.client_id.as_str())
            .authority(grant.authority.as_str())
            .native_broker_plugin(self.plugin.clone());
        Ok(PublicClientApplication::new(configuration.build())?)
    }
}

impl Grant {
    fn of(bound: &BoundAccount) -> Self {
        Self {
            username: bound.username.clone(),
            home_account_id: bound.home_account_id.clone(),
            authority: bound.authority.clone(),
            client_id: bound.client_id.clone(),
        }
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            username,
            authority,
            client_id,
            ..
        } = self;
        write!(f, "{username} at {authority}, for {client_id}")
    }
}

fn misplaced(error: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::IncorrectConfiguration, error.to_string())
}
