//! Reading our own access tokens back, at the demo API and userinfo (RFC 9068 §4).

use std::time::Duration;

use keyward_jose::Thumbprint;
use keyward_jose::jws::Unverified;
use keyward_jose::jwt::{Claims, InvalidClaims};
use keyward_oauth::time::UnixTime;
use serde_json::Value;

use crate::origin::Origin;
use crate::state::State;
use crate::tenant::Tenant;
use crate::tokens::access::Confirmation;

/// An access token whose signature, issuer, audience, type, lifetime and standing were checked.
/// Its binding is still to be proved.
#[derive(Debug)]
pub(crate) struct AccessToken {
    pub(crate) tenant: Tenant,
    pub(crate) subject: String,
    pub(crate) user_name: String,
    pub(crate) client_id: String,
    /// `jti`, or Entra's `uti`.
    pub(crate) id: String,
    pub(crate) audience: String,
    pub(crate) scope: String,
    pub(crate) confirmation: Confirmation,
    pub(crate) expires: UnixTime,
}

/// Why a token is not accepted; said to the caller.
pub(crate) type TokenError = &'static str;

/// Checks an access token of either tenant.
pub(crate) fn check(state: &State, text: &str, now: UnixTime) -> Result<AccessToken, TokenError> {
    let malformed = "the access token is no JWT of ours";
    let unverified = Unverified::parse(text).map_err(|_| malformed)?;
    let unread = Claims::parse(unverified.unverified_payload()).map_err(|_| malformed)?;
    let tenant = tenant_of(unread.required("iss").map_err(|_| malformed)?)
        .ok_or("the access token is of another issuer")?;
    let keys = state.keys.public(tenant).map_err(|_| malformed)?;
    let verified = unverified
        .verify(&keys)
        .map_err(|_| "the access token's signature is wrong")?;
    if tenant == Tenant::Oidc && !verified.header().has_typ("at+jwt") {
        return Err("this is no access token");
    }
    let claims = verified.claims().map_err(|_| malformed)?;
    claims
        .check_lifetime(now, Duration::ZERO)
        .map_err(|error| match error {
            InvalidClaims::Expired => "the access token has expired",
            _ => "the access token is not valid yet",
        })?;
    let token = read(tenant, &claims).map_err(|_| "this is no access token for a resource")?;
    if state.is_access_token_revoked(now, &token.id) {
        return Err("the access token was revoked");
    }
    Ok(token)
}

/// The tenant an issuer is, under any spelling of loopback.
fn tenant_of(issuer: &str) -> Option<Tenant> {
    [Tenant::Oidc, Tenant::Entra]
        .into_iter()
        .find(|tenant| Origin::is_ours(issuer, &tenant.issuer_path()))
}

/// Entra's ID tokens are signed by the same key; `scp` and `azp` tell them apart.
fn read(tenant: Tenant, claims: &Claims) -> Result<AccessToken, InvalidClaims> {
    let (id, client_id, scope) = match tenant {
        Tenant::Entra => ("uti", "azp", "scp"),
        Tenant::Oidc => ("jti", "client_id", "scope"),
    };
    let audience = claims.audience()?;
    let [audience] = audience[..] else {
        return Err(InvalidClaims::Missing("aud"));
    };
    Ok(AccessToken {
        tenant,
        subject: claims.required("sub")?.to_owned(),
        user_name: claims.required("preferred_username")?.to_owned(),
        client_id: claims.required(client_id)?.to_owned(),
        id: claims.required(id)?.to_owned(),
        audience: audience.to_owned(),
        scope: claims.required(scope)?.to_owned(),
        confirmation: confirmation(claims)?,
        expires: claims.time("exp")?.ok_or(InvalidClaims::Missing("exp"))?,
    })
}

/// `cnf` (RFC 7800 §3.1). One we do not understand must not pass for none.
fn confirmation(claims: &Claims) -> Result<Confirmation, InvalidClaims> {
    let malformed = InvalidClaims::Malformed("cnf");
    let Some(cnf) = claims.get("cnf") else {
        return Ok(Confirmation::Bearer);
    };
    let text = |name| cnf.get(name).and_then(Value::as_str);
    match (text("jkt"), text("kid")) {
        (Some(jkt), None) => Thumbprint::parse(jkt)
            .map(Confirmation::Jkt)
            .map_err(|_| malformed),
        (None, Some(kid)) => Ok(Confirmation::Kid {
            kid: kid.to_owned(),
            xms_ksl: text("xms_ksl").map(str::to_owned),
        }),
        _ => Err(malformed),
    }
}
