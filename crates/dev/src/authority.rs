//! `keyward-dev authority`, and the authority inside sessions and the demo.

use std::io::Write as _;
use std::process::ExitCode;

use keyward_dev_authority::{Authority, ENTRA_TENANT, OidcMode, Running};
use uuid::Uuid;

use crate::DevError;
use crate::args::{AuthorityArguments, Bind, Tenant};
use crate::kept;
use crate::signals::Signals;

/// Runs the authority until it is interrupted.
///
/// # Errors
///
/// When it cannot listen.
pub async fn run(arguments: &AuthorityArguments) -> Result<ExitCode, DevError> {
    let mode = match arguments.bind {
        Bind::RefreshToken => OidcMode::RefreshTokenOnly,
        Bind::Both => OidcMode::Both,
    };
    let mut authority = Authority::builder()
        .port(arguments.port)
        .mode(mode)
        .strict_clients(arguments.clients.clone())
        .kept_keys(kept::keys());
    if arguments.require_pop_nonce {
        authority = authority.require_pop_nonce();
    }
    let running = authority
        .start()
        .await
        .map_err(DevError::io("start the authority"))?;
    announce(&running).map_err(DevError::io("announce the authority"))?;
    Signals::listen()?.next().await;
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn announce(running: &Running) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", running.announcement())?;
    out.flush()
}

/// Starts an authority inside this process that nobody will remember.
///
/// # Errors
///
/// When it cannot listen.
pub async fn start() -> Result<Running, DevError> {
    Authority::builder()
        .start()
        .await
        .map_err(DevError::io("start the authority"))
}

/// Starts an authority inside this process that is the one of the last session again, as far as
/// anybody can tell who kept an access token or an account of it. On `port`, or this user's own.
///
/// # Errors
///
/// When it cannot listen.
pub async fn start_again(port: Option<u16>) -> Result<Running, DevError> {
    let authority = match port {
        Some(port) => Authority::builder().port(port),
        None => Authority::builder().preferred_port(kept::port()),
    };
    authority
        .kept_keys(kept::keys())
        .start()
        .await
        .map_err(DevError::io("start the authority"))
}

/// The authority's origin under the name `localhost`, which Microsoft's runtime leaves alone.
pub fn localhost(running: &Running) -> String {
    running.http().replace("127.0.0.1", "localhost")
}

/// The same over TLS, which is spoken on the same port.
pub fn tls(running: &Running) -> String {
    localhost(running).replacen("http", "https", 1)
}

/// The issuer of a tenant.
pub fn issuer(running: &Running, tenant: Tenant) -> String {
    running.issuer(tenant.into())
}

/// The GUID of a tenant; the OpenID tenant's is derived from its issuer.
pub fn tenant(running: &Running, tenant: Tenant) -> String {
    match tenant {
        Tenant::Oidc => {
            Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer(running, tenant).as_bytes()).to_string()
        }
        Tenant::Entra => ENTRA_TENANT.to_owned(),
    }
}
