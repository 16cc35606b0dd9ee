//! What the tenant says about itself (OpenID Connect Discovery §3, RFC 8414 §2).

use serde_json::{Value, json};

use crate::call::Call;
use crate::dpop;
use crate::faults::Twist;
use crate::tenant::{Tenant, is_derived_oidc_guid};

/// The metadata document, every URL on the request's own origin, and every endpoint under the name
/// of the tenant that was asked: MSAL takes the tenant from the path of `token_endpoint`.
pub(crate) fn metadata(call: &Call, port: u16) -> Value {
    let issuer = Tenant::Oidc.issuer(&call.origin);
    let base = match call.path.split('/').nth(1) {
        Some(guid) if is_derived_oidc_guid(guid, port) => format!("{}/{guid}", call.origin),
        _ => issuer.clone(),
    };
    let at = |endpoint: &str| format!("{base}/{endpoint}");
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "jwks_uri": at("jwks"),
        "userinfo_endpoint": at("userinfo"),
        "revocation_endpoint": at("revoke"),
        "device_authorization_endpoint": at("device_authorization"),
        "end_session_endpoint": at("logout"),
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account", "create"],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS,
    });
    metadata["claims_supported"] = json!([
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "nonce",
        "preferred_username",
        "name",
        "given_name",
        "family_name",
        "email",
        "email_verified",
    ]);
    if call.is_twisted(Twist::WrongIssuer) {
        metadata["issuer"] = json!(format!("{}/another", call.origin));
    }
    metadata
}
