//! `keyward token`.

use keyward::{AuthenticationResult, AuthenticationScheme, ErrorKind};
use keyward::{PublicClientApplication, SilentFlowRequest, SilentFlowRequestBuilder};
use keyward_config::Environment;

use crate::account::{Named, is_user};
use crate::args::TokenArguments;
use crate::console::Console;
use crate::defaults::{Defaults, scopes};
use crate::explain;
use crate::failure::Failure;
use crate::shapes;

/// Prints an access token. Never prompts.
pub async fn run(
    arguments: TokenArguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let defaults = Defaults::of(environment);
    let plugin = defaults.broker();
    let application = defaults.application_with(&arguments.application, plugin.clone())?;
    let rests_on = arguments.rests_on.clone();
    if rests_on.explain {
        explain::broker(&plugin, console).await;
    }
    let request =
        SilentFlowRequest::builder(scopes(&arguments.scope)).force_refresh(arguments.force_refresh);
    let request = for_account(request, &arguments, &application, &defaults).await?;
    let request = with_proof(request, &arguments)?;
    let mut request = request.build();
    request.claims = arguments.claims;
    request.require_binding = rests_on.require_binding.map(Into::into);
    request.require_key_protection = rests_on.require_key_protection.map(Into::into);
    let result = application.acquire_token_silent(request).await?;
    if rests_on.explain {
        explain::result(&result, console);
    }

    if arguments.json {
        console.json(&shapes::IssuedToken::of(&result))
    } else if arguments.header {
        headers(&result, console)
    } else {
        console.line(result.access_token.expose_secret())
    }
}

/// Names the account. Where the command line names none, whom the environment suggests is taken
/// if he is signed in, else whoever is, if it is one.
async fn for_account(
    request: SilentFlowRequestBuilder,
    arguments: &TokenArguments,
    application: &PublicClientApplication,
    defaults: &Defaults<'_>,
) -> Result<SilentFlowRequestBuilder, Failure> {
    match Named::by(&arguments.account) {
        Named::Home(id) => match application.account(&id).await? {
            Some(account) => Ok(request.account(account)),
            None => Err(Failure::new(
                ErrorKind::InteractionRequired,
                format!("{id} is not signed in here"),
            )),
        },
        Named::Username(name) => Ok(request.login_hint(name)),
        Named::Nobody => {
            let Some(suggested) = defaults.login_hint(None)? else {
                return Ok(request);
            };
            let accounts = application.accounts().await?;
            let account = accounts.into_iter().find(|a| is_user(a, &suggested));
            Ok(match account {
                Some(account) => request.account(account),
                None => request,
            })
        }
    }
}

fn with_proof(
    request: SilentFlowRequestBuilder,
    arguments: &TokenArguments,
) -> Result<SilentFlowRequestBuilder, Failure> {
    let (scheme, target) = match (&arguments.pop, &arguments.dpop) {
        (Some(target), _) => (AuthenticationScheme::Pop, target),
        (None, Some(target)) => (AuthenticationScheme::Dpop, target),
        (None, None) if arguments.nonce.is_some() => {
            return Err(Failure::usage(
                "--nonce is for a proof",
                "add --pop METHOD URL or --dpop METHOD URL",
            ));
        }
        (None, None) => return Ok(request),
    };
    let [method, uri] = target.as_slice() else {
        return Err(Failure::usage(
            "a proof is made for a method and an address",
            "keyward token --dpop GET https://api.example.com/me",
        ));
    };
    let request = request
        .authentication_scheme(scheme)
        .resource_request_method(method.as_str())
        .resource_request_uri(uri.as_str());
    Ok(match &arguments.nonce {
        Some(nonce) => request.shr_nonce(nonce.as_str()),
        None => request,
    })
}

/// The header lines as HTTP wants them (RFC 6750 §2.1, RFC 9449 §7.1).
fn headers(result: &AuthenticationResult, console: &mut Console<'_>) -> Result<(), Failure> {
    console.line(&format!(
        "Authorization: {} {}",
        result.token_type.as_str(),
        result.access_token.expose_secret()
    ))?;
    match &result.dpop_proof {
        Some(proof) => console.line(&format!("DPoP: {proof}")),
        None => Ok(()),
    }
}
