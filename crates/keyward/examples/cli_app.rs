//! The brokered command-line application: who is signed in is asked first, a token is fetched
//! silently if that works, and a person is bothered only if it does not.
//!
//! ```text
//! CLIENT_ID=your-client-id cargo run -p keyward --example cli_app
//! ```
//!
//! In `keyward-dev session -- …` it needs no variables and no person.

use std::env;
use std::process::ExitCode;

use keyward::{AccountInfo, AcquireTokenError, AuthOptions, AuthenticationResult, BrokerOptions};
use keyward::{Binding, Configuration, InteractiveRequest, KeyProtection, NativeBrokerPlugin};
use keyward::{DEFAULT_AUTHORITY, PublicClientApplication, Scopes, SilentFlowRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.kind().row().exit_code)
        }
    }
}

async fn run() -> Result<(), AcquireTokenError> {
    let plugin = NativeBrokerPlugin::new();
    let broker = plugin.is_broker_available().await;
    eprintln!("broker: {}", broker.reason);

    let pca = PublicClientApplication::new(Configuration {
        auth: AuthOptions {
            client_id: variable(&["CLIENT_ID", "KEYWARD_DEV_CLIENT_ID"]).unwrap_or_default(),
            authority: variable(&["AUTHORITY", "KEYWARD_DEV_AUTHORITY"])
                .unwrap_or_else(|| DEFAULT_AUTHORITY.to_owned()),
        },
        broker: BrokerOptions {
            native_broker_plugin: Some(plugin),
        },
        ..Default::default()
    })?;

    let account = pca.accounts().await?.into_iter().next();
    let scopes: Scopes = ["User.Read"].into();
    let result = match silent(&pca, scopes.clone(), account).await {
        Err(error) if error.interaction_required() => interactive(&pca, scopes, &error).await,
        answer => answer,
    }?;

    println!("{}", result.account.username);
    println!("token type    {}", result.token_type.as_str());
    let binding = result.binding.map_or("not said", Binding::as_str);
    println!("binding       {binding}");
    let key = result
        .key_protection
        .map_or("not said", KeyProtection::as_str);
    println!("key           {key}");
    println!("expires       {}", result.expires_on);
    Ok(())
}

async fn silent(
    pca: &PublicClientApplication,
    scopes: Scopes,
    account: Option<AccountInfo>,
) -> Result<AuthenticationResult, AcquireTokenError> {
    pca.acquire_token_silent(SilentFlowRequest {
        scopes,
        account,
        ..Default::default()
    })
    .await
}

async fn interactive(
    pca: &PublicClientApplication,
    scopes: Scopes,
    why: &AcquireTokenError,
) -> Result<AuthenticationResult, AcquireTokenError> {
    eprintln!("{why}: please sign in");
    pca.acquire_token_interactive(InteractiveRequest {
        scopes,
        claims: why.claims().map(str::to_owned),
        ..Default::default()
    })
    .await
}

fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| env::var(name).ok())
}
