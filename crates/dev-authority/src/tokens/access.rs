//! Minting access tokens.

use std::time::Duration;

use keyward_jose::{SignerError, Thumbprint};
use keyward_oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::call::Call;
use crate::random;
use crate::state::State;
use crate::tenant::{ENTRA_TENANT, Grant, Tenant};
use crate::tokens::sign;
use crate::users::User;

/// What an access token is bound to (RFC 7800).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Nothing: whoever has it may use it.
    Bearer,
    /// `cnf.jkt`: the key of a DPoP proof (RFC 9449 §6).
    Jkt(Thumbprint),
    /// `cnf.kid`: the key of a signed HTTP request, as `req_cnf` named it.
    Kid {
        kid: String,
        /// Where the client says the key is stored; given back as it came.
        xms_ksl: Option<String>,
    },
}

impl Confirmation {
    /// The value of `cnf`.
    pub(crate) fn to_claim(&self) -> Option<Value> {
        match self {
            Self::Bearer => None,
            Self::Jkt(jkt) => Some(json!({"jkt": jkt.as_str()})),
            Self::Kid { kid, xms_ksl: None } => Some(json!({"kid": kid})),
            Self::Kid {
                kid,
                xms_ksl: Some(xms_ksl),
            } => Some(json!({"kid": kid, "xms_ksl": xms_ksl})),
        }
    }
}

/// What an access token is to say.
pub(crate) struct AccessTokenRequest<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) user: &'a User,
    /// The scopes of this token; of the grant's, or others of the same client.
    pub(crate) scopes: &'a Scopes,
    pub(crate) audience: String,
    pub(crate) confirmation: &'a Confirmation,
    pub(crate) lifetime: Duration,
    /// Client capabilities to repeat (`xms_cc`), Entra only.
    pub(crate) capabilities: Vec<String>,
}

/// Mints an access token for the tenant of the grant. Each has an id of its own.
pub(crate) fn mint(
    state: &State,
    call: &Call,
    request: &AccessTokenRequest<'_>,
) -> Result<String, SignerError> {
    let tenant = request.grant.tenant;
    let (typ, mut claims) = match tenant {
        Tenant::Entra => ("JWT", entra_claims(request)),
        Tenant::Oidc => ("at+jwt", oidc_claims(request)),
    };
    let exp = call.now.plus(request.lifetime);
    claims["iss"] = json!(tenant.issuer(&call.origin));
    claims["aud"] = json!(request.audience);
    claims["iat"] = json!(call.now);
    claims["nbf"] = json!(call.now);
    claims["exp"] = json!(exp);
    claims["name"] = json!(request.user.name());
    claims["preferred_username"] = json!(request.user.user_name);
    if let Some(cnf) = request.confirmation.to_claim() {
        claims["cnf"] = cnf;
    }
    sign(state, tenant, typ, &claims)
}

/// Entra's version 2.0 access token.
fn entra_claims(request: &AccessTokenRequest<'_>) -> Value {
    let client_id = &request.grant.client_id;
    let mut claims = json!({
        "azp": client_id,
        "appid": client_id,
        "azpacr": "0",
        "oid": request.user.oid.to_string(),
        "sub": super::id::pairwise_subject(request.user, client_id),
        "tid": ENTRA_TENANT,
        "scp": request.scopes.without_oidc().to_string(),
        "uti": random::short_id(),
        "ver": "2.0",
        "auth_time": request.grant.auth_time,
    });
    if request.user.is_guest() {
        claims["idp"] = json!(super::id::identity_provider(request.user));
    }
    if !request.capabilities.is_empty() {
        claims["xms_cc"] = json!(request.capabilities);
    }
    claims
}

/// The JWT profile for access tokens (RFC 9068 §2.2).
fn oidc_claims(request: &AccessTokenRequest<'_>) -> Value {
    json!({
        "sub": request.user.subject(),
        "client_id": request.grant.client_id,
        "scope": request.scopes.to_string(),
        "jti": random::short_id(),
        "auth_time": request.grant.auth_time,
    })
}
