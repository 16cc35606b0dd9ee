//! Reading an authorize request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1), for both
//! tenants; each has its own words for what is wrong with one.

use std::time::Duration;

use keyward_jose::Thumbprint;
use keyward_oauth::scope::Scopes;

use crate::call::Call;
use crate::clients::Client;
use crate::grants::codes::is_challenge;
use crate::params::Params;
use crate::signin::ask::{Ask, CodeRequest, Purpose};
use crate::signin::prompt::Prompt;
use crate::signin::redirect::{RedirectTarget, ResponseMode};
use crate::tenant::Tenant;

/// What is wrong with an authorize request whose client and redirect URI are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// A parameter came twice.
    Repeated(String),
    Missing(&'static str),
    /// A parameter has a value that is not supported.
    Value(&'static str),
    ResponseType,
    /// `request` or `request_uri` (OpenID Connect Core §6).
    RequestObject(&'static str),
    /// A scope this client may not have.
    Scope(String),
    /// No PKCE challenge of method S256 (RFC 7636 §4.3); RFC 8252 §6 demands one.
    Challenge,
}

/// Where the answer goes, even an error. An unknown `response_mode` falls back to the query.
pub(crate) fn target(parameters: &Params, redirect_uri: &str) -> RedirectTarget {
    RedirectTarget {
        redirect_uri: redirect_uri.to_owned(),
        response_mode: ResponseMode::parse(parameters.get("response_mode")).unwrap_or_default(),
        state: parameters.get("state").map(str::to_owned),
    }
}

/// Reads what is asked for.
///
/// # Errors
///
/// The first thing that is wrong.
pub(crate) fn read(
    call: &Call,
    tenant: Tenant,
    (client_id, client): (&str, Client<'_>),
    target: RedirectTarget,
) -> Result<Ask, Invalid> {
    let parameters = call.parameters();
    check_form(parameters)?;
    let scopes = Scopes::parse(parameters.get("scope").unwrap_or_default());
    if let Some(scope) = client.refused_scope(&scopes) {
        return Err(Invalid::Scope(scope.to_owned()));
    }
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(Invalid::Challenge);
    }
    let challenge = parameters
        .get("code_challenge")
        .filter(|text| is_challenge(text));
    let dpop_jkt = parameters
        .get("dpop_jkt")
        .map(Thumbprint::parse)
        .transpose();
    let text = |name| parameters.get(name).map(str::to_owned);
    let request = CodeRequest {
        target,
        challenge: challenge.ok_or(Invalid::Challenge)?.to_owned(),
        nonce: text("nonce"),
        dpop_jkt: dpop_jkt.map_err(|_| Invalid::Value("dpop_jkt"))?,
        claims: text("claims"),
        client_info: parameters.get("client_info") == Some("1"),
        twist: call.twist,
    };
    Ok(Ask {
        tenant,
        client_id: client_id.to_owned(),
        scopes,
        prompt: Prompt::parse(parameters.get("prompt").unwrap_or_default())
            .map_err(|_| Invalid::Value("prompt"))?,
        login_hint: text("login_hint"),
        max_age: max_age(parameters)?,
        purpose: Purpose::Code(Box::new(request)),
    })
}

/// What the request as a whole must be.
fn check_form(parameters: &Params) -> Result<(), Invalid> {
    if let Some(name) = parameters.repeated() {
        return Err(Invalid::Repeated(name.to_owned()));
    }
    for name in ["request", "request_uri"] {
        if parameters.get(name).is_some() {
            return Err(Invalid::RequestObject(name));
        }
    }
    match parameters.get("response_type") {
        None => return Err(Invalid::Missing("response_type")),
        Some("code") => {}
        Some(_) => return Err(Invalid::ResponseType),
    }
    if ResponseMode::parse(parameters.get("response_mode")).is_none() {
        return Err(Invalid::Value("response_mode"));
    }
    check_claims(parameters).map_err(Invalid::Value)
}

/// `claims` must be a JSON object (OpenID Connect Core §5.5); what is in it is up to nobody here.
///
/// # Errors
///
/// The parameter's name.
pub(crate) fn check_claims(parameters: &Params) -> Result<(), &'static str> {
    match parameters.get("claims") {
        Some(claims) if keyward_jose::json::parse_object(claims.as_bytes()).is_err() => {
            Err("claims")
        }
        _ => Ok(()),
    }
}

fn max_age(parameters: &Params) -> Result<Option<Duration>, Invalid> {
    let Some(text) = parameters.get("max_age") else {
        return Ok(None);
    };
    text.parse()
        .map(|seconds| Some(Duration::from_secs(seconds)))
        .map_err(|_| Invalid::Value("max_age"))
}
