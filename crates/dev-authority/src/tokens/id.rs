//! Minting ID tokens (OpenID Connect Core §2).

use keyward_jose::{SignerError, base64url, digest};
use keyward_oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::call::Call;
use crate::faults::Twist;
use crate::random;
use crate::state::State;
use crate::tenant::{ENTRA_TENANT, Grant, Tenant};
use crate::tokens::sign;
use crate::users::User;

/// What an ID token is to say.
pub(crate) struct IdTokenRequest<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) user: &'a User,
    pub(crate) scopes: &'a Scopes,
    /// The nonce of the authorize request; none at a refresh (OpenID Connect Core §12.2).
    pub(crate) nonce: Option<&'a str>,
    /// What a script wants wrong about it.
    pub(crate) twist: Option<Twist>,
}

/// Mints an ID token for the tenant of the grant.
pub(crate) fn mint(
    state: &State,
    call: &Call,
    request: &IdTokenRequest<'_>,
) -> Result<String, SignerError> {
    let tenant = request.grant.tenant;
    let mut claims = match tenant {
        Tenant::Entra => entra_claims(request),
        Tenant::Oidc => oidc_claims(request),
    };
    let lifetime = std::time::Duration::from_secs(3600);
    claims["iss"] = json!(match request.twist {
        Some(Twist::WrongIssuer) => format!("{}/another", call.origin),
        _ => tenant.issuer(&call.origin),
    });
    claims["aud"] = json!(request.grant.client_id);
    claims["iat"] = json!(call.now);
    claims["nbf"] = json!(call.now);
    claims["exp"] = json!(call.now.plus(lifetime));
    claims["auth_time"] = json!(request.grant.auth_time);
    claims["preferred_username"] = json!(request.user.user_name);
    claims["name"] = json!(request.user.name());
    claims["given_name"] = json!(request.user.given_name);
    claims["family_name"] = json!(request.user.family_name);
    match request.twist {
        Some(Twist::WrongNonce) => claims["nonce"] = json!(random::short_id()),
        _ => {
            if let Some(nonce) = request.nonce {
                claims["nonce"] = json!(nonce);
            }
        }
    }
    sign(state, tenant, "JWT", &claims)
}

/// Entra's version 2.0 ID token.
fn entra_claims(request: &IdTokenRequest<'_>) -> Value {
    let user = request.user;
    let mut claims = json!({
        "oid": user.oid.to_string(),
        "sub": pairwise_subject(user, &request.grant.client_id),
        "tid": ENTRA_TENANT,
        "uti": random::short_id(),
        "ver": "2.0",
    });
    if user.is_guest() {
        claims["idp"] = json!(identity_provider(user));
    }
    if request.scopes.contains("email") {
        claims["email"] = json!(user.user_name);
    }
    claims
}

/// A plain provider's: an opaque subject, nothing of Entra's.
fn oidc_claims(request: &IdTokenRequest<'_>) -> Value {
    json!({
        "sub": request.user.subject(),
        "email": request.user.user_name,
        "email_verified": true,
    })
}

/// Entra's `sub`: another one for every client.
pub(super) fn pairwise_subject(user: &User, client_id: &str) -> String {
    let client_id = client_id.to_ascii_lowercase();
    base64url::encode(&digest::sha256(
        format!("{} {client_id}", user.oid).as_bytes(),
    ))
}

/// `idp` of a guest: the issuer of the home tenant.
pub(super) fn identity_provider(user: &User) -> String {
    format!("https://sts.windows.net/{}/", user.utid)
}
